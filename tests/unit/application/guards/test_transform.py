"""Request bodies changed: what the target gets, what stays the client's, what is refused."""

from __future__ import annotations

import gzip
import json
from collections.abc import Awaitable
from typing import Any

import pytest

from spork.adapters.memory.circuit_breaker import MemoryCircuitBreakers
from spork.adapters.msgspec.json_values import MsgspecJson
from spork.application.configuration.model import RouteConfig
from spork.application.exchange.exchange import NO_FIELDS, RoutePlan
from spork.application.exchange.reading import BodyReader
from spork.application.guards.transform import TransformGuard
from spork.application.pipeline.sender import Sender
from spork.application.upstreams.registry import UpstreamRegistry
from spork.composition.codings import codings
from spork.domain.routing.patterns import Match, PathPattern
from spork.domain.transforms.operations import Operation
from spork.domain.transforms.policy import TransformPolicy, When
from spork.domain.upstreams.model import Target, Upstream
from tests.exchanges import Body, exchange

JSON = {"content-type": "application/json"}
SET = (Operation("remove", "/internal"), Operation("set", "/tenant", "{claim:org}"), Operation("merge", "", {"via": 1}))


async def settled(verdict: Any) -> Any:
    return await verdict if isinstance(verdict, Awaitable) else verdict


def guard(**more: Any) -> TransformGuard:
    return TransformGuard(TransformPolicy(request=SET, **more), BodyReader(codings()), MsgspecJson())


@pytest.mark.parametrize(
    "pieces", [[b'{"internal":1,"tenant":"evil","a":1.10}'], [b'{"internal":1,"tenant":', b'"x","a":1.10}']]
)
async def test_the_target_gets_the_changed_body(pieces: list[bytes]) -> None:
    one = exchange("POST", headers=JSON, body=Body(*pieces))
    assert await settled(guard().admit(one)) is None
    assert one.body.whole() == b'{"a":1.10,"via":1}'  # no claim, so nobody's tenant
    assert one.body.length == 18
    assert one.body.wire == b"".join(pieces)
    assert one.body.whole() == one.body.whole()  # a retry and a mirror send it, too


async def test_a_coded_body_goes_on_plain() -> None:
    one = exchange("POST", headers=JSON | {"content-encoding": "gzip"}, body=Body(gzip.compress(b"{}")))
    assert await settled(guard().admit(one)) is None
    assert one.body.whole() == b'{"via":1}'
    assert {b"content-encoding", b"content-digest"} <= one.consumed


@pytest.mark.parametrize(
    "body",
    [b'{"a":1,"a":2}', b"{", b'{"a":NaN}', b"\xef\xbb\xbf{}", b'{"x":"\\ud800"}', b"\xff", b"[" * 100_000],
)
async def test_what_two_readers_could_take_for_two_things_is_refused(body: bytes) -> None:
    one = exchange("POST", headers=JSON, body=Body(body))
    assert (await settled(guard().admit(one))).reason == "body_invalid"


async def test_other_and_larger_bodies() -> None:
    form = exchange("POST", headers={"content-type": "application/x-www-form-urlencoded"}, body=Body(b"a=1"))
    assert await settled(guard().admit(form)) is None
    assert (await settled(guard(on_other="refuse").admit(form))).reason == "unsupported_media_type"
    large = json.dumps({"a": "x" * 100}).encode()
    assert (
        await settled(guard(maximum=50).admit(exchange("POST", headers=JSON, body=Body(large))))
    ).reason == "body_too_large"
    passed = exchange("POST", headers=JSON, body=Body(large))
    assert await settled(guard(maximum=50, larger="pass").admit(passed)) is None
    assert passed.body.whole() == large
    assert await settled(guard().admit(exchange())) is None


async def test_only_when() -> None:
    one = exchange("POST", headers=JSON, body=Body(b"{}"))
    assert await settled(guard(when=When(methods=frozenset({"PUT"}))).admit(one)) is None
    assert one.body.whole() == b"{}"


async def test_strict() -> None:
    assert (
        await settled(guard(strict=True).admit(exchange("POST", headers=JSON, body=Body(b"{}"))))
    ).reason == "body_invalid"


async def test_explain_shows_the_result() -> None:
    shown = await guard().explain(exchange("POST", headers=JSON, body=Body(b'{"a":1}')))
    assert shown.detail == 'the target gets {"a":1,"via":1}'


async def test_the_sender_takes_it_whole() -> None:
    one = exchange("POST", headers=JSON, body=Body(b'{"a"', b":1}"))
    await settled(guard().admit(one))
    plan = RoutePlan(RouteConfig("r", Match(PathPattern.parse("/*")), "u"), (), None, 1000, NO_FIELDS)
    registry = UpstreamRegistry(MemoryCircuitBreakers(lambda: 0.5), lambda: 0.5)
    target = Target("http://127.0.0.1:1", "http", "127.0.0.1", 1)
    upstream = registry.sync((Upstream("u", (target,)),), 0.0)["u"]
    assert Sender.body_to_send(one, plan, upstream) == b'{"a":1,"via":1}'
