"""Taking trust back before it expires: by token, session, key, or everything of a subject before an instant.

A revocation names what is no longer good. `RevocationSet` answers whether a principal is covered in a few dictionary
look-ups, so that the request path can ask on every verdict it is about to cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from spork.domain.identity.tokens import Principal


class RevocationKind(Enum):
    """What a revocation names: one token (`jti`), one session (`sid`), one API key, or a subject's past."""

    TOKEN = "token"  # noqa: S105
    SESSION = "session"
    KEY = "key"
    SUBJECT = "subject"


@dataclass(frozen=True, slots=True)
class Revocation:
    """`value` of `kind` is no longer good.

    `issuer` is the issuer's name, empty for any. `before` counts for subjects only: what was issued at or before
    it (Unix seconds) is revoked, what comes later is good. After `expires_at` nothing it covers could still be
    valid and it may be forgotten.
    """

    kind: RevocationKind
    value: str
    issuer: str = ""
    before: float = 0.0
    expires_at: float = float("inf")
    reason: str = ""
    actor: str = ""
    created_at: float = 0.0

    @property
    def id(self) -> str:
        """The same for the same thing revoked again."""
        return f"{self.kind.value}:{self.issuer}:{self.value}"


class RevocationSet:
    """Every revocation in force, in memory. The same `id` again keeps the stricter of the two."""

    __slots__ = ("_all", "_keys", "_sessions", "_subjects", "_tokens", "changes")

    def __init__(self) -> None:
        #: How often something was put in force: who keeps verdicts compares it.
        self.changes = 0
        self._reset()

    def _reset(self) -> None:
        self._all: dict[str, Revocation] = {}
        self._tokens: set[tuple[str, str]] = set()
        self._sessions: set[tuple[str, str]] = set()
        self._keys: set[str] = set()
        self._subjects: dict[tuple[str, str], float] = {}

    def add(self, revocation: Revocation) -> bool:
        """Put in force. True when this changes what is covered."""
        known = self._all.get(revocation.id)
        if known is not None and known.before >= revocation.before and known.expires_at >= revocation.expires_at:
            return False
        self._all[revocation.id] = stricter(known, revocation) if known else revocation
        self._index(self._all[revocation.id])
        self.changes += 1
        return True

    def _index(self, revocation: Revocation) -> None:
        mark = (revocation.issuer, revocation.value)
        if revocation.kind is RevocationKind.TOKEN:
            self._tokens.add(mark)
        elif revocation.kind is RevocationKind.SESSION:
            self._sessions.add(mark)
        elif revocation.kind is RevocationKind.KEY:
            self._keys.add(revocation.value)
        else:
            self._subjects[mark] = revocation.before

    def covers(self, principal: Principal) -> str | None:
        """Why this principal is no longer good, as a slug; None when nothing speaks against it."""
        if not self._all:
            return None
        issuer = principal.issuer
        if self._tokens and principal.token_id and self._has(self._tokens, issuer, principal.token_id):
            return "token_revoked"
        if self._sessions and principal.session and self._has(self._sessions, issuer, principal.session):
            return "session_revoked"
        if self._keys and principal.key_id in self._keys:
            return "key_revoked"
        if self._subjects:
            before = max(
                self._subjects.get((issuer, principal.subject), -1.0), self._subjects.get(("", principal.subject), -1.0)
            )
            if principal.issued_at <= before:
                return "subject_revoked"
        return None

    @staticmethod
    def _has(marks: set[tuple[str, str]], issuer: str, value: str) -> bool:
        return (issuer, value) in marks or ("", value) in marks

    def forget(self, now: float) -> int:
        """Drop those that can cover nothing any more; how many were dropped."""
        over = [r for r in self._all.values() if r.expires_at <= now]
        if over:
            kept = [r for r in self._all.values() if r.expires_at > now]
            self._reset()
            for revocation in kept:
                self.add(revocation)
        return len(over)

    def __iter__(self) -> Iterator[Revocation]:
        return iter(tuple(self._all.values()))

    def __len__(self) -> int:
        return len(self._all)

    def __repr__(self) -> str:
        return f"RevocationSet({len(self._all)} in force)"


def stricter(one: Revocation, other: Revocation) -> Revocation:
    """Of two revocations of the same thing, one that covers what either covers."""
    late, early = (other, one) if other.before >= one.before else (one, other)
    if late.expires_at >= early.expires_at:
        return late
    return Revocation(
        late.kind, late.value, late.issuer, late.before, early.expires_at, late.reason, late.actor, late.created_at
    )
