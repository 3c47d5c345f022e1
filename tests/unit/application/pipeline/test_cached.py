"""The cache's stop between guards and target: what is given, stored, validated, collapsed, and what never is."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from spork.adapters.litestar.problems import JsonProblemResponses
from spork.adapters.memory.cache_store import MemoryCacheStore
from spork.adapters.memory.circuit_breaker import MemoryCircuitBreakers
from spork.adapters.memory.front_door import MemorySink, request
from spork.adapters.memory.upstream_transport import MemoryTransport, Received, Reply
from spork.application.caching.response_cache import ResponseCache
from spork.application.configuration.model import CacheSettings, Configuration, RouteConfig
from spork.application.exchange.exchange import NO_FIELDS, Current, Exchange, Snapshot
from spork.application.guards.policy import Policy
from spork.application.kernel.faults import FaultError
from spork.application.pipeline.admission import Admission
from spork.application.pipeline.cached import CacheStop
from spork.application.pipeline.client_address import ClientAddress
from spork.application.pipeline.configurator import Configurator
from spork.application.pipeline.delivering import Delivery
from spork.application.pipeline.forwarder import Forwarder
from spork.application.pipeline.sender import Sender
from spork.application.upstreams.registry import UpstreamRegistry
from spork.domain.http.caching import tags
from spork.domain.http.caching.policy import CachePolicy
from spork.domain.identity.tokens import Principal
from spork.domain.outcomes import Fault, FaultKind, Side
from spork.domain.routing.table import Match, PathPattern, RouteTable
from spork.domain.upstreams.model import Target, Upstream

ONE = Target("http://10.0.0.1:7001", "http", "10.0.0.1", 7001)
FRESH = (b"cache-control", b"max-age=60")
REFUSED = FaultError(Fault(FaultKind.CONNECTION_REFUSED, Side.UPSTREAM))


class ManualClock:
    """Two clocks that stand until they are moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def monotonic(self) -> float:
        return self.now

    def unix(self) -> float:
        return self.now


class CallsIn:
    """A guard that lets everybody in, as whom it was told."""

    phase = "credentials"
    response_fields = NO_FIELDS

    def __init__(self, principal: Principal | None = None) -> None:
        self.principal = principal

    def admit(self, exchange: Exchange) -> None:
        exchange.principal = self.principal
        if self.principal is not None:
            exchange.request_headers.append((b"x-user-id", self.principal.subject.encode()))


class Always(Policy):
    def __init__(self, guard: Any) -> None:
        self.guard = guard

    def compile(self, route: RouteConfig, configuration: Configuration) -> Any:
        return self.guard


class House:
    """A gateway with a cache on its one route, over in-memory parts. `answers` is what the target says to each request."""

    def __init__(
        self, answer: Callable[[Received], Any], policy: CachePolicy | None = None, purge_method: bool = False
    ) -> None:
        self.clock = ManualClock()
        self.caller = CallsIn()
        self.transport = MemoryTransport(answer)
        self.current = current = Current(Snapshot("", Configuration(), RouteTable(()), {}, {}))
        registry = UpstreamRegistry(MemoryCircuitBreakers(random.Random(1).random), random.Random(1).random)
        configurator = Configurator(current, registry, [Always(self.caller)], self.clock)
        config = RouteConfig("r", Match(PathPattern.parse("/*")), "u", cache=policy or CachePolicy())
        settings = CacheSettings(purge_method=purge_method)
        configurator.apply(Configuration(upstreams=(Upstream("u", (ONE,)),), routes=(config,), cache=settings))
        clients = ClientAddress(())
        sender = Sender({"httptools": self.transport}, self.clock, clients, random.Random(1))
        self.store = MemoryCacheStore(1 << 20, self.clock.unix)
        self.cache = ResponseCache(self.store, self.clock.unix, lambda: 0.0)
        self.stop = CacheStop(self.cache, sender, self.clock, Delivery(self.clock))
        admission = Admission(current, self.clock, random.Random(1), clients)
        self.gateway = Forwarder(admission, JsonProblemResponses(), self.clock, [], sender, cached=self.stop)

    async def ask(self, path: str = "/x", *headers: tuple[bytes, bytes], method: str = "GET") -> MemorySink:
        return await request(self.gateway, method, path, headers)

    @property
    def asked(self) -> int:
        return len(self.transport.requests)


def said(sink: MemorySink) -> str:
    return (sink.header(b"cache-status") or b"").decode()


def counting(*headers: tuple[bytes, bytes], status: int = 200) -> Callable[[Received], Reply]:
    """A target that numbers its answers."""
    count = 0

    def answer(_: Received) -> Reply:
        nonlocal count
        count += 1
        body = b"answer %d" % count
        return Reply(status, [(b"content-length", b"%d" % len(body)), *headers], [body])

    return answer


async def test_what_the_target_allows_is_given_again_with_its_age() -> None:
    house = House(counting(FRESH))
    first, second = await house.ask(), None
    house.clock.now += 7
    second = await house.ask()
    assert said(first) == "spork; fwd=uri-miss; stored; ttl=60"
    assert said(second) == "spork; hit; ttl=53"
    assert bytes(second.body) == b"answer 1"
    assert second.header(b"age") == b"7"
    assert house.asked == 1


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        (((b"cache-control", b"no-store, max-age=60"),), "no-store"),
        (((b"cache-control", b"private, max-age=60"),), "private"),
        ((), "no-freshness"),
        ((FRESH, (b"set-cookie", b"a=b")), "set-cookie"),
        ((FRESH, (b"vary", b"accept, *")), "vary-star"),
    ],
)
async def test_what_may_not_be_stored_is_never_stored(headers: tuple[tuple[bytes, bytes], ...], why: str) -> None:
    house = House(counting(*headers))
    first, second = await house.ask(), await house.ask()
    assert bytes(second.body) == b"answer 2"
    assert said(first) == f"spork; fwd=uri-miss; detail={why}"


async def test_one_thousand_at_once_ask_the_target_once() -> None:
    gate = asyncio.Event()

    async def slow(_: Received) -> Reply:
        await gate.wait()
        return Reply(200, [FRESH, (b"content-length", b"2")], [b"ok"])

    house = House(slow)
    asking = [asyncio.ensure_future(house.ask()) for _ in range(1000)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gate.set()
    sinks = await asyncio.gather(*asking)
    assert house.asked == 1
    assert {bytes(sink.body) for sink in sinks} == {b"ok"}
    assert sum("collapsed" in said(sink) for sink in sinks) == 999


class Elsewhere(MemoryCacheStore):
    """A store that another process fills between this one's look and its claim."""

    missed = 0

    async def find(self, key: Any) -> Any:  # type: ignore[override]
        if not self.missed:
            self.missed += 1
            return ()
        return super().find(key)

    def look(self, key: Any) -> Any:
        return super().find(key)

    async def claim(self, key: Any, variant: bytes, seconds: float) -> bool:  # type: ignore[override]
        return True


async def test_whoever_wins_the_claim_looks_once_more_before_it_asks() -> None:
    house = House(counting(FRESH))
    await house.ask()
    other = Elsewhere(1 << 20, house.clock.unix, house.store.journal)
    other._kept, house.cache.store = house.store._kept, other
    late = await house.ask()
    assert (house.asked, late.status) == (1, 200)
    assert "collapsed" in said(late)


async def test_nobody_waits_for_what_is_known_not_to_be_storable() -> None:
    gate = asyncio.Event()
    gate.set()
    running = most = 0

    async def uncacheable(_: Received) -> Reply:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1
        return Reply(200, [(b"cache-control", b"no-store"), (b"content-length", b"2")], [b"ok"])

    house = House(uncacheable)
    await house.ask()
    gate.clear()
    asking = [asyncio.ensure_future(house.ask()) for _ in range(50)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert most == 50
    gate.set()
    await asyncio.gather(*asking)


async def test_credentials_keep_an_answer_out_unless_the_target_says_it_is_public() -> None:
    house = House(counting(FRESH))
    house.caller.principal = Principal("ann", "api_key", consumer="ann")
    assert bytes((await house.ask()).body) == b"answer 2", "asked as nobody, then as ann, for it may not be shared"
    assert house.transport.requests[0].header(b"x-user-id") is None
    assert house.transport.requests[1].header(b"x-user-id") == b"ann"
    assert bytes((await house.ask()).body) != b"answer 1"


async def test_a_cache_for_each_consumer_keeps_them_apart() -> None:
    house = House(counting(FRESH), CachePolicy(by="consumer"))
    for who, body in (("ann", b"answer 1"), ("bob", b"answer 2"), ("ann", b"answer 1"), ("bob", b"answer 2")):
        house.caller.principal = Principal(who, "api_key", consumer=who)
        assert bytes((await house.ask()).body) == body


async def test_a_304_makes_a_stale_answer_as_good_as_new() -> None:
    def answer(request: Received) -> Reply:
        fields = [(b"etag", b'"a"'), (b"cache-control", b"max-age=10")]
        if request.header(b"if-none-match") == b'"a"':
            return Reply(304, [*fields, (b"x-new", b"1")], [])
        return Reply(200, [*fields, (b"content-length", b"2")], [b"ok"])

    house = House(answer)
    await house.ask()
    house.clock.now += 11
    validated, hit = await house.ask(), await house.ask()
    assert (validated.status, bytes(validated.body), validated.header(b"x-new")) == (200, b"ok", b"1")
    assert said(validated) == "spork; fwd=stale; fwd-status=304; stored; ttl=10"
    assert said(hit) == "spork; hit; ttl=10"
    assert house.asked == 2


async def test_a_failing_target_is_stood_in_for_and_never_where_that_is_forbidden() -> None:
    failing = False
    control = b"max-age=10, stale-if-error=60"

    def answer(_: Received) -> Reply:
        if failing:
            raise REFUSED
        return Reply(200, [(b"cache-control", control), (b"content-length", b"2")], [b"ok"])

    house = House(answer, CachePolicy(stale_if_error=60.0))
    await house.ask("/allowed")
    control = b"max-age=10, must-revalidate, stale-if-error=60"
    await house.ask("/forbidden")
    control = b"s-maxage=10"
    await house.ask("/shared")
    house.clock.now += 20
    failing = True
    stood_in = await house.ask("/allowed")
    assert (stood_in.status, said(stood_in)) == (200, "spork; hit; ttl=-10; detail=stale-if-error")
    assert (await house.ask("/forbidden")).status == 502
    assert (await house.ask("/shared")).status == 502, "the route's default never applies beside s-maxage"


async def test_stale_while_revalidate_answers_at_once_and_revalidates_once() -> None:
    house = House(counting((b"cache-control", b"max-age=10, stale-while-revalidate=60")))
    await house.ask()
    house.clock.now += 15
    sinks = await asyncio.gather(*(house.ask() for _ in range(20)))
    assert {bytes(sink.body) for sink in sinks} == {b"answer 1"}
    await house.stop.settled()
    assert house.asked == 2
    assert bytes((await house.ask()).body) == b"answer 2"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH"])
async def test_an_unsafe_method_invalidates_its_url(method: str) -> None:
    house = House(counting(FRESH))
    await house.ask()
    assert said(await house.ask(method=method)) == "spork; fwd=method"
    assert bytes((await house.ask()).body) == b"answer 3"


async def test_a_failed_one_invalidates_nothing() -> None:
    status = 200
    house = House(lambda _: Reply(status, [FRESH, (b"content-length", b"2")], [b"ok"]))
    await house.ask()
    status = 500
    await house.ask(method="POST")
    assert said(await house.ask()).startswith("spork; hit")


async def test_variants_are_told_apart_and_encodings_normalised() -> None:
    house = House(counting(FRESH, (b"vary", b"Accept-Encoding"), (b"content-encoding", b"gzip")))
    await house.ask("/x", (b"accept-encoding", b"gzip, br"))
    assert said(await house.ask("/x", (b"accept-encoding", b"br;q=0.5,  GZIP"))).startswith("spork; hit")
    assert said(await house.ask("/x", (b"accept-encoding", b"gzip"))).startswith("spork; hit")
    assert said(await house.ask("/x")).startswith("spork; fwd=vary-miss")


async def test_parts_and_conditions_are_answered_from_the_whole() -> None:
    house = House(lambda _: Reply(200, [FRESH, (b"etag", b'"e"'), (b"content-length", b"10")], [b"0123456789"]))
    await house.ask()
    part = await house.ask("/x", (b"range", b"bytes=2-4"))
    assert (part.status, bytes(part.body), part.header(b"content-range")) == (206, b"234", b"bytes 2-4/10")
    assert (await house.ask("/x", (b"range", b"bytes=20-"))).status == 416
    assert (await house.ask("/x", (b"if-none-match", b'W/"e"'))).status == 304
    assert bytes((await house.ask("/x", (b"range", b"bytes=0-1"), (b"if-range", b'"old"'))).body) == b"0123456789"
    assert house.asked == 1


async def test_a_purge_by_tag_reaches_a_fill_that_began_before_it() -> None:
    gate = asyncio.Event()
    gate.set()

    async def answer(_: Received) -> Reply:
        await gate.wait()
        return Reply(200, [FRESH, (b"surrogate-key", b"a b"), (b"content-length", b"2")], [b"ok"])

    house = House(answer)
    first = await house.ask()
    assert first.header(b"surrogate-key") is None
    await house.cache.purge((tags.named(b"b"),), False, "admin")
    gate.clear()
    filling = asyncio.ensure_future(house.ask())
    for _ in range(3):
        await asyncio.sleep(0)
    await house.cache.purge((tags.named(b"b"),), False, "admin")
    gate.set()
    await filling
    assert said(await house.ask()).startswith("spork; fwd=uri-miss"), "what began before the purge is not kept after it"
    assert house.asked == 3


async def test_a_body_that_breaks_is_never_given() -> None:
    cut = Fault(FaultKind.HTTP_RESPONSE_INCOMPLETE, Side.UPSTREAM)
    house = House(lambda _: Reply(200, [FRESH], [b"half"], cut))
    await house.ask()
    await house.ask()
    assert house.asked == 2
    assert len(house.store) == 0


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((b"cookie", b"session=1"), (b"x", b"y")),
        ((b"authorization", b"Basic YTpi"), (b"x", b"y")),
    ],
)
async def test_what_was_made_for_one_is_not_given_to_another(
    first: tuple[bytes, bytes], second: tuple[bytes, bytes]
) -> None:
    house = House(counting(FRESH))
    await house.ask("/x", first)
    assert bytes((await house.ask("/x", second)).body) == b"answer 2"


async def test_only_if_cached_is_answered_504() -> None:
    house = House(counting(FRESH))
    assert (await house.ask("/x", (b"cache-control", b"only-if-cached"))).status == 504
    assert house.asked == 0


async def test_purge_as_a_method_needs_the_scope_and_the_operators_leave() -> None:
    house = House(counting(FRESH), CachePolicy(by="consumer"), purge_method=True)
    house.caller.principal = Principal("ann", "api_key", consumer="ann")
    await house.ask()
    assert (await house.ask(method="PURGE")).status == 403
    house.caller.principal = Principal("ops", "api_key", consumer="ops", scopes=frozenset(("cache:purge",)))
    assert (await house.ask(method="PURGE")).status == 200
    assert house.asked == 1, "no target hears of it"
    house.caller.principal = Principal("ann", "api_key", consumer="ann")
    assert bytes((await house.ask()).body) == b"answer 2"


async def test_what_was_made_for_a_person_is_forgotten_with_the_person() -> None:
    house = House(counting(FRESH), CachePolicy(by="consumer"))
    house.caller.principal = Principal("ann", "api_key", consumer="ann")
    await house.ask()
    await house.cache.purge((tags.of_consumer(b"ann"),), False, "erasure")
    assert bytes((await house.ask()).body) == b"answer 2"
