"""Tokens of external APIs: fetched once, renewed early, by one request; what is sent and what is not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from spork.application.kernel.faults import FaultError
from spork.application.upstreams.credentials import (
    CredentialStore,
    IssuedToken,
    Tokens,
    TokenUnavailable,
    UpstreamCredentials,
)
from spork.application.upstreams.transport import UpstreamRequest
from spork.domain.outcomes import FaultKind
from spork.domain.upstreams.credentials import (
    AwsCredential,
    Credential,
    FieldCredential,
    HmacCredential,
    OAuthCredential,
)
from spork.domain.upstreams.model import Timeouts

OAUTH = OAuthCredential("https://idp.example.com/token", "me", "secret")
SENT = [(b"host", b"h"), (b"authorization", b"the client's"), (b"cookie", b"a=b"), (b"x-api-key", b"k"), (b"a", b"1")]


class Endpoint:
    """Gives tokens 1, 2, 3 ... of `lifetime` seconds; fails while `down`."""

    def __init__(self, lifetime: float = 100.0) -> None:
        self.lifetime = lifetime
        self.asked: list[bytes] = []
        self.down = False

    async def issue(self, credential: OAuthCredential, subject: bytes) -> IssuedToken:
        self.asked.append(subject)
        await asyncio.sleep(0)
        if self.down:
            raise TokenUnavailable("answered 500")
        return IssuedToken(b"t%d" % len(self.asked), self.lifetime)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def request(body: Any = None) -> UpstreamRequest:
    return UpstreamRequest("POST", b"/x", list(SENT), body, Timeouts(), 0.0)


async def test_a_token_is_fetched_once_and_renewed_before_it_ends() -> None:
    endpoint, clock = Endpoint(), Clock()
    tokens = Tokens(OAUTH, endpoint, clock)
    assert tokens.ready(b"") is None
    assert await asyncio.gather(*(tokens.wait(b"") for _ in range(20))) == [b"t1"] * 20
    clock.now = 79.9  # a fifth of its life before its end
    assert tokens.ready(b"") == b"t1"
    clock.now = 80.1
    assert tokens.ready(b"") is None
    assert set(await asyncio.gather(*(tokens.wait(b"") for _ in range(20)))) <= {b"t1", b"t2"}
    assert len(endpoint.asked) == 2
    assert tokens.ready(b"") == b"t2"


async def test_while_it_cannot_be_renewed_the_old_one_serves() -> None:
    endpoint, clock = Endpoint(), Clock()
    tokens = Tokens(OAUTH, endpoint, clock)
    await tokens.wait(b"")
    endpoint.down = True
    clock.now = 90.0
    assert [await tokens.wait(b"") for _ in range(5)] == [b"t1"] * 5
    assert len(endpoint.asked) == 2  # and the server is left alone for a moment
    clock.now = 100.0
    with pytest.raises(TokenUnavailable):
        await tokens.wait(b"")
    endpoint.down = False
    clock.now = 102.0
    assert await tokens.wait(b"") == b"t4"


async def test_a_refused_token_is_thrown_away() -> None:
    endpoint = Endpoint()
    credentials = UpstreamCredentials(OAUTH, endpoint, Clock(), Clock())
    first, second = request(), request()
    waiting = credentials.apply(first, ())
    assert waiting is not None
    await waiting
    assert (b"authorization", b"Bearer t1") in first.headers
    credentials.refused(first)
    again = credentials.apply(second, ())
    assert again is not None
    await again
    assert (b"authorization", b"Bearer t2") in second.headers


async def test_an_exchange_is_for_each_caller() -> None:
    endpoint = Endpoint()
    exchange = OAuthCredential("https://idp.example.com/token", "me", "secret", exchange=True)
    credentials = UpstreamCredentials(exchange, endpoint, Clock(), Clock())
    for caller in (b"alice", b"bob", b"alice"):
        waiting = credentials.apply(request(), [(b"authorization", b"Bearer " + caller)])
        if waiting is not None:
            await waiting
    assert endpoint.asked == [b"alice", b"bob"]
    with pytest.raises(FaultError) as error:
        credentials.apply(request(), ())
    assert error.value.fault.kind is FaultKind.CREDENTIALS_UNAVAILABLE


@pytest.mark.parametrize(
    "credential",
    [
        FieldCredential(b"x-key", b"v"),
        FieldCredential(b"authorization", b"Bearer b"),
        AwsCredential("a", "b", service="sqs"),
        HmacCredential("s"),
    ],
)
@pytest.mark.parametrize("body", [None, b"data"])
def test_the_client_s_own_credentials_stay_here(credential: Credential, body: bytes | None) -> None:
    one = request(body)
    store = CredentialStore(Endpoint(), Clock(), Clock())
    assert store.of(credential) is store.of(credential)
    assert store.of(credential).apply(one, SENT) is None
    names = [name for name, _ in one.headers]
    assert b"cookie" not in names and b"x-api-key" not in names
    assert [value for name, value in one.headers if name == b"authorization"] != [b"the client's"]
    assert (b"a", b"1") in one.headers and len(names) == len(set(names))


def test_a_body_that_cannot_be_signed_is_not_sent() -> None:
    with pytest.raises(FaultError):
        CredentialStore(Endpoint(), Clock(), Clock()).of(HmacCredential("s")).apply(request(object()), ())
