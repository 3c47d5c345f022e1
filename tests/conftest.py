"""Fixtures every suite shares."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests import servers

#: A busy machine makes examples slow, which is no fault of theirs; where CI is set, examples are the same each time.
settings.register_profile("spork", settings.get_profile("ci" if os.environ.get("CI") else "default"), deadline=None)
settings.load_profile("spork")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of a real Redis for this test session."""
    with servers.redis_url() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a real PostgreSQL for this test session."""
    with servers.postgres_url() as url:
        yield url


#: Seconds after which a test is ended, and fails: nothing here needs a fraction of it, but for what compiles the gateway.
DEADLINE = 300
LONGER = {"test_it_behaves_like_its_sources": 1500}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Gives every test a deadline: one that waits for what never comes says where it waited."""

    def late(*_: object) -> None:
        raise TimeoutError(f"{item.nodeid} did not end in time")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, LONGER.get(getattr(item, "originalname", ""), DEADLINE))
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
