"""The life of a request over in-memory adapters: what goes out, what comes back, and that close always runs."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from spork.adapters.litestar.problems import JsonProblemResponses
from spork.adapters.memory.circuit_breaker import MemoryCircuitBreakers
from spork.adapters.memory.front_door import MemorySink, request
from spork.adapters.memory.upstream_transport import MemoryTransport, Received, Reply
from spork.adapters.system.clock import SystemClock
from spork.application.configuration.model import Configuration, EdgeLimits, HeaderEdit, RouteConfig
from spork.application.exchange.exchange import NO_FIELDS, Current, Exchange, Snapshot
from spork.application.guards.policy import Policy
from spork.application.guards.stale import StaleAnswers
from spork.application.kernel.faults import FaultError
from spork.application.pipeline.admission import Admission
from spork.application.pipeline.client_address import ClientAddress
from spork.application.pipeline.configurator import Configurator
from spork.application.pipeline.forwarder import Forwarder
from spork.application.pipeline.mirroring import Mirrors
from spork.application.pipeline.sender import Sender
from spork.application.upstreams.registry import UpstreamRegistry
from spork.domain.outcomes import (
    Abandoned,
    Answered,
    Denial,
    Denied,
    Failed,
    Fault,
    FaultKind,
    Local,
    LocalResponse,
    Side,
)
from spork.domain.routing.table import Match, PathPattern, Redirect, Rewrite, RouteTable
from spork.domain.upstreams.circuit import BreakerPolicy
from spork.domain.upstreams.model import Target, Upstream
from spork.domain.upstreams.retries import RetryPolicy

ONE = Target("http://10.0.0.1:7001", "http", "10.0.0.1", 7001)
TWO = Target("http://10.0.0.2:7001", "http", "10.0.0.2", 7001)


def route(path: str = "/*", **fields: Any) -> RouteConfig:
    return RouteConfig(fields.pop("name", "r"), Match(PathPattern.parse(path)), fields.pop("upstream", "u"), **fields)


class Closed:
    """An observer that remembers."""

    def __init__(self, seen: list[Exchange]) -> None:
        self.seen = seen

    def closed(self, exchange: Exchange) -> None:
        self.seen.append(exchange)


class Compiles(Policy):
    """A policy that is one function."""

    def __init__(self, make: Callable[[RouteConfig, Configuration], Any]) -> None:
        self.make = make

    def compile(self, route: RouteConfig, configuration: Configuration) -> Any:
        return self.make(route, configuration)


class House:
    """A gateway of in-memory parts."""

    def __init__(
        self,
        handler: Callable[[Received], Any] | None = None,
        *,
        guards: Any = (),
        makers: Any = (),
        stale: StaleAnswers | None = None,
        **configuration: Any,
    ) -> None:
        self.transport = MemoryTransport(handler or (lambda _: Reply(200, [(b"content-length", b"2")], [b"ok"])))
        self.closed: list[Exchange] = []
        configuration.setdefault("upstreams", (Upstream("u", (ONE,)),))
        configuration.setdefault("routes", (route(),))
        clock = SystemClock()
        current = Current(Snapshot("", Configuration(), RouteTable(()), {}, {}))
        registry = UpstreamRegistry(MemoryCircuitBreakers(random.Random(1).random), random.Random(1).random)
        made = [
            *(Compiles(make) for make in makers),
            *(Compiles(lambda _r, _c, guard=guard: guard) for guard in guards),
        ]
        self.configurator = Configurator(current, registry, made, clock)
        declared = Configuration(**configuration)
        self.configurator.apply(declared)
        clients = ClientAddress(declared.trusted_proxies)
        self.mirrors = Mirrors(clock, random.Random(2).random)
        sender = Sender({"httptools": self.transport}, clock, clients, random.Random(1), self.mirrors, stale)
        self.admission = Admission(current, clock, random.Random(1), clients)
        self.gateway = Forwarder(self.admission, JsonProblemResponses(), clock, [Closed(self.closed)], sender)

    def closed_one(self) -> Exchange:
        assert len(self.closed) == 1, "close runs exactly once"
        return self.closed[0]

    async def get(self, path: str = "/x", *headers: tuple[bytes, bytes], **fields: Any) -> MemorySink:
        return await request(self.gateway, fields.pop("method", "GET"), path, headers, **fields)


def problem(sink: MemorySink) -> dict[str, Any]:
    assert sink.header(b"content-type") == b"application/problem+json"
    document: dict[str, Any] = json.loads(bytes(sink.body))
    assert document["status"] == sink.status
    assert document["instance"].encode() == sink.header(b"x-request-id")
    return document


async def test_a_request_is_forwarded_with_the_gateways_own_headers() -> None:
    house = House()
    sink = await house.get("/a/b?q=1", (b"accept", b"*/*"), (b"x-forwarded-for", b"6.6.6.6"), (b"x-user-id", b"admin"))
    assert (sink.status, bytes(sink.body), sink.finished) == (200, b"ok", True)
    sent = house.transport.requests[0]
    assert (sent.method, sent.path) == ("GET", b"/a/b?q=1")
    assert sent.header(b"host") == b"10.0.0.1:7001"
    assert sent.header(b"x-forwarded-for") == b"192.0.2.1"
    assert sent.header(b"forwarded") == b'for=192.0.2.1;proto=http;host="gateway.test"'
    assert sent.header(b"x-user-id") is None
    assert sent.header(b"via") == b"1.1 spork"
    assert sent.header(b"x-request-id") == sink.header(b"x-request-id")
    assert house.closed_one().outcome == Answered(200)


@pytest.mark.parametrize(
    "name",
    [
        b"x-user-id",
        b"X-User-Id".lower(),
        b"x-consumer-id",
        b"x-gateway-plan",
        b"x-real-ip",
        b"forwarded",
        b"x-forwarded-host",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-http-method-override",
        b"te",
        b"keep-alive",
        b"proxy-authorization",
        b"upgrade",
    ],
)
async def test_what_only_the_gateway_or_one_hop_may_say_never_reaches_a_target(name: bytes) -> None:
    house = House()
    await house.get("/x", (name, b"evil"))
    assert b"evil" not in [value for _, value in house.transport.requests[0].headers]


async def test_fields_named_by_connection_are_of_this_hop_only() -> None:
    house = House()
    await house.get("/x", (b"connection", b"close, X-Secret , host"), (b"x-secret", b"1"), (b"x-kept", b"2"))
    sent = house.transport.requests[0]
    assert sent.header(b"x-secret") is None
    assert sent.header(b"connection") is None
    assert sent.header(b"x-kept") == b"2"
    assert sent.header(b"host") == b"10.0.0.1:7001"


async def test_unknown_paths_and_methods_are_refused_with_reasons() -> None:
    match = Match(PathPattern.parse("/only"), methods=frozenset({"POST"}))
    house = House(routes=(RouteConfig("r", match, "u"),))
    missing = await house.get("/nowhere")
    assert (missing.status, problem(missing)["type"]) == (404, "urn:spork:problem:no_route")
    wrong = await house.get("/only")
    assert (wrong.status, wrong.header(b"allow")) == (405, b"POST")
    assert [e.reason for e in house.closed] == ["no_route", "method_not_allowed"]
    assert house.transport.requests == []


async def test_our_own_pseudonym_in_via_is_a_loop() -> None:
    house = House()
    assert (await house.get("/x", (b"via", b"1.0 other, 1.1 Spork"))).status == 508
    assert (await house.get("/x", (b"via", b"1.1 sporky"))).status == 200


async def test_a_trusted_proxy_is_believed_and_its_chain_kept() -> None:
    house = House(trusted_proxies=("10.0.0.0/8",))
    chain = (b"x-forwarded-for", b"6.6.6.6, 203.0.113.9, 10.1.1.1")
    await house.get("/x", chain, (b"x-forwarded-proto", b"https"), (b"x-request-id", b"from-proxy"), peer="10.0.0.9")
    exchange = house.closed_one()
    assert (exchange.client, exchange.head.scheme, exchange.request_id) == ("203.0.113.9", "https", "from-proxy")
    sent = house.transport.requests[0]
    assert sent.header(b"x-forwarded-for") == b"6.6.6.6, 203.0.113.9, 10.1.1.1, 10.0.0.9"
    assert sent.header(b"x-real-ip") == b"203.0.113.9"


async def test_an_untrusted_peers_request_id_and_chain_are_not_believed() -> None:
    house = House(trusted_proxies=("10.0.0.0/8",))
    await house.get("/x", (b"x-forwarded-for", b"10.0.0.1"), (b"x-request-id", b"forged"), peer="192.0.2.7")
    assert house.closed_one().client == "192.0.2.7"
    assert house.closed_one().request_id != "forged"


TRACED = (
    (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    (b"tracestate", b"rojo=1"),
    (b"baggage", b"k=v"),
    (b"b3", b"0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1"),
    (b"x-b3-traceid", b"0af7651916cd43dd8448eb211c80319c"),
    (b"x-datadog-trace-id", b"1"),
    (b"x-cloud-trace-context", b"1/1;o=1"),
    (b"uber-trace-id", b"0af7651916cd43dd8448eb211c80319c:b7ad6b7169203331:0:1"),
)


def trace_fields(request: Any) -> list[Any]:
    return [header for header in request.headers if header in TRACED or header[0] == b"traceparent"]


async def test_without_tracing_no_trace_is_made_up_for_a_target() -> None:
    house = House(trusted_proxies=("10.0.0.0/8",))
    await house.get("/x")
    await house.get("/x", peer="10.0.0.1")
    assert [trace_fields(r) for r in house.transport.requests] == [[], []]
    assert all(len(e.trace_id) == 32 for e in house.closed), "logs have an id all the same"


async def test_without_tracing_a_trusted_proxys_trace_passes_unchanged_and_a_strangers_not_at_all() -> None:
    house = House(trusted_proxies=("10.0.0.0/8",))
    await house.get("/x", *TRACED, peer="10.0.0.1")
    await house.get("/x", *TRACED, peer="192.0.2.7")
    trusted, stranger = house.transport.requests
    assert trace_fields(trusted) == list(TRACED)
    assert trace_fields(stranger) == []
    assert house.closed[0].trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert house.closed[1].trace_id != "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("fields", "client", "proto", "host"),
    [
        ([(b"x-forwarded-proto", b"https, https")], "10.0.0.1", b"https", b"gateway.test"),
        ([(b"x-forwarded-proto", b"HTTPS")], "10.0.0.1", b"https", b"gateway.test"),
        ([(b"x-forwarded-proto", b"wss")], "10.0.0.1", b"https", b"gateway.test"),
        ([(b"x-forwarded-proto", b"gopher")], "10.0.0.1", b"http", b"gateway.test"),
        ([(b"x-forwarded-host", b"api.example.com")], "10.0.0.1", b"http", b"api.example.com"),
        ([(b"x-forwarded-host", b"evil/host")], "10.0.0.1", b"http", b"gateway.test"),
        ([(b"forwarded", b'for=198.51.100.7;proto=https;host="a.example"')], "198.51.100.7", b"https", b"a.example"),
        ([(b"forwarded", b'For="[2001:db9::7]:80"; Proto=HTTPS')], "2001:db9::7", b"https", b"gateway.test"),
        ([(b"forwarded", b"for=6.6.6.6;proto=https, for=198.51.100.7;proto=http, for=10.0.0.2;proto=https")],
         "198.51.100.7", b"http", b"gateway.test"),
        ([(b"forwarded", b"for=6.6.6.6"), (b"forwarded", b"for=198.51.100.7")], "198.51.100.7", b"http", b"gateway.test"),
        ([(b"forwarded", b"for=_hidden;proto=https")], "10.0.0.1", b"https", b"gateway.test"),
        # the first proxy saw https, the second spoke http to it
        ([(b"x-forwarded-for", b"198.51.100.7, 10.0.0.2"), (b"x-forwarded-proto", b"https"), (b"x-forwarded-proto", b"http")],
         "198.51.100.7", b"https", b"gateway.test"),
        # what stands left of the client's place may have been made up by it
        ([(b"x-forwarded-for", b"6.6.6.6, 198.51.100.7"), (b"x-forwarded-proto", b"https, http")],
         "198.51.100.7", b"http", b"gateway.test"),
    ],
)  # fmt: skip
async def test_trusted_proxies_are_believed_in_every_spelling(
    fields: list[tuple[bytes, bytes]], client: str, proto: bytes, host: bytes
) -> None:
    house = House(trusted_proxies=("10.0.0.0/8",))
    await house.get("/x", *fields, peer="10.0.0.1")
    sent = house.transport.requests[0]
    assert (house.closed_one().client, sent.header(b"x-forwarded-proto")) == (client, proto)
    assert (sent.header(b"x-forwarded-host"), sent.header(b"x-real-ip")) == (host, client.encode())


@pytest.mark.parametrize("name", [b"proxy", b"proxy-status", b"proxy-client-ip", b"proxy-authentication-info"])
async def test_every_proxy_field_of_a_client_is_dropped(name: bytes) -> None:
    house = House()
    await house.get("/x", (name, b"evil"))
    assert (house.transport.requests[0].header(name) is None) == name.startswith(b"proxy-")


async def test_rewrites_transforms_and_base_paths() -> None:
    target = Target("http://10.0.0.1:80/v2", "http", "10.0.0.1", 80, base_path=b"/v2")
    house = House(
        upstreams=(Upstream("u", (target,)),),
        routes=(
            route(
                "/api/users/*",
                rewrite=Rewrite(strip="/api/users", add="/people"),
                request_headers=HeaderEdit(set=((b"x-env", b"prod"),), remove=frozenset({b"x-debug"})),
                response_headers=HeaderEdit(remove=frozenset({b"server"}), add=((b"x-by", b"spork"),)),
            ),
        ),
    )
    house.transport._handler = lambda _: Reply(
        200, [(b"server", b"secret"), (b"set-cookie", b"a"), (b"set-cookie", b"b")]
    )
    sink = await house.get("/api/users/7?x", (b"x-debug", b"1"), (b"x-env", b"dev"))
    sent = house.transport.requests[0]
    assert sent.path == b"/v2/people/7?x"
    assert [v for k, v in sent.headers if k == b"x-env"] == [b"prod"]
    assert sent.header(b"x-debug") is None
    assert sink.header(b"server") is None
    assert sink.all(b"set-cookie") == [b"a", b"b"]
    assert sink.header(b"x-by") == b"spork"


async def test_redirects_keep_the_query() -> None:
    house = House(routes=(route("/old/*", upstream=None, redirect=Redirect("https://new.test{rest}", 301)),))
    sink = await house.get("/old/a/b?x=1")
    assert (sink.status, sink.header(b"location")) == (301, b"https://new.test/a/b?x=1")
    assert house.closed_one().outcome == Local(301, "redirect")


async def test_dynamic_upstreams_take_their_name_from_the_path() -> None:
    house = House(
        upstreams=(Upstream("users", (ONE,)), Upstream("products", (TWO,))),
        routes=(route("/api/v1/{service}/*", upstream="{service}"),),
    )
    await house.get("/api/v1/products/1")
    assert house.transport.requests[0].target is TWO
    assert (await house.get("/api/v1/orders/1")).status == 404


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (FaultKind.CONNECTION_REFUSED, 502),
        (FaultKind.HTTP_RESPONSE_TIMEOUT, 504),
        (FaultKind.HTTP_PROTOCOL_ERROR, 502),
        (FaultKind.CONNECTION_LIMIT_REACHED, 503),
    ],
)
async def test_upstream_faults_have_their_status_and_say_nothing_of_the_target(kind: FaultKind, status: int) -> None:
    def broken(_: Received) -> Reply:
        raise FaultError(Fault(kind, Side.UPSTREAM, note="10.0.0.1 said secret"))

    house = House(broken)
    sink = await house.get()
    assert sink.status == status
    assert b"10.0.0.1" not in bytes(sink.body) and b"secret" not in bytes(sink.body)
    assert sink.header(b"proxy-status") == b"spork; error=" + kind.value.encode()
    assert isinstance(house.closed_one().outcome, Failed)


async def test_a_cut_answer_is_aborted_and_never_finished() -> None:
    house = House(lambda _: Reply(200, [], [b"half"], cut=True))
    sink = await house.get()
    assert (bytes(sink.body), sink.aborted, sink.finished) == (b"half", True, False)
    assert house.closed_one().reason == "http_response_incomplete"


async def test_an_internal_error_answers_500_without_a_traceback() -> None:
    def bug(_: Received) -> Reply:
        raise RuntimeError("secret detail")

    house = House(bug)
    sink = await house.get()
    assert sink.status == 500 and b"secret" not in bytes(sink.body)
    assert house.closed_one().reason == "proxy_internal_error"


async def test_a_client_that_leaves_is_an_abandoned_exchange_and_frees_the_target() -> None:
    began = asyncio.Event()

    async def hangs(_: Received) -> Reply:
        began.set()
        await asyncio.Event().wait()
        return Reply()

    house = House(hangs)
    task = asyncio.ensure_future(house.get())
    await began.wait()
    live = house.configurator.snapshot.upstreams["u"].targets[0]
    assert live.active == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert isinstance(house.closed_one().outcome, Abandoned)
    assert live.active == 0


async def test_declared_and_counted_bodies_are_bounded() -> None:
    house = House(edge=EdgeLimits(body_bytes=10))
    declared = await house.get("/x", method="POST", body=[b"x" * 11])
    assert declared.status == 413
    assert house.transport.requests == []


class Says:
    phase = "test"
    response_fields = NO_FIELDS

    def __init__(self, verdict: Any, log: list[str], name: str) -> None:
        self.verdict, self.log, self.name = verdict, log, name

    def admit(self, exchange: Exchange) -> Any:
        self.log.append(self.name)
        exchange.at_close(lambda e: self.log.append(f"close {self.name}"))
        return self.verdict


async def waits(verdict: Any) -> Any:
    await asyncio.sleep(0)
    return verdict


async def test_the_first_denial_ends_admission_and_finalizers_run_backwards() -> None:
    log: list[str] = []
    guards = [Says(None, log, "a"), Says(Denial("forbidden"), log, "b"), Says(None, log, "c")]
    house = House(guards=guards)
    sink = await house.get()
    assert sink.status == 403
    assert log == ["a", "b", "close b", "close a"]
    assert isinstance(house.closed_one().outcome, Denied)


async def test_guards_may_wait_and_may_answer() -> None:
    log: list[str] = []
    house = House(guards=[Says(waits(LocalResponse("preflight", ((b"x", b"y"),))), log, "a")])
    sink = await house.get()
    assert (sink.status, sink.header(b"x")) == (204, b"y")


async def test_a_failing_try_goes_to_another_target_and_post_does_not() -> None:
    def first_fails(received: Received) -> Reply:
        return Reply(503 if received.target is ONE else 200)

    house = House(first_fails, upstreams=(Upstream("u", (ONE, TWO), retries=RetryPolicy(attempts=2, backoff_base=0)),))
    for _ in range(4):
        assert (await house.get()).status == 200
    statuses = {(await house.get(method="POST")).status for _ in range(2)}
    assert statuses == {200, 503}


async def test_a_retried_body_is_sent_whole_again() -> None:
    def first_fails(received: Received) -> Reply:
        return Reply(503 if len(house.transport.requests) == 1 else 200)

    house = House(first_fails, upstreams=(Upstream("u", (ONE, TWO), retries=RetryPolicy(attempts=1, backoff_base=0)),))
    sink = await house.get("/x", method="PUT", body=[b"ab", b"cd"])
    assert sink.status == 200
    assert [r.body for r in house.transport.requests] == [b"abcd", b"abcd"]


async def test_an_open_breaker_refuses_without_touching_the_target() -> None:
    policy = BreakerPolicy(min_requests=2, failure_ratio=0.5, open_for=60)
    house = House(lambda _: Reply(503), upstreams=(Upstream("u", (ONE,), breaker=policy),))
    for _ in range(2):
        assert (await house.get()).status == 503
    seen = len(house.transport.requests)
    sink = await house.get()
    assert (sink.status, problem(sink)["type"]) == (503, "urn:spork:problem:breaker_open")
    assert int(sink.header(b"retry-after") or 0) > 0
    assert len(house.transport.requests) == seen


async def test_a_new_configuration_is_seen_by_the_next_request_only() -> None:
    swapped = asyncio.Event()

    async def slow(_: Received) -> Reply:
        await swapped.wait()
        return Reply(200, [], [b"old"])

    house = House(slow)
    task = asyncio.ensure_future(house.get())
    await asyncio.sleep(0)
    house.configurator.apply(Configuration(revision="2"))
    assert (await house.get()).status == 404
    swapped.set()
    assert bytes((await task).body) == b"old"
