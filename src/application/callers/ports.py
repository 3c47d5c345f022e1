"""Ports of identity: what the use cases around callers need from records, from other replicas and from the network.

Records survive restarts (SQL, or memory for an embedded gateway). Announcements reach the other replicas within a
second and are never the only copy of anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from spork.domain.identity.consumers import ApiKey, Consumer
from spork.domain.identity.revocation import Revocation
from spork.domain.identity.tokens import Verified


class FetchFailed(Exception):
    """A document could not be had; the text says why, for logs."""


class DocumentFetch(Protocol):
    """Fetches a small public document (a key set, a discovery document) over https, or http on loopback."""

    async def fetch(self, url: str, ca: str = "", plain: bool = False) -> bytes:
        """The body. `ca` is a PEM file of authorities in place of the system's; `plain` lets http in everywhere. No redirects, at most 1 MiB. Raises FetchFailed."""


class RecordsGone(OSError):
    """The records do not answer. str() says why, in one sentence for operators."""


class Conflict(Exception):
    """The record is not what the caller thought: it exists already, is gone, or was changed meanwhile."""


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in session seen on tokens: `id` is the token's session claim. Times in Unix seconds."""

    id: str
    subject: str
    issuer: str
    started_at: float
    last_seen: float
    expires_at: float | None = None
    client: str = ""


class ChangeKind(Enum):
    """What changed that replicas remember: one key, one consumer, a revocation, or anything (ask again for all)."""

    KEY = "key"
    CONSUMER = "consumer"
    REVOCATION = "revocation"
    EVERYTHING = "everything"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of trust. `subject` is a key id or consumer name; a revocation travels whole."""

    kind: ChangeKind
    subject: str = ""
    revocation: Revocation | None = None


class KeyRecords(Protocol):
    """API keys. A look-up costs the same with ten keys and with a million."""

    async def add(self, key: ApiKey) -> None:
        """Raises Conflict when the id is taken."""

    async def add_all(self, keys: Sequence[ApiKey]) -> int:
        """Add those whose id is not taken, in one go; how many these were."""

    async def find(self, key_id: str) -> ApiKey | None: ...

    async def replace(self, before: ApiKey, after: ApiKey) -> None:
        """Put `after` in place of exactly `before` (last use aside). Raises Conflict."""

    async def page(self, consumer: str = "", after: str = "", limit: int = 100) -> list[ApiKey]:
        """Keys in order of id, from behind `after`; of one consumer when named."""

    async def used(self, at: Mapping[str, float]) -> None:
        """Note when keys were last used."""


class RevocationRecords(Protocol):
    async def record(self, revocation: Revocation) -> None:
        """Keep it; the stricter of two with the same id."""

    async def in_force(self, now: float) -> list[Revocation]: ...

    async def forget(self, now: float) -> None:
        """Drop those that can cover nothing any more."""


class SessionRecords(Protocol):
    async def saw(self, sessions: Sequence[Session]) -> None:
        """Keep or refresh these."""

    async def of_subject(self, subject: str, issuer: str = "") -> list[Session]: ...

    async def page(self, after: str = "", limit: int = 100) -> list[Session]: ...

    async def find(self, session_id: str) -> Session | None: ...

    async def ended(self, session_id: str, issuer: str = "") -> None: ...

    async def forget(self, now: float) -> None: ...


class ConsumerRecords(Protocol):
    """What operators assigned to consumers at run time; it wins over the configuration."""

    async def assign(self, consumer: Consumer) -> None: ...

    async def consumers(self) -> list[Consumer]: ...


class ChangeFeed(Protocol):
    """Numbered changes of the records, for replicas (and commands) that share them and nothing else."""

    async def changes_since(self, number: int) -> tuple[int, list[Change]]:
        """The latest number and the changes after `number`; a negative `number` asks for the latest number only."""


class Announcements(Protocol):
    """Tells every replica of a change, best effort and at once.

    Where the means is a store that may be emptied, it re-asserts every revocation that `recall` still knows.
    """

    async def open(self, hear: Callable[[Change], None], recall: Callable[[], Iterable[Revocation]]) -> None: ...

    async def announce(self, change: Change) -> None:
        """Never raises because a store is gone: records and change feed carry the change too."""

    async def close(self) -> None: ...


class Passwords(Protocol):
    """Password hashes. Slow on purpose: call in a thread."""

    def matches(self, password_hash: str, password: bytes) -> bool: ...

    def hash(self, password: bytes) -> str: ...


class BodySchema(Protocol):
    """A compiled schema of request bodies. `max_bytes` is the largest body it judges: its work is bounded by that."""

    max_bytes: int

    def problem(self, body: bytes) -> str | None:
        """Where and why `body` does not fit, as a short text for the client; None when it does."""


class IdentitySigner(Protocol):
    """Signs who calls, for targets that want to check it themselves."""

    def sign(self, verdict: Verified, audience: str, now: float) -> bytes:
        """A short-lived compact JWT about the verdict's principal."""

    def key_set(self) -> Mapping[str, object]:
        """The public keys as a JWK Set."""
