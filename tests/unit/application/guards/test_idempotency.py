"""What is kept under an Idempotency-Key: a target's final answer, and nothing the gateway said in its place."""

from __future__ import annotations

import asyncio

import pytest

from spork.adapters.memory.idempotency import MemoryIdempotency
from spork.application.exchange.exchange import Exchange, Verdict
from spork.application.guards.idempotency import IdempotencyGuard
from spork.domain.http.head import Header
from spork.domain.outcomes import (
    Answered,
    Denial,
    Denied,
    Failed,
    Fault,
    FaultKind,
    Local,
    LocalResponse,
    Outcome,
    Side,
)
from tests.exchanges import Body, exchange

FAULT = Fault(FaultKind.HTTP_RESPONSE_INCOMPLETE, Side.UPSTREAM)


class Sink:
    """A client's end that takes everything."""

    started = paused = False
    sent = 0

    def start(self, status: int, headers: list[Header]) -> None:
        self.started = True

    def write(self, data: bytes) -> None:
        self.sent += len(data)

    def finish(self) -> None: ...


async def posted(guard: IdempotencyGuard) -> tuple[Exchange, Verdict]:
    """One POST under the key, and what the guard says of it."""
    sent = exchange("POST", "/orders", {"Idempotency-Key": "order-1"}, body=Body(b"{}"))
    sent.sink = Sink()  # type: ignore[assignment]
    asked = guard.admit(sent)
    assert asked is not None and not isinstance(asked, Denial | LocalResponse)
    return sent, await asked


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [
        (Answered(201), True),
        (Answered(403), True),
        (Answered(404), True),
        (Answered(408), False),
        (Answered(409), False),
        (Answered(429), False),
        (Answered(500), False),
        (Denied(Denial("forbidden"), 403), False),
        (Denied(Denial("body_invalid"), 422), False),
        (Denied(Denial("breaker_open"), 503), False),
        (Local(200, "fallback"), False),
        (Failed(FAULT, 0), False),
    ],
    ids=lambda value: f"{type(value).__name__}-{value.status}" if hasattr(value, "status") else None,
)
async def test_only_a_targets_final_answer_is_replayed(outcome: Outcome, kept: bool) -> None:
    guard = IdempotencyGuard(MemoryIdempotency(lambda: 1000.0))
    first, verdict = await posted(guard)
    assert verdict is None
    status = outcome.status
    first.sink.start(status, [(b"x-made-by", b"first")])
    first.sink.write(b"done")
    first.sink.finish()
    first.outcome = outcome
    for finalize in first.finalizers or ():
        finalize(first)
    await asyncio.gather(*guard._settling)
    _, again = await posted(guard)
    if kept:
        assert isinstance(again, LocalResponse)
        assert (again.kind, again.status, again.body) == ("replay", status, b"done")
    else:
        assert again is None, "the key is free again"
