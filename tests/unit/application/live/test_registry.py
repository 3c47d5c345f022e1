"""The registry of live exchanges: what ends them, and that nothing is left behind."""

from __future__ import annotations

import random

from spork.application.live.endings import BY_OPERATOR, EXPIRED, LIFETIME, NOT_ALLOWED, Ending
from spork.application.live.registry import STREAM, WEBSOCKET, LiveExchanges
from spork.domain.identity.consumers import Consumer
from spork.domain.identity.revocation import Revocation, RevocationKind, RevocationSet
from spork.domain.identity.tokens import Principal


class Clock:
    at = 1000.0

    def unix(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


class Rig:
    def __init__(self) -> None:
        self.clock = Clock()
        self.revoked = RevocationSet()
        self.consumers = {"acme": Consumer("acme")}
        self.live = LiveExchanges(self.clock, self.revoked, lambda name: self.consumers.get(name), "here")
        self.ended: list[Ending] = []

    def enter(self, **facts: object) -> None:
        given: dict[str, object] = {"subject": "s", "method": "jwt", **facts}
        self.live.enter(WEBSOCKET, "r", "192.0.2.1", Principal(**given), self.ended.append)  # type: ignore[arg-type]


def test_expiry_ends_it_at_its_second_and_not_before() -> None:
    rig = Rig()
    rig.enter(expires_at=1010.0)
    rig.clock.at = 1009.9
    rig.live.look()
    assert rig.ended == []
    rig.clock.at = 1010.0
    rig.live.look()
    rig.live.look()
    assert rig.ended == [EXPIRED]


def test_a_lifetime_before_the_tokens_end_says_reconnect() -> None:
    rig = Rig()
    rig.live.enter(STREAM, "r", "c", None, rig.ended.append, lifetime=5.0)
    rig.clock.at = 1005.0
    rig.live.look()
    assert rig.ended == [LIFETIME]


def test_each_kind_of_revocation_ends_its_own_and_no_other() -> None:
    facts: dict[RevocationKind, dict[str, object]] = {
        RevocationKind.TOKEN: {"token_id": "x"},
        RevocationKind.SESSION: {"session": "x"},
        RevocationKind.KEY: {"key_id": "x"},
        RevocationKind.SUBJECT: {"subject": "x", "issued_at": 5.0},
    }
    for kind, fact in facts.items():
        rig = Rig()
        rig.enter(**fact)
        rig.enter(subject="other", session="y", token_id="y", key_id="y")
        rig.revoked.add(Revocation(kind, "x", before=10.0))
        rig.live.look()
        assert [ending.code for ending in rig.ended] == [4401], kind
        assert rig.ended[0].reason == f"{kind.value}_revoked"


def test_what_was_revoked_while_the_handshake_waited_ends_at_once() -> None:
    rig = Rig()
    rig.revoked.add(Revocation(RevocationKind.SESSION, "x"))
    rig.live.look()
    rig.enter(session="x")
    assert [ending.reason for ending in rig.ended] == ["session_revoked"]


def test_a_consumer_that_is_declared_no_more_loses_what_it_holds_open() -> None:
    rig = Rig()
    rig.enter(consumer="acme")
    rig.enter(consumer="never declared")
    rig.live.consumers_changed()
    rig.live.look()
    assert rig.ended == []
    rig.consumers.clear()
    rig.live.consumers_changed()
    rig.live.look()
    assert rig.ended == [NOT_ALLOWED]


def test_ten_thousand_come_and_go_and_nothing_is_left() -> None:
    rig = Rig()
    chance = random.Random(7)
    held = []
    for number in range(10_000):
        principal = Principal("s", "jwt", expires_at=2000.0 + number)
        held.append(rig.live.enter(WEBSOCKET, "r", "c", principal, rig.ended.append))
        if len(held) > 50:
            rig.live.leave(held.pop(chance.randrange(len(held))))
    for live in held:
        rig.live.leave(live)
    assert len(rig.live) == 0
    assert len(rig.live._due) <= 130, "the heap forgets what left"


def test_operators_close_by_number_and_filter_what_they_list() -> None:
    rig = Rig()
    rig.enter(consumer="acme")
    rig.enter(consumer="other")
    (view,) = rig.live.views(consumer="acme")
    assert (view.kind, view.node, view.ends_at) == ("websocket", "here", None)
    assert rig.live.close(view.id)
    assert not rig.live.close("77")
    assert not rig.live.close("x")
    assert rig.ended == [BY_OPERATOR]
