"""The shedding guard: streams do not hold the places that requests need."""

from __future__ import annotations

from typing import Any, cast

from spork.application.exchange.bodies import HeldBody
from spork.application.exchange.exchange import Exchange
from spork.application.guards.shedding import SheddingGuard
from spork.application.limits.concurrency import STREAM_AFTER, AdaptiveConcurrency
from spork.domain.http.head import RequestHead
from spork.domain.outcomes import Denial
from spork.domain.upstreams.gradient_limit import AdaptivePolicy
from tests.exchanges import NO_ROUTES

HEAD = RequestHead("GET", b"/", None, (), "http", b"h", peer="10.0.0.1")


def exchange(now: float) -> Exchange:
    return Exchange(HEAD, HeldBody(b""), cast(Any, None), NO_ROUTES, now, now)


def close(ended: Exchange) -> None:
    for finalize in reversed(ended.finalizers or []):
        finalize(ended)


def test_streams_give_their_places_to_requests_and_give_nothing_back_twice() -> None:
    now = [100.0]
    live: AdaptiveConcurrency[Exchange] = AdaptiveConcurrency(AdaptivePolicy(), lambda: 0.5)
    guard = SheddingGuard(live, "high", lambda: now[0])
    held: list[Exchange] = []
    while True:
        one = exchange(now[0])
        if isinstance(guard.admit(one), Denial):
            break
        held.append(one)
    assert live.in_flight == len(held) > 0
    for each in held:
        each.answer_started = now[0]
    now[0] += STREAM_AFTER / 2
    assert isinstance(guard.admit(exchange(now[0])), Denial), "answers on their way hold their places at first"
    now[0] += STREAM_AFTER
    short = exchange(now[0])
    assert guard.admit(short) is None
    assert live.in_flight == 1
    for each in (*held, short):
        close(each)
    assert live.in_flight == 0
    assert live.held == set()


def test_answers_that_have_not_begun_keep_their_places_however_long_they_take() -> None:
    now = [100.0]
    live: AdaptiveConcurrency[Exchange] = AdaptiveConcurrency(AdaptivePolicy(), lambda: 0.5)
    guard = SheddingGuard(live, "high", lambda: now[0])
    while guard.admit(exchange(now[0])) is None:
        pass
    now[0] += 100 * STREAM_AFTER
    assert isinstance(guard.admit(exchange(now[0])), Denial)
