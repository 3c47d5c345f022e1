"""Pytest fixtures: `pytest_plugins = ["spork.testing.fixtures"]` in a conftest.py."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from spork.testing.clock import VirtualClock
from spork.testing.gateway import GatewayUnderTest, gateway


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """A clock that only `advance` moves."""
    return VirtualClock()


@pytest.fixture
def spork_gateway() -> Callable[..., AbstractAsyncContextManager[GatewayUnderTest]]:
    """`spork.testing.gateway`, for `async with spork_gateway(config, upstreams=...) as gateway`."""
    return gateway
