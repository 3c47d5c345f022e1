"""Lanes of the shared limiter come back whatever becomes of the call that took one, and its health says what is so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from spork.domain.limits.limit import Admitted, Charge, Limit
from tests.contract.test_rate_limiter_store_loss import ask, limiter_on
from tests.servers import redis_process

RULE = Limit("rule", 1_000_000, 3600.0, on_store_error="local")
LANES = 2


class Cancelling:
    """A task factory whose tasks are cancelled before their first step, as a timer does that is due at once."""

    def __init__(self) -> None:
        self.cancelled = 0
        self.left = 0

    def __call__(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **more: Any) -> Any:
        task = asyncio.Task(coroutine, loop=loop, **more)
        if self.left and "_run" in getattr(coroutine, "__qualname__", ""):
            self.left -= 1
            self.cancelled += 1
            task.cancel()
        return task


async def test_calls_cancelled_before_their_first_step_keep_no_lane() -> None:
    with redis_process() as server:
        async with limiter_on(server, timeout=0.2) as limiter:
            factory = Cancelling()
            asyncio.get_running_loop().set_task_factory(factory)
            factory.left = 3 * LANES
            while factory.left:
                limiter.health.succeeded()  # else nobody would ask the store any more
                await ask(limiter, Charge(RULE, "bob"))
            assert factory.cancelled == 3 * LANES
            limiter.health.succeeded()
            before = limiter.stats()["calls"]
            decision = await ask(limiter, Charge(RULE, "bob"))
            assert isinstance(decision, Admitted)
            assert limiter.stats()["calls"] == before + 1, "it went to the store"
            assert limiter.trouble == ""


async def test_a_store_that_does_not_answer_is_told_from_the_first_call_on() -> None:
    with redis_process() as server:
        async with limiter_on(server, timeout=0.2) as limiter:
            await ask(limiter, Charge(RULE, "bob"))
            assert limiter.trouble == ""
            server.pause()
            await ask(limiter, Charge(RULE, "bob"))
            assert not limiter.health.down
            assert "came to nothing" in limiter.trouble
            server.resume()
            async with asyncio.timeout(20):
                while limiter.trouble:
                    await asyncio.sleep(0.05)  # between two looks: the limiter probes by itself


@pytest.mark.parametrize("blocked", [0.25, 0.5])
async def test_a_process_that_stood_still_does_not_blame_the_store(blocked: float) -> None:
    """The answer arrived while the process stood still: it is read before anything is decided without it."""
    with redis_process() as server:
        async with limiter_on(server, timeout=0.2) as limiter:
            await ask(limiter, Charge(RULE, "bob"))
            asking = asyncio.ensure_future(ask(limiter, Charge(RULE, "bob")))
            for _ in range(3):
                await asyncio.sleep(0)
            time.sleep(blocked)  # the process stands still: that is what is tested
            assert isinstance(await asking, Admitted)
            assert limiter.stats()["timeouts"] == 0
