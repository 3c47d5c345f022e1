"""Signing in by way of the gateway: what the auth service refuses counts against the address, and nothing else does."""

from __future__ import annotations

from typing import Any

import pytest

from spork.adapters.httpx.auth_service import HttpAuthService
from spork.adapters.httpx.fetch import HttpCalls
from spork.adapters.httpx.introspection import Authority
from spork.adapters.memory.rate_limiter import MemoryRateLimiter
from spork.adapters.system.clock import SystemClock
from spork.application.callers.failures import FailedAuthentication
from spork.application.callers.self_service import AuthDesk, Passed
from spork.domain.limits.limit import Limit
from spork.domain.outcomes import Denial
from tests.targets import Target

NOBODY: Any = None


@pytest.mark.parametrize(
    ("status", "counted"), [(200, False), (400, True), (401, True), (403, True), (404, False), (429, False)]
)
async def test_refused_sign_ins_use_up_the_addresss_failures(status: int, counted: bool) -> None:
    failures = FailedAuthentication(
        MemoryRateLimiter(), Limit("failed-authentication", quota=2, period=3600.0, burst=2)
    )
    async with Target(lambda path: (status, 0.0)).up() as target:
        calls = HttpCalls()
        service = HttpAuthService(target.url, Authority(calls, None))
        desk = AuthDesk(lambda: (), NOBODY, NOBODY, failures, SystemClock(), lambda: service)
        answers = [await desk.pass_on("/login", "application/json", b"{}", "192.0.2.1") for _ in range(4)]
        neighbour = await desk.pass_on("/login", "application/json", b"{}", "198.51.100.1")
        await calls.close()
    said = [answer.reason if isinstance(answer, Denial) else answer.status for answer in answers]
    assert said == ([status, status, "too_many_failures", "too_many_failures"] if counted else [status] * 4)
    assert target.requests == (4 if counted else 5), "nobody is asked for an address that has to wait"
    assert isinstance(neighbour, Passed)
    assert neighbour.status == status
