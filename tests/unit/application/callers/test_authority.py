"""How far a credential reaches: a token to its own issuer, a key to every one, logging out to nothing but itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from spork.application.callers.self_service import MAY_INTROSPECT, MAY_REVOKE, AuthDesk
from spork.application.callers.sessions import Sessions
from spork.application.callers.verdicts import DIGEST_ID, TokenCache
from spork.domain.identity.revocation import Revocation, RevocationKind, RevocationSet
from spork.domain.identity.tokens import Principal, Refused, TokenOutcome, Verified
from spork.domain.outcomes import Denial
from tests.tokens import NOW

NOBODY: Any = None


class Trust:
    """Notes what is revoked."""

    def __init__(self) -> None:
        self.revoked: list[Revocation] = []

    async def revoke(self, revocation: Revocation) -> None:
        self.revoked.append(revocation)

    def said(self) -> list[tuple[str, str, str]]:
        return [(r.kind.value, r.issuer, r.value) for r in self.revoked]


class NoRecords:
    async def ended(self, session_id: str, issuer: str = "") -> None: ...


class Clock:
    def monotonic(self) -> float:
        return 0.0

    def unix(self) -> float:
        return NOW


class Known:
    """A verifier that knows these tokens."""

    def __init__(self, **tokens: Principal) -> None:
        self.tokens = tokens

    def verify(self, token: bytes, now: float) -> TokenOutcome:
        found = self.tokens.get(token.decode())
        return Verified(found) if found is not None else Refused("not_a_jwt")


def caller(issuer: str = "", *scopes: str, subject: str = "root", key_id: str = "") -> Principal:
    return Principal(subject, "jwt" if issuer else "api_key", issuer, key_id=key_id, scopes=frozenset(scopes))


ALICE = Principal("alice", "jwt", "main", session="s1", token_id="t1")
OPAQUE = Principal("alice", "introspection", "main")


def desk_with(trust: Trust, ended: list[str] | None = None) -> AuthDesk:
    async def end_key(key_id: str, now: float, reason: str, actor: str) -> None:
        (ended if ended is not None else []).append(key_id)

    sessions = Sessions(NoRecords(), trust, lambda: NOW, end_key)  # type: ignore[arg-type]
    verifiers = [TokenCache(Known(alice=ALICE, opaque=OPAQUE), RevocationSet())]
    return AuthDesk(lambda: verifiers, NOBODY, sessions, NOBODY, Clock(), lambda: None)


def refused(answer: object) -> bool:
    return isinstance(answer, Denial) and answer.reason == "insufficient_scope"


@pytest.mark.parametrize(
    ("who", "reaches"),
    [
        (caller("main", MAY_REVOKE, MAY_INTROSPECT), True),
        (caller("second", MAY_REVOKE, MAY_INTROSPECT), False),
        (caller("auth_service", MAY_REVOKE, MAY_INTROSPECT), False),
        (caller("", MAY_REVOKE, MAY_INTROSPECT, key_id="k1"), True),
        (caller("main"), False),
        (caller("second", subject="alice"), False),
        (caller("main", subject="alice"), True),
    ],
)
async def test_authority_over_a_token_is_that_of_its_issuer(who: Principal, reaches: bool) -> None:
    trust = Trust()
    desk = desk_with(trust)
    assert refused(await desk.introspect(who, b"alice")) is not reaches
    assert refused(await desk.revoke(who, b"alice")) is not reaches
    assert trust.said() == ([("token", "main", "t1")] if reaches else [])


@pytest.mark.parametrize("kind", ["jti", "session", "subject"])
async def test_what_is_named_is_revoked_at_the_callers_issuer_only(kind: str) -> None:
    trust = Trust()
    desk = desk_with(trust)
    assert await desk.revoke_named(caller("second", MAY_REVOKE), kind, "alice") is None
    assert [issuer for _, issuer, _ in trust.said()] == ["second"]
    assert refused(await desk.revoke_named(caller("second", MAY_REVOKE), kind, "alice", "main"))
    assert refused(await desk.revoke_named(caller("second"), kind, "alice"))
    key = caller("", MAY_REVOKE, key_id="k1")
    assert await desk.revoke_named(key, kind, "alice", "main") is None
    assert await desk.revoke_named(key, kind, "alice") is None
    assert [issuer for _, issuer, _ in trust.said()] == ["second", "main", ""]


async def test_a_subject_may_end_all_of_its_own_and_a_key_is_no_subject() -> None:
    trust = Trust()
    desk = desk_with(trust)
    assert await desk.revoke_named(caller("second", subject="alice"), "subject", "alice") is None
    assert trust.said() == [("subject", "second", "alice")]
    assert refused(await desk.revoke_named(caller("", subject="alice", key_id="k1"), "subject", "alice"))


async def test_logging_out_with_a_key_ends_that_key_and_nothing_else() -> None:
    trust = Trust()
    ended: list[str] = []
    await desk_with(trust, ended).log_out(caller("", subject="acme", key_id="k1"))
    assert (ended, trust.said()) == (["k1"], [])


async def test_logging_out_ends_the_session_or_the_token_that_has_none() -> None:
    trust = Trust()
    await desk_with(trust).log_out(ALICE)
    assert trust.said() == [("session", "main", "s1")]
    trust = Trust()
    await desk_with(trust).log_out(replace(ALICE, session=""))
    assert trust.said() == [("token", "main", "t1")]


async def test_an_opaque_token_is_revoked_alone() -> None:
    trust = Trust()
    desk = desk_with(trust)
    outcome = await desk.judge(b"opaque")
    assert isinstance(outcome, Verified)
    assert await desk.revoke(outcome.principal, b"opaque") is None
    [(kind, issuer, value)] = trust.said()
    assert (kind, issuer, value[: len(DIGEST_ID)]) == ("token", "main", DIGEST_ID)
    said = await desk.introspect(outcome.principal, b"opaque")
    assert isinstance(said, dict)
    assert "jti" not in said

    revoked = RevocationSet()
    revoked.add(Revocation(RevocationKind.TOKEN, value, issuer))
    cache = TokenCache(Known(opaque=OPAQUE, other=OPAQUE), revoked)
    assert cache.verify(b"opaque", NOW) == Refused("token_revoked")
    assert isinstance(cache.verify(b"other", NOW), Verified)
