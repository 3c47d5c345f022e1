"""The transport under test, on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvloop

from tests.contract.upstream_transport.transports import Adapter


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """A transport of the adapter that `having(...)` chose; closed at the end."""
    adapter: Adapter = request.param
    made = adapter.make()
    yield made
    await made.close()
