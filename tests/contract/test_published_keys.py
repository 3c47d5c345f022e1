"""Keys that issuers publish: fetched once, refreshed carefully, kept while the issuer is away. Over real HTTP."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from spork.adapters.httpx.fetch import MAX_DOCUMENT, HttpCalls, check_address
from spork.adapters.httpx.introspection import Authority as Asking
from spork.adapters.httpx.introspection import IntrospectionVerifier
from spork.adapters.jwt.sources import REFRESH_AFTER, UNKNOWN_KID_INTERVAL, PublishedKeys
from spork.adapters.jwt.verifier import PATIENCE, JwtVerifier, Published, trust
from spork.adapters.memory.circuit_breaker import MemoryCircuitBreakers
from spork.application.callers.ports import FetchFailed
from spork.application.callers.verdicts import TokenCache
from spork.domain.identity.revocation import RevocationSet
from spork.domain.identity.tokens import Issuer, Refused, TokenOutcome, Unverifiable, Verified
from spork.domain.upstreams.circuit import BreakerPolicy
from tests.authorities import Authority, authority
from tests.contract.upstream_transport.certificates import Authority as CertificateAuthority
from tests.contract.upstream_transport.certificates import Pair
from tests.tokens import AUDIENCE, ISSUER, NOW, claims, public_jwk, token


@pytest.fixture
def issuer() -> Iterator[Authority]:
    with authority() as found:
        found.jwks = {"keys": [public_jwk("rsa", "k1")]}
        yield found


@pytest.fixture
async def calls() -> AsyncIterator[HttpCalls]:
    made = HttpCalls(patience=1.0)
    yield made
    await made.close()


def declared(issuer: Authority, **more: object) -> Issuer:
    return Issuer("idp", ISSUER, (AUDIENCE,), jwks_url=f"{issuer.url}/jwks", **more)  # type: ignore[arg-type]


async def verify(verifier: JwtVerifier, raw: bytes, now: float = NOW) -> TokenOutcome:
    found = verifier.verify(raw, now)
    return await found if isinstance(found, Awaitable) else found


async def test_many_tokens_at_once_fetch_the_keys_once(issuer: Authority, calls: HttpCalls) -> None:
    verifier = JwtVerifier([trust(declared(issuer), calls)])
    found = await asyncio.gather(*(verify(verifier, token(jti=str(n))) for n in range(30)))
    assert all(isinstance(one, Verified) for one in found)
    assert issuer.count("/jwks") == 1


async def test_a_rotated_key_is_taken_without_one_refusal(issuer: Authority, calls: HttpCalls) -> None:
    verifier = JwtVerifier([trust(declared(issuer), calls)])
    assert isinstance(await verify(verifier, token()), Verified)
    issuer.jwks = {"keys": [public_jwk("rsa", "k1"), public_jwk("rsa", "k2", 1)]}
    assert isinstance(await verify(verifier, token("rsa", "k2", 1)), Verified)
    assert isinstance(await verify(verifier, token()), Verified)
    assert issuer.count("/jwks") == 2


async def test_unknown_key_ids_ask_twice_a_minute_at_most(issuer: Authority, calls: HttpCalls) -> None:
    verifier = JwtVerifier([trust(declared(issuer), calls)])
    await verify(verifier, token())
    for n in range(50):
        assert await verify(verifier, token(kid=f"made-up-{n}"), NOW + n * 0.5) == Refused("key_unknown")
    assert issuer.count("/jwks") == 2
    await verify(verifier, token(kid="another"), NOW + UNKNOWN_KID_INTERVAL + 1)
    assert issuer.count("/jwks") == 3


async def test_known_keys_serve_while_the_issuer_is_away(issuer: Authority, calls: HttpCalls) -> None:
    verifier = JwtVerifier([trust(declared(issuer), calls)])
    await verify(verifier, token())
    issuer.instead = lambda *_: (503, {}, b"")
    late = NOW + REFRESH_AFTER * 3
    assert isinstance(await verify(verifier, token(exp=late + 60), late), Verified)
    assert await verify(verifier, token(kid="k2", exp=late + 60), late) == Refused("key_unknown")


async def test_keys_are_looked_at_again_in_the_background(issuer: Authority, calls: HttpCalls) -> None:
    source = PublishedKeys(calls, jwks_url=f"{issuer.url}/jwks")
    first = source.refresh(NOW, "k1")
    assert first is not None
    await first
    issuer.jwks = {"keys": [public_jwk("rsa", "k2", 1)]}
    served = source.current(NOW + REFRESH_AFTER)
    assert served is not None
    assert set(served.by_kid) == {"k1"}  # served at once, from what is there
    await _until(lambda: set(source.current(NOW + REFRESH_AFTER).by_kid) == {"k2"})  # type: ignore[union-attr]


async def _until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not check():
            await asyncio.sleep(0.01)


async def test_without_any_key_nobody_can_say(issuer: Authority, calls: HttpCalls) -> None:
    issuer.instead = lambda *_: (500, {}, b"")
    verifier = JwtVerifier([trust(declared(issuer), calls)])
    assert await verify(verifier, token()) == Unverifiable("keys_unavailable")
    assert await verify(verifier, token(), NOW + 0.5) == Unverifiable("keys_unavailable")
    assert issuer.count("/jwks") == 1
    issuer.instead = None
    assert isinstance(await verify(verifier, token(), NOW + 5), Verified)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((302, {"location": "/jwks2"}, b""), "302"),
        ((200, {}, b"x" * (MAX_DOCUMENT + 1)), "1 MiB"),
        ((200, {}, b"{"), "not a JSON"),
        ((200, {}, json.dumps({"keys": []}).encode()), "no usable key"),
        ((200, {}, json.dumps({"keys": [{"kty": "oct", "k": "A" * 64}]}).encode()), "symmetric"),
        ((404, {}, b""), "404"),
    ],
)
async def test_a_bad_document_is_not_taken(
    issuer: Authority, calls: HttpCalls, answer: tuple[int, dict[str, str], bytes], why: str
) -> None:
    """Not at first, and not in place of a good one."""
    issuer.instead = lambda *_: answer
    source = PublishedKeys(calls, jwks_url=f"{issuer.url}/jwks")
    waiting = source.refresh(NOW, "k1")
    assert waiting is not None
    assert await waiting is None
    assert why in source.failure
    issuer.instead = None
    good = source.refresh(NOW + 10, "k1")
    assert good is not None
    await good
    issuer.instead = lambda *_: answer
    again = source.refresh(NOW + 50, "k9")
    assert again is not None
    kept = await again
    assert kept is not None
    assert set(kept.by_kid) == {"k1"}
    assert issuer.count("/jwks2") == 0


async def test_a_slow_issuer_is_not_waited_for_for_ever(issuer: Authority, calls: HttpCalls) -> None:
    issuer.gate.clear()
    verifier = JwtVerifier([trust(declared(issuer), calls)])
    async with asyncio.timeout(5):
        assert await verify(verifier, token()) == Unverifiable("keys_unavailable")


async def test_a_request_waits_for_keys_shorter_than_their_fetch_may_take(
    issuer: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PATIENCE == 2.0  # docs/identity.md
    monkeypatch.setattr("spork.adapters.jwt.verifier.PATIENCE", 0.05)
    issuer.gate.clear()
    patient = HttpCalls(patience=60.0)
    try:
        verifier = JwtVerifier([trust(declared(issuer), patient)])
        assert await verify(verifier, token()) == Unverifiable("keys_unavailable")
        issuer.gate.set()  # the fetch that was begun goes on, for those who come later
        async with asyncio.timeout(20):
            while not isinstance(await verify(verifier, token()), Verified):
                await asyncio.sleep(0.01)
        assert issuer.count("/jwks") == 1
    finally:
        await patient.close()


async def test_discovery_must_name_the_issuer_itself(issuer: Authority, calls: HttpCalls) -> None:
    issuer.discovery = {**issuer.discovery, "issuer": "https://evil.example"}
    verifier = JwtVerifier([trust(Issuer("idp", issuer.url, (AUDIENCE,), discovery=True), calls)])
    assert await verify(verifier, token(iss=issuer.url)) == Unverifiable("keys_unavailable")
    assert issuer.count("/jwks") == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://idp.example.com/jwks",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "https://u:p@h/",
        "http://10.0.0.1/",
        "http://127.0.0.1.evil.example/",
        "",
    ],
)
def test_keys_come_over_https_or_from_this_machine(url: str) -> None:
    with pytest.raises(FetchFailed):
        check_address(url)


@pytest.mark.parametrize(
    "url", ["https://idp.example.com/jwks", "http://127.0.0.1:1/", "http://localhost/", "http://[::1]:9/"]
)
def test_these_addresses_are_taken(url: str) -> None:
    check_address(url)


# --------------------------------------------------------------------------------------------------------- introspection


def introspecting(issuer: Authority, calls: HttpCalls, breaker: bool = False) -> TokenCache:
    policy = BreakerPolicy(min_requests=100, consecutive=3, open_for=1000.0)
    circuit = MemoryCircuitBreakers(lambda: 0.5).circuit("idp", policy, 0.0) if breaker else None
    found = Issuer(
        "idp",
        ISSUER,
        (AUDIENCE,),
        introspection_url=f"{issuer.url}/introspect",
        client_id="gateway",
        client_secret="secret",
    )
    return TokenCache(IntrospectionVerifier(found, Asking(calls, circuit)), RevocationSet())


async def ask(verdicts: TokenCache, raw: bytes = b"t", now: float = NOW) -> TokenOutcome:
    found = verdicts.verify(raw, now)
    return await found if isinstance(found, Awaitable) else found


async def test_one_introspection_for_many_requests(issuer: Authority, calls: HttpCalls) -> None:
    issuer.active["t"] = claims()
    verdicts = introspecting(issuer, calls)
    found = await asyncio.gather(*(ask(verdicts) for _ in range(30)))
    assert all(isinstance(one, Verified) for one in found)
    await ask(verdicts, now=NOW + 59)
    assert issuer.count("/introspect") == 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"active": false, "sub": "alice"}', Refused("inactive")),
        (b'{"active": "true", "sub": "alice"}', Refused("inactive")),
        (b'{"active": 1, "sub": "alice"}', Refused("inactive")),
        (b'{"sub": "alice"}', Refused("inactive")),
        (b'{"active": true, "aud": "api"}', Refused("subject_missing")),
        (b'{"active": true, "sub": "alice"}', Refused("audience_mismatch")),
        (b'{"active": true, "sub": "alice", "iss": "https://evil.example"}', Refused("issuer_mismatch")),
        (b'{"active": true, "sub": "alice", "aud": "other"}', Refused("audience_mismatch")),
        (b'{"active": true, "sub": "alice", "aud": "api", "exp": 1}', Refused("expired")),
        (b'{"active": true, "sub": "alice", "aud": "api", "exp": "soon"}', Refused("time_malformed")),
        (b"[]", Unverifiable("authority_answer")),
        (b"{", Unverifiable("authority_answer")),
    ],
)
async def test_only_a_clear_yes_is_one(
    issuer: Authority, calls: HttpCalls, body: bytes, expected: TokenOutcome
) -> None:
    issuer.instead = lambda *_: (200, {}, body)
    assert await ask(introspecting(issuer, calls)) == expected


async def test_a_dead_authority_is_asked_no_more(issuer: Authority, calls: HttpCalls) -> None:
    issuer.instead = lambda *_: (500, {}, b"")
    verdicts = introspecting(issuer, calls, breaker=True)
    found = [await ask(verdicts, str(n).encode()) for n in range(6)]
    assert all(isinstance(one, Unverifiable) for one in found)
    assert isinstance(found[-1], Unverifiable)
    assert found[-1].reason == "authority_circuit_open"
    assert issuer.count("/introspect") == 3


async def test_our_own_bad_credentials_refuse_no_caller(issuer: Authority, calls: HttpCalls) -> None:
    issuer.instead = lambda *_: (401, {}, b"{}")
    assert await ask(introspecting(issuer, calls)) == Unverifiable("authority_answer")


async def test_what_could_not_be_a_token_never_leaves(issuer: Authority, calls: HttpCalls) -> None:
    verdicts = introspecting(issuer, calls)
    for bad in (b"a b", b"a\r\nb", b"\xff", b"x" * 9000, b"a&token=b"):
        assert await ask(verdicts, bad) == Refused("malformed")
    assert issuer.asked == []


async def test_a_reload_keeps_the_keys_of_an_issuer_that_is_down(issuer: Authority, calls: HttpCalls) -> None:
    """Any other setting may change; where the keys come from has not."""
    published: Published = {}
    before = JwtVerifier([trust(declared(issuer), calls, published=published)])
    assert isinstance(await verify(before, token()), Verified)
    issuer.instead = lambda method, path, headers, body: (503, {}, b"")
    after = JwtVerifier([trust(declared(issuer, leeway=5.0), calls, published=published)])
    assert isinstance(await verify(after, token()), Verified)
    assert isinstance(await verify(JwtVerifier([trust(declared(issuer), calls)]), token()), Unverifiable)


async def _jwks_server(tls: Pair | None) -> tuple[asyncio.Server, str]:
    """A server of key sets at the machine's own name, over TLS or plainly."""
    document = json.dumps({"keys": [public_jwk("rsa", "k1")]}).encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(document) + document)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=None if tls is None else tls.context())
    return server, f"{'http' if tls is None else 'https'}://localhost:{server.sockets[0].getsockname()[1]}/jwks"


async def test_keys_come_from_a_server_of_a_private_authority_where_its_file_is_named(
    calls: HttpCalls, tmp_path: Path
) -> None:
    ours, theirs = CertificateAuthority(tmp_path, "ours"), CertificateAuthority(tmp_path, "theirs")
    server, url = await _jwks_server(ours.issue("localhost"))
    async with server:
        for ca, good in (("", False), (theirs.ca, False), (ours.ca, True)):
            issuer = Issuer("idp", ISSUER, (AUDIENCE,), jwks_url=url, ca=ca)
            outcome = await verify(JwtVerifier([trust(issuer, calls)]), token())
            assert isinstance(outcome, Verified) is good, ca
        mended = tmp_path / "mended.pem"
        mended.write_bytes(Path(theirs.ca).read_bytes())
        issuer = Issuer("idp", ISSUER, (AUDIENCE,), jwks_url=url, ca=str(mended))
        assert isinstance(await verify(JwtVerifier([trust(issuer, calls)]), token()), Unverifiable)
        mended.write_bytes(Path(ours.ca).read_bytes())
        os.utime(mended, (1.0, 1.0))
        assert isinstance(await verify(JwtVerifier([trust(issuer, calls)]), token()), Verified)
        mended.unlink()
        with pytest.raises(FetchFailed, match="CA file"):
            await calls.fetch(url, str(mended))


async def test_plain_http_is_let_in_beyond_this_machine_by_choice_only(calls: HttpCalls) -> None:
    assert check_address("http://keys.identity.svc:8080/jwks", plain=True) is None
    for url in ("http://keys.identity.svc:8080/jwks", "http://u:p@keys/jwks"):
        with pytest.raises(FetchFailed):
            check_address(url, plain="u:p" in url)
