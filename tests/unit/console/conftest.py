"""Fixtures of the console's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.console.fake_gateway import FakeGateway, fake_gateway


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with fake_gateway() as started:
        yield started
