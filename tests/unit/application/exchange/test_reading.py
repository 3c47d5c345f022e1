"""Bodies as policies read them: coding taken off once, bounded; the target gets what the client sent."""

from __future__ import annotations

import gzip
import json
from collections.abc import Awaitable
from typing import Any

import pytest

from spork.adapters.jsonschema_rs.body_schema import JsonBodySchema
from spork.adapters.memory.idempotency import MemoryIdempotency
from spork.application.configuration.model import RouteConfig
from spork.application.exchange.bodies import HeldBody
from spork.application.exchange.exchange import NO_FIELDS, RoutePlan
from spork.application.exchange.reading import BodyReader
from spork.application.guards.decode import DecodeGuard
from spork.application.guards.idempotency import IdempotencyGuard, fingerprint_of
from spork.application.guards.schema import SchemaGuard
from spork.application.guards.screen import ScreenGuard
from spork.composition.codings import codings
from spork.domain.http.coding import DecodePolicy
from spork.domain.outcomes import Denial
from spork.domain.routing.patterns import Match, PathPattern
from spork.domain.security.threat_rules import Screen
from tests.exchanges import Body, exchange

ATTACK = json.dumps({"name": "x' UNION SELECT password FROM users --"}).encode()
FINE = json.dumps({"id": 7}).encode()
JSON = {"content-type": "application/json"}
CODERS = {name: codings().get(name) for name in ("gzip", "br", "zstd")}
SCHEMA = json.dumps({"type": "object", "required": ["id"]})


def plan_of(body_bytes: int) -> RoutePlan:
    return RoutePlan(RouteConfig("r", Match(PathPattern.parse("/*")), "u"), (), None, body_bytes, NO_FIELDS)


async def settled(verdict: Any) -> Any:
    return await verdict if isinstance(verdict, Awaitable) else verdict


def coded(name: str, data: bytes) -> bytes:
    coder = CODERS[name]
    assert coder is not None
    return coder.compress(data)


def post(data: bytes, coding: str = "", pieces: int = 1) -> Any:
    headers = JSON | ({"content-encoding": coding} if coding else {})
    step = max(1, -(-len(data) // pieces))
    return exchange("POST", "/", headers, body=Body(*(data[at : at + step] for at in range(0, len(data), step))))


def screen(block: bool = True, maximum: int = 16 * 1024) -> ScreenGuard:
    return ScreenGuard(Screen(), block, None, maximum, BodyReader(codings()))


@pytest.mark.parametrize("name", CODERS)
@pytest.mark.parametrize("pieces", [1, 3])
async def test_the_screen_sees_through_codings(name: str, pieces: int) -> None:
    one = post(coded(name, ATTACK), name, pieces)
    verdict = await settled(screen().admit(one))
    assert isinstance(verdict, Denial) and verdict.reason == "screened"
    assert one.body.whole() == coded(name, ATTACK)  # observed only, it would go on as it came
    assert await settled(screen().admit(post(coded(name, FINE), name, pieces))) is None


@pytest.mark.parametrize("coding", ["deflate", "gzip, gzip", "br, gzip", "nonsense"])
async def test_a_coding_that_hides_the_body_is_refused_where_matches_are(coding: str) -> None:
    verdict = await settled(screen().admit(post(b"whatever", coding)))
    assert verdict.reason == "unsupported_media_type"
    assert verdict.headers == ((b"accept-encoding", b"gzip, zstd, br"),)
    assert await settled(screen(block=False).admit(post(b"whatever", coding))) is None


async def test_what_is_not_in_its_coding_is_a_bad_request() -> None:
    assert (await settled(screen().admit(post(b"not gzip", "gzip")))).reason == "bad_request"


@pytest.mark.parametrize("name", CODERS)
async def test_a_bomb_is_too_large(name: str) -> None:
    bomb = coded(name, bytes(30_000_000))[:200_000]
    verdict = await settled(SchemaGuard(JsonBodySchema(SCHEMA), 1 << 30, BodyReader(codings())).admit(post(bomb, name)))
    assert verdict.reason == "body_too_large"


@pytest.mark.parametrize("name", CODERS)
async def test_a_schema_is_held_against_the_decoded_body(name: str) -> None:
    guard = SchemaGuard(JsonBodySchema(SCHEMA), bodies=BodyReader(codings()))
    assert await settled(guard.admit(post(coded(name, FINE), name))) is None
    assert (await settled(guard.admit(post(coded(name, b"{}"), name)))).reason == "body_invalid"
    assert (await settled(guard.admit(post(FINE, "deflate")))).reason == "unsupported_media_type"


async def test_decoded_once_for_all_who_look() -> None:
    one = post(coded("gzip", FINE), "gzip")
    assert await settled(screen().admit(one)) is None
    assert isinstance(one.body, HeldBody)
    plain = one.body.plain
    assert plain == FINE
    assert BodyReader(codings()).read(one, 1000) is plain


async def test_a_second_look_may_be_larger() -> None:
    large = json.dumps({"id": "x" * 5000}).encode()
    for one in (post(gzip.compress(large), "gzip"), post(large), post(large, pieces=9)):
        assert await settled(screen(maximum=100).admit(one)) is None
        assert await settled(BodyReader(codings()).read(one, 10_000)) == large


async def test_decode_sends_the_plain_body() -> None:
    one = post(coded("br", FINE), "br", pieces=2)
    one.plan = None
    guard = DecodeGuard(BodyReader(codings(), DecodePolicy(("br",))))
    one.plan = plan_of(1000)
    assert await settled(guard.admit(one)) is None
    assert one.body.whole() == FINE
    assert one.body.length == len(FINE)
    assert b"content-encoding" in one.consumed
    assert (await settled(guard.admit(post(FINE, "gzip")))).headers == ((b"accept-encoding", b"br"),)
    assert await settled(guard.admit(post(FINE))) is None


async def test_decode_is_bounded_by_body_bytes() -> None:
    one = post(coded("gzip", b" " * 5000), "gzip")
    one.plan = plan_of(1000)
    verdict = await settled(DecodeGuard(BodyReader(codings(), DecodePolicy())).admit(one))
    assert verdict.reason == "body_too_large"


async def test_a_fingerprint_is_of_the_client_s_bytes() -> None:
    store = MemoryIdempotency(lambda: 0.0)
    one = exchange("POST", "/", JSON | {"idempotency-key": "k"}, body=Body(b"ab", b"cd"))
    one.body = HeldBody(b"abcd")
    one.body.replace(b"something else")
    assert await settled(IdempotencyGuard(store).admit(one)) is None
    two = exchange("POST", "/", JSON | {"idempotency-key": "k"}, body=Body(b"abcd"))
    assert (await settled(IdempotencyGuard(store).admit(two))).reason == "idempotency_in_flight"
    assert fingerprint_of(one, b"abcd") == fingerprint_of(two, b"abcd")
