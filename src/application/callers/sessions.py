"""Sessions: seen on tokens, listed for their subjects and for operators, ended by revocation.

The gateway keeps no session state of its own: a session is what tokens name (`sid`). That it was seen is noted in memory
and written down every few seconds; that it ended is a revocation, which outlives the longest token of the session.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from spork.application.callers.ports import Session, SessionRecords
from spork.application.callers.trust import RevocationSync
from spork.domain.identity.revocation import Revocation, RevocationKind
from spork.domain.identity.tokens import Principal

#: How long a revoked session or subject is remembered, seconds: longer than tokens are issued for.
REMEMBER_REVOKED: Final = 90 * 24 * 3600.0
#: Sightings kept between two writes; more than that are not noted.
_MOST_SEEN: Final = 50_000


#: Ends an API key: its id, when (Unix seconds), why, and who asked.
EndKey = Callable[[str, float, str, str], Awaitable[object]]


class Sessions:
    """Sightings, lists and endings of sessions."""

    def __init__(
        self,
        records: SessionRecords,
        trust: RevocationSync,
        unix: Callable[[], float],
        end_key: EndKey | None = None,
    ) -> None:
        self._end_key = end_key
        self._records = records
        self._trust = trust
        self._unix = unix
        self._seen: dict[tuple[str, str], tuple[Principal, str, float]] = {}

    def __repr__(self) -> str:
        return f"Sessions({len(self._seen)} to write down)"

    def saw(self, principal: Principal, client: str, now: float) -> None:
        """Note that a token of a session was used. Costs a dictionary write."""
        if len(self._seen) < _MOST_SEEN:
            self._seen[(principal.issuer, principal.session)] = (principal, client, now)

    async def write_down(self) -> None:
        seen, self._seen = self._seen, {}
        await self._records.saw([_session(*noted) for noted in seen.values()])
        await self._records.forget(self._unix())

    async def of(self, principal: Principal) -> list[Session]:
        """The caller's own sessions."""
        await self.write_down()
        return await self._records.of_subject(principal.subject, principal.issuer)

    async def page(self, after: str = "", limit: int = 500) -> list[Session]:
        await self.write_down()
        return await self._records.page(after, limit)

    async def log_out(self, principal: Principal) -> None:
        """End the caller's session; a token without one is revoked itself, and so is an API key. Nothing else ends:
        neither other keys of its consumer nor whatever another issuer calls by the same name."""
        if principal.key_id:
            if self._end_key is not None:
                await self._end_key(principal.key_id, self._unix(), "logged out", principal.subject)
        elif principal.session:
            await self.end(principal.session, principal.issuer, "logged out", principal.subject)
        elif principal.token_id:
            await self.revoke_token(principal, "logged out")

    async def end(self, session_id: str, issuer: str = "", reason: str = "", actor: str = "") -> None:
        """Refuse every token of a session, of one issuer or of any."""
        revocation = self._revocation(RevocationKind.SESSION, session_id, issuer, reason, actor)
        await self._trust.revoke(revocation)
        await self._records.ended(session_id, issuer)

    async def end_subject(self, subject: str, issuer: str, before: float, reason: str = "", actor: str = "") -> None:
        """Refuse everything of a subject that was issued until `before` (Unix seconds)."""
        revocation = self._revocation(RevocationKind.SUBJECT, subject, issuer, reason, actor, before)
        await self._trust.revoke(revocation)

    async def revoke_token(self, principal: Principal, reason: str = "", actor: str = "") -> None:
        """Refuse one token, by its id. Raises ValueError for a token without one."""
        if not principal.token_id:
            raise ValueError("the token has no id")
        expires_at = principal.expires_at + 120.0 if principal.expires_at else self._unix() + REMEMBER_REVOKED
        now = self._unix()
        await self._trust.revoke(
            Revocation(
                RevocationKind.TOKEN,
                principal.token_id,
                principal.issuer,
                expires_at=expires_at,
                reason=reason,
                actor=actor or principal.subject,
                created_at=now,
            )
        )

    async def revoke_token_id(self, token_id: str, issuer: str = "", reason: str = "", actor: str = "") -> None:
        """Refuse the token with this id, of one issuer or of any."""
        await self._trust.revoke(self._revocation(RevocationKind.TOKEN, token_id, issuer, reason, actor))

    def _revocation(
        self, kind: RevocationKind, value: str, issuer: str, reason: str, actor: str, before: float = 0.0
    ) -> Revocation:
        now = self._unix()
        return Revocation(kind, value, issuer, before, now + REMEMBER_REVOKED, reason, actor, now)


def _session(principal: Principal, client: str, now: float) -> Session:
    return Session(
        id=principal.session,
        subject=principal.subject,
        issuer=principal.issuer,
        started_at=principal.issued_at or now,
        last_seen=now,
        expires_at=principal.expires_at or None,
        client=client,
    )
