"""Authorities under load: questions take turns, waiting is nobody's failure, and audiences that are demanded are there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from spork.adapters.httpx.fetch import FetchedDocument
from spork.adapters.httpx.introspection import AT_ONCE, WAITING, Authority, IntrospectionVerifier
from spork.adapters.memory.circuit_breaker import MemoryCircuitBreakers
from spork.application.callers.verdicts import NEGATIVE, TokenCache
from spork.composition.verifiers import AUTHORITY_BREAKER
from spork.domain.identity.revocation import RevocationSet
from spork.domain.identity.tokens import Issuer, Refused, Unverifiable, Verified
from tests.tokens import NOW

ISSUER = Issuer("idp", "https://idp.example.com", ("api",), introspection_url="https://idp.example.com/introspect")


class Calls:
    """An authority that answers when the gate is open: tokens that begin with `good` are good."""

    def __init__(self, **claims: object) -> None:
        self.claims = claims
        self.gate = asyncio.Event()
        self.asked = 0
        self.together = 0
        self.most = 0

    async def call(self, method: str, url: str, *, body: bytes = b"", **more: Any) -> FetchedDocument:
        self.asked += 1
        self.together += 1
        self.most = max(self.most, self.together)
        await self.gate.wait()
        self.together -= 1
        if b"token=good" in body:
            import json

            return FetchedDocument(200, (), json.dumps({"active": True, "sub": "alice", **self.claims}).encode())
        return FetchedDocument(200, (), b'{"active": false}')


def verifier(calls: Calls, breaker: bool = False) -> IntrospectionVerifier:
    circuit = MemoryCircuitBreakers(lambda: 0.5).circuit("idp", AUTHORITY_BREAKER, 0.0) if breaker else None
    return IntrospectionVerifier(ISSUER, Authority(calls, circuit))  # type: ignore[arg-type]


async def test_a_burst_of_bad_tokens_takes_turns_and_a_good_one_is_answered() -> None:
    calls = Calls(aud="api")
    cache = TokenCache(verifier(calls, breaker=True), RevocationSet())
    asked = [cache.verify(b"bad%d" % number, NOW) for number in range(200)] + [cache.verify(b"good", NOW)]
    waiting = asyncio.gather(*(answer for answer in asked if not isinstance(answer, Verified | Refused | Unverifiable)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert calls.together == AT_ONCE
    calls.gate.set()
    outcomes = await waiting
    assert calls.most == AT_ONCE
    assert isinstance(outcomes[-1], Verified), "the authority was never called broken"
    assert set(outcomes[:-1]) == {Refused("inactive")}


async def test_more_than_can_wait_are_told_to_come_back() -> None:
    calls = Calls(aud="api")
    one = verifier(calls)
    asked = [asyncio.ensure_future(one.verify(b"bad%d" % number, NOW)) for number in range(WAITING + 1)]  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert asked[-1].done()
    assert asked[-1].result() == Unverifiable("authority_busy")
    calls.gate.set()
    await asyncio.gather(*asked)


async def test_a_bad_token_is_asked_about_once_for_a_while() -> None:
    calls = Calls()
    calls.gate.set()
    cache = TokenCache(verifier(calls), RevocationSet())
    for _ in range(3):
        answer = cache.verify(b"bad", NOW)
        assert (answer if isinstance(answer, Refused) else await answer) == Refused("inactive")  # type: ignore[misc]
    assert calls.asked == 1
    await cache.verify(b"bad", NOW + NEGATIVE)  # type: ignore[misc]
    assert calls.asked == 2
    cache.forget()
    await cache.verify(b"bad", NOW + NEGATIVE)  # type: ignore[misc]
    assert calls.asked == 3


@pytest.mark.parametrize(
    ("claims", "good"),
    [
        ({}, False),
        ({"aud": None}, False),
        ({"aud": "other"}, False),
        ({"aud": []}, False),
        ({"aud": ["x", "api"]}, True),
    ],
)
async def test_an_audience_that_is_demanded_must_be_there(claims: Mapping[str, object], good: bool) -> None:
    calls = Calls(**claims)
    calls.gate.set()
    outcome = await verifier(calls).verify(b"good", NOW)  # type: ignore[misc]
    assert outcome == Refused("audience_mismatch") or (good and isinstance(outcome, Verified))
