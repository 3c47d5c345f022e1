"""Questions to authorities in turns: a client that asks much waits behind itself, not in front of others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from spork.application.callers.methods import BearerToken
from spork.application.callers.turns import AT_ONCE, WAITING, ClientTurns, TooManyQuestions
from spork.application.callers.verdicts import TokenCache
from spork.domain.identity.revocation import RevocationSet
from spork.domain.identity.tokens import Principal, Refused, TokenOutcome, Unverifiable, Verified
from tests.exchanges import exchange


class Authority:
    """Has 16 places, as a real one is asked; says yes to `good`."""

    def __init__(self) -> None:
        self.places = asyncio.Semaphore(16)
        self.asked: list[bytes] = []
        self.gate = asyncio.Event()

    async def verify(self, token: bytes, now: float) -> TokenOutcome:
        async with self.places:
            self.asked.append(token)
            await self.gate.wait()
        return Verified(Principal("alice", "introspection", "idp")) if token == b"good" else Refused("inactive")


def method(authority: Authority, turns: ClientTurns | None) -> BearerToken:
    cache = TokenCache(authority, RevocationSet(), turns=turns)  # type: ignore[arg-type]
    return BearerToken("introspection", cache, costly=True)


def shown(token: str, client: str) -> Any:
    return exchange(headers={"Authorization": f"Bearer {token}"}, client=client)


async def let_run() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_one_clients_bad_tokens_leave_places_for_others() -> None:
    authority = Authority()
    asks = method(authority, ClientTurns())
    flood = [asyncio.ensure_future(asks.authenticate(shown(f"bad{n}", "203.0.113.9"))) for n in range(100)]  # type: ignore[arg-type]
    await let_run()
    assert len(authority.asked) == AT_ONCE
    good = asyncio.ensure_future(asks.authenticate(shown("good", "192.0.2.1")))  # type: ignore[arg-type]
    await let_run()
    assert authority.asked[-1] == b"good", "it is asked at once, before the flood has had its turns"
    authority.gate.set()
    assert isinstance(await good, Verified)
    assert set(await asyncio.gather(*flood)) == {Refused("inactive")}


async def test_a_network_of_ipv6_is_one_client_and_a_line_has_an_end() -> None:
    authority = Authority()
    turns = ClientTurns()
    asks = method(authority, turns)
    many = [
        asyncio.ensure_future(asks.authenticate(shown(f"bad{n}", f"2001:db8::{n:x}")))  # type: ignore[arg-type]
        for n in range(AT_ONCE + WAITING + 5)
    ]
    await let_run()
    assert len(authority.asked) == AT_ONCE
    authority.gate.set()
    outcomes = await asyncio.gather(*many)
    assert outcomes.count(Unverifiable("client_busy", 1.0)) == 5
    assert repr(turns) == "ClientTurns(0 addresses asking)"


async def test_who_leaves_gives_its_place_back() -> None:
    turns = ClientTurns(at_once=1, waiting=1)

    async def hold() -> None:
        async with turns.turn("192.0.2.1"):
            await asyncio.Event().wait()

    first, second = (asyncio.create_task(hold()) for _ in range(2))
    await let_run()
    with pytest.raises(TooManyQuestions):
        async with turns.turn("192.0.2.1"):
            pass
    for task in (first, second):
        task.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    async with turns.turn("192.0.2.1"):
        assert repr(turns) == "ClientTurns(1 addresses asking)"
