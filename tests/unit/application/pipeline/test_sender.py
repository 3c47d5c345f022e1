"""Canaries, mirrors, fallbacks and idempotency keys over a gateway of in-memory parts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from spork.adapters.memory.front_door import MemoryBody, MemorySink
from spork.adapters.memory.idempotency import MemoryIdempotency
from spork.adapters.memory.upstream_transport import Received, Reply
from spork.adapters.system.clock import SystemClock
from spork.application.configuration.model import Mirror, Split
from spork.application.guards.idempotency import IdempotencyGuard
from spork.application.kernel.faults import FaultError
from spork.domain.http.head import RequestHead
from spork.domain.outcomes import Fault, FaultKind, Local, Side
from spork.domain.upstreams.circuit import BreakerPolicy, BreakerState
from spork.domain.upstreams.model import Fallback, Target, Upstream
from spork.domain.upstreams.retries import RetryPolicy
from spork.domain.upstreams.splitting import SplitRule, split
from tests.unit.application.pipeline.test_forwarder import ONE, TWO, House, route

SHADOW = Target("http://10.0.0.9:7001", "http", "10.0.0.9", 7001)
REFUSED = FaultError(Fault(FaultKind.CONNECTION_REFUSED, Side.UPSTREAM, retry_safe=True))


def answering(by_host: dict[str, Any]) -> Callable[[Received], Reply]:
    """A handler with an answer, or a fault, per target host."""

    def handle(received: Received) -> Reply:
        answer = by_host.get(received.target.host, 200)
        if isinstance(answer, Exception):
            raise answer
        return Reply(answer, [(b"content-length", b"0")], [])

    return handle


def hosts(house: House) -> list[str]:
    return [received.target.host for received in house.transport.requests]


async def until(check: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not check():
            await asyncio.sleep(0.001)


# ------------------------------------------------------------------------------------------------------------ splitting


def test_split_names_come_before_shares() -> None:
    rules = (
        SplitRule("weighted", weight=0.2),
        SplitRule("headed", header=(b"x-canary", b"1")),
        SplitRule("named", consumers=frozenset({"acme"})),
    )
    head = RequestHead("GET", b"/", None, ((b"x-canary", b"1"),), "http", b"h")
    plain = RequestHead("GET", b"/", None, ((b"x-canary", b"0"),), "http", b"h")
    assert split(rules, head, "acme", 0.0) == "named"
    assert split(rules, head, "other", 0.0) == "headed"
    assert split(rules, plain, "", 0.1999) == "weighted"
    assert split(rules, plain, "", 0.2) is None


def test_shares_add_up() -> None:
    rules = (SplitRule("a", weight=0.1), SplitRule("b", weight=0.3))
    head = RequestHead("GET", b"/", None, (), "http", b"h")
    counts = Counter(split(rules, head, "", n / 1000) for n in range(1000))
    assert counts == {"a": 100, "b": 300, None: 600}


async def test_a_canary_takes_its_share_and_whoever_asks_for_it() -> None:
    splits = (Split("canary", weight=0.25), Split("canary", header=(b"x-canary", b"1")))
    house = House(upstreams=(Upstream("u", (ONE,)), Upstream("canary", (TWO,))), routes=(route(splits=splits),))
    for _ in range(400):
        await house.get()
    assert hosts(house).count(TWO.host) == pytest.approx(100, abs=30)
    house.transport.requests.clear()
    for _ in range(10):
        await house.get("/x", (b"x-canary", b"1"))
    assert hosts(house) == [TWO.host] * 10
    assert house.closed[-1].upstream_name == "canary"


# ------------------------------------------------------------------------------------------------------------ mirroring


async def test_a_mirror_gets_copies_and_the_client_never_notices() -> None:
    async def shadow_hangs(received: Received) -> Reply:
        if received.target.host == SHADOW.host:
            await asyncio.sleep(30)  # hangs until the test ends it
        return Reply(200, [(b"content-length", b"2")], [b"ok"])

    house = House(
        shadow_hangs,
        upstreams=(Upstream("u", (ONE,)), Upstream("shadow", (SHADOW,))),
        routes=(route(mirror=Mirror("shadow")),),
    )
    sink = await house.get("/a?b=1", method="POST", body=[b"payload"])
    assert (sink.status, bytes(sink.body)) == (200, b"ok")
    await until(lambda: len(house.transport.requests) == 2)
    copy = next(r for r in house.transport.requests if r.target.host == SHADOW.host)
    assert (copy.method, copy.path, copy.body) == ("POST", b"/a?b=1", b"payload")
    assert copy.header(b"x-gateway-mirror") == b"1"
    await house.mirrors.close()
    live = house.configurator.snapshot.upstreams["shadow"].targets[0]
    assert live.active == 0


async def test_a_mirror_takes_its_share_and_at_most_so_many_at_once() -> None:
    async def shadow_hangs(received: Received) -> Reply:
        if received.target.host == SHADOW.host:
            await asyncio.sleep(30)  # hangs until the test ends it
        return Reply(200, [(b"content-length", b"0")], [])

    upstreams = (Upstream("u", (ONE,)), Upstream("shadow", (SHADOW,)))
    house = House(shadow_hangs, upstreams=upstreams, routes=(route(mirror=Mirror("shadow", 0.5)),))
    for _ in range(300):
        assert (await house.get()).status == 200
    assert house.mirrors.sent == 64
    assert house.mirrors.sent + house.mirrors.left_out == pytest.approx(150, abs=30)
    await house.mirrors.close()


async def test_a_shadow_that_fails_is_nobodys_business() -> None:
    house = House(
        answering({SHADOW.host: REFUSED}),
        upstreams=(Upstream("u", (ONE,)), Upstream("shadow", (SHADOW,))),
        routes=(route(mirror=Mirror("shadow")),),
    )
    assert [(await house.get()).status for _ in range(5)] == [200] * 5
    await until(lambda: len(house.transport.requests) == 10)


# ------------------------------------------------------------------------------------------------------------ fallbacks


async def test_a_static_fallback_answers_for_a_service_that_cannot() -> None:
    fallback = Fallback(503, b'{"detail":"users are resting"}')
    house = House(answering({ONE.host: REFUSED}), upstreams=(Upstream("u", (ONE,), fallback=fallback),))
    sink = await house.get()
    assert (sink.status, bytes(sink.body)) == (503, b'{"detail":"users are resting"}')
    assert sink.header(b"content-type") == b"application/json"
    assert house.closed_one().outcome == Local(503, "fallback")


async def test_another_upstream_answers_and_gets_the_body_too() -> None:
    house = House(
        answering({ONE.host: REFUSED}),
        upstreams=(Upstream("u", (ONE,), fallback=Fallback(upstream="spare")), Upstream("spare", (TWO,))),
    )
    sink = await house.get(method="POST", body=[b"payload"])
    assert sink.status == 200
    assert [(r.target.host, r.body) for r in house.transport.requests] == [
        (ONE.host, b"payload"),
        (TWO.host, b"payload"),
    ]
    assert house.closed_one().upstream_name == "spare"


async def test_fallbacks_do_not_chase_each_other() -> None:
    house = House(
        answering({ONE.host: REFUSED, TWO.host: REFUSED}),
        upstreams=(
            Upstream("u", (ONE,), fallback=Fallback(upstream="spare")),
            Upstream("spare", (TWO,), fallback=Fallback(upstream="u")),
        ),
    )
    assert (await house.get()).status == 502
    assert hosts(house) == [ONE.host, TWO.host]


async def test_an_open_circuit_falls_back_without_touching_the_target() -> None:
    policy = BreakerPolicy(min_requests=1)
    fallback = Fallback(200, b"[]")
    house = House(answering({ONE.host: 503}), upstreams=(Upstream("u", (ONE,), breaker=policy, fallback=fallback),))
    assert (await house.get()).status == 503, "a target's own answer is its own"
    assert (await house.get()).status == 200
    assert hosts(house) == [ONE.host]


async def test_retries_go_elsewhere_and_the_last_answer_is_relayed() -> None:
    retries = RetryPolicy(attempts=2, backoff_base=0)
    house = House(answering({ONE.host: 503, TWO.host: 200}), upstreams=(Upstream("u", (ONE, TWO), retries=retries),))
    assert [(await house.get()).status for _ in range(4)] == [200] * 4
    both_fail = House(
        answering({ONE.host: 503, TWO.host: 502}), upstreams=(Upstream("u", (ONE, TWO), retries=retries),)
    )
    assert (await both_fail.get()).status in (502, 503)
    assert len(both_fail.transport.requests) == 3
    exchange = both_fail.closed_one()
    assert exchange.attempts == 3
    assert all(t.active == 0 for t in both_fail.configurator.snapshot.upstreams["u"].targets)


async def test_a_probe_counts_by_its_head_for_its_body_may_be_a_stream() -> None:
    statuses = iter((503, 200))

    def answer(_: Received) -> Reply:
        return Reply(next(statuses), [], [b"event 1"], cut=True)

    policy = BreakerPolicy(min_requests=1, open_for=0.0, ramp=0)
    house = House(answer, upstreams=(Upstream("u", (ONE,), breaker=policy),))
    breaker = house.configurator.snapshot.upstreams["u"].breaker
    assert breaker is not None
    await house.get()
    assert breaker.state is BreakerState.OPEN
    await house.get()
    assert breaker.state is BreakerState.CLOSED


# ----------------------------------------------------------------------------------------------------- idempotency keys

KEY = (b"idempotency-key", b"order-1")


def keyed(handler: Callable[[Received], Any] | None = None) -> House:
    return House(handler, guards=(IdempotencyGuard(MemoryIdempotency(SystemClock().monotonic)),))


async def test_the_same_request_is_done_once() -> None:
    numbers = iter(range(100))

    def create(_: Received) -> Reply:
        body = b"order %d" % next(numbers)
        return Reply(201, [(b"content-length", b"%d" % len(body)), (b"location", b"/orders/0")], [body])

    house = keyed(create)
    first = await house.get("/orders", KEY, method="POST", body=[b"{}"])
    again = await house.get("/orders", KEY, method="POST", body=[b"{}"])
    assert (again.status, bytes(again.body)) == (first.status, bytes(first.body)) == (201, b"order 0")
    assert again.header(b"location") == b"/orders/0"
    assert again.header(b"idempotency-replayed") == b"true"
    assert again.header(b"x-request-id") != first.header(b"x-request-id")
    assert len(house.transport.requests) == 1
    other = await house.get("/orders", (b"idempotency-key", b"order-2"), method="POST", body=[b"{}"])
    assert bytes(other.body) == b"order 1"


async def test_who_asks_again_before_the_answer_is_kept_is_given_it_all_the_same() -> None:
    class Slow(MemoryIdempotency):
        async def settle(self, *words: Any) -> None:
            await asyncio.sleep(0.05)
            await super().settle(*words)

    guard = IdempotencyGuard(Slow(SystemClock().monotonic))
    house = House(guards=(guard,))
    first = await house.get("/orders", KEY, method="POST", body=[b"{}"])
    again = await house.get("/orders", KEY, method="POST", body=[b"{}"])
    assert (first.status, again.status, again.header(b"idempotency-replayed")) == (200, 200, b"true")
    assert len(house.transport.requests) == 1


async def test_the_same_key_for_another_request_is_refused() -> None:
    house = keyed()
    await house.get("/orders", KEY, method="POST", body=[b"{}"])
    assert (await house.get("/orders", KEY, method="POST", body=[b"[]"])).status == 422
    assert (await house.get("/orders?x=1", KEY, method="POST", body=[b"{}"])).status == 422


async def test_while_the_first_is_in_flight_the_second_is_refused() -> None:
    release = asyncio.Event()

    async def slow(_: Received) -> Reply:
        await release.wait()
        return Reply(200, [(b"content-length", b"0")], [])

    house = keyed(slow)
    first = asyncio.ensure_future(house.get("/orders", KEY, method="POST", body=[b"{}"]))
    await until(lambda: house.transport.requests)
    second = await house.get("/orders", KEY, method="POST", body=[b"{}"])
    assert second.status == 409
    assert second.header(b"retry-after") == b"1"
    release.set()
    assert (await first).status == 200


async def test_a_failure_frees_the_key() -> None:
    statuses = iter((503, 201))
    house = keyed(lambda _: Reply(next(statuses), [(b"content-length", b"0")], []))
    assert (await house.get("/orders", KEY, method="POST", body=[b"{}"])).status == 503
    await asyncio.sleep(0)
    assert (await house.get("/orders", KEY, method="POST", body=[b"{}"])).status == 201


async def test_keys_of_different_clients_never_meet_and_other_methods_do_not_care() -> None:
    house = keyed()
    for peer in ("192.0.2.1", "192.0.2.2"):
        assert (await house.get("/orders", KEY, method="POST", body=[b"{}"], peer=peer)).status == 200
    assert [(await house.get("/orders", KEY)).status for _ in range(2)] == [200, 200]
    assert (await house.get("/orders", (b"idempotency-key", b""), method="POST", body=[b""])).status == 400
    assert (await house.get("/orders", KEY, KEY, method="POST", body=[b""])).status == 400


# -------------------------------------------------------------------------------------------------------------- hedging


def hedging(one: Any, two: Any, **policy: Any) -> House:
    """Target ONE and TWO each answer a status after some seconds, or raise; the rotation begins with ONE."""

    async def handle(received: Received) -> Reply:
        answer = one if received.target.host == ONE.host else two
        if isinstance(answer, Exception):
            raise answer
        status, seconds = answer
        await asyncio.sleep(seconds)
        return Reply(status, [(b"content-length", b"0")], [])

    retries = RetryPolicy(attempts=0, hedge_after=0.02, **policy)
    return House(handle, upstreams=(Upstream("u", (ONE, TWO), retries=retries),))


def idle(house: House) -> bool:
    return all(t.active == 0 for t in house.configurator.snapshot.upstreams["u"].targets)


async def test_a_slow_first_try_is_overtaken_and_given_up() -> None:
    house = hedging((200, 30), (201, 0))
    assert (await house.get()).status == 201
    assert hosts(house) == [ONE.host, TWO.host]
    exchange = house.closed_one()
    assert (exchange.attempts, exchange.target_name) == (2, "10.0.0.2:7001")
    assert idle(house)


async def test_a_fast_first_try_is_the_only_one() -> None:
    house = hedging((200, 0), (201, 0))
    assert (await house.get()).status == 200
    assert hosts(house) == [ONE.host]
    assert idle(house)


async def test_the_first_may_still_win_and_a_failing_second_changes_nothing() -> None:
    house = hedging((200, 0.06), REFUSED)
    assert (await house.get()).status == 200
    assert len(house.transport.requests) == 2
    assert idle(house)


async def test_when_both_fail_the_fault_is_the_firsts() -> None:
    async def both(received: Received) -> Reply:
        await asyncio.sleep(0.05)
        raise FaultError(Fault(FaultKind.HTTP_RESPONSE_TIMEOUT, Side.UPSTREAM))

    house = House(both, upstreams=(Upstream("u", (ONE, TWO), retries=RetryPolicy(attempts=0, hedge_after=0.01)),))
    assert (await house.get()).status == 504
    assert idle(house)


async def test_a_hedge_that_loses_is_cancelled() -> None:
    cancelled: list[str] = []

    async def handle(received: Received) -> Reply:
        try:
            await asyncio.sleep(30 if received.target.host == ONE.host else 0)
        except asyncio.CancelledError:
            cancelled.append(received.target.host)
            raise
        return Reply(200, [(b"content-length", b"0")], [])

    house = House(handle, upstreams=(Upstream("u", (ONE, TWO), retries=RetryPolicy(attempts=0, hedge_after=0.01)),))
    assert (await house.get()).status == 200
    await until(lambda: cancelled == [ONE.host])


async def test_a_handshake_is_tried_once() -> None:
    house = House(answering({ONE.host: REFUSED}), upstreams=(Upstream("u", (ONE, TWO), retries=RetryPolicy()),))
    head = RequestHead("GET", b"/x", None, (), "http", b"gateway.test", "1.1", "192.0.2.1", 50000)
    head.upgrade = True
    sink = MemorySink()
    await house.gateway.handle(head, MemoryBody(), sink)
    assert (sink.status, hosts(house)) == (502, [ONE.host])


async def test_a_body_that_was_begun_is_not_sent_to_a_fallback() -> None:
    house = House(
        answering({ONE.host: REFUSED}),
        upstreams=(Upstream("u", (ONE,), fallback=Fallback(upstream="other")), Upstream("other", (TWO,))),
    )
    sink = MemorySink()
    head = RequestHead("PUT", b"/x", None, (), "http", b"gateway.test", "1.1", "192.0.2.1", 50000)
    await house.gateway.handle(head, MemoryBody([b"ab", b"cd"], None), sink)
    assert (sink.status, hosts(house)) == (502, [ONE.host])


async def test_hedges_cost_budget_and_unsafe_requests_have_none() -> None:
    house = hedging((200, 0.06), (201, 0), budget=0, min_per_second=0)
    assert (await house.get()).status == 200
    house = hedging((200, 0.06), (201, 0))
    assert (await house.get(method="POST", body=[b"x"])).status == 200
    assert hosts(house) == [ONE.host]


async def test_hedging_is_off_by_default() -> None:
    assert RetryPolicy().hedge_after is None


async def test_a_client_that_leaves_gives_both_tries_up() -> None:
    house = hedging((200, 30), (200, 30))
    asking = asyncio.ensure_future(house.get())
    await until(lambda: len(house.transport.requests) == 2)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert idle(house)
