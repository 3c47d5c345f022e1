"""Fixtures every suite shares."""

from __future__ import annotations

import os
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
