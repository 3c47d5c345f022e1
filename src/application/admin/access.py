"""Who may operate the gateway: bearer tokens with a role and an end, compared in constant time, guesses limited."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from spork.application.configuration.model import AdminToken
from spork.domain.limits.limit import Charge, Decision, Limit, RateLimiter, Throttled

ROLES = ("viewer", "operator", "admin")


@dataclass(frozen=True, slots=True)
class Operator:
    """A verified operator. `expires_at` in Unix seconds."""

    name: str
    role: str
    expires_at: float | None = None

    def may(self, role: str) -> bool:
        """Roles include the ones before them."""
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True, slots=True)
class NotAnOperator:
    """`reason`: missing, invalid, expired. For the audit trail, not for the caller."""

    reason: str


@dataclass(frozen=True, slots=True)
class Locked:
    """Too many failed attempts from this address; ask again in `retry_after` seconds."""

    retry_after: float


class Operators:
    """Verifies admin tokens. Only their SHA-256 is known here.

    Failures are counted per client address: after `attempts` within `period` seconds the address is locked until its
    oldest failure is that old. At most `addresses` are remembered; a flood of addresses forgets the oldest.

    With a `limiter` that the fleet shares, `counted` adds the fleet's count: guesses spread over many gateways are as
    many guesses. A gateway hears that an address is locked with the address's next failure there.
    """

    def __init__(
        self,
        tokens: Callable[[], Sequence[AdminToken]],
        attempts: int = 10,
        period: float = 60.0,
        addresses: int = 4096,
        limiter: RateLimiter | None = None,
    ) -> None:
        self._tokens = tokens
        self._attempts = attempts
        self._period = period
        self._addresses = addresses
        self._failures: dict[str, list[float]] = {}
        self._limiter = limiter
        self._limit = Limit("admin-attempts", quota=attempts, period=period, algorithm="sliding_log")
        self._told: dict[str, float] = {}

    def verify(self, authorization: str, client: str, unix: float) -> Operator | NotAnOperator | Locked:
        """What an `Authorization` header's value proves. The same work for any token presented."""
        locked = self._locked(client, unix)
        if locked is not None:
            return locked
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            return NotAnOperator("missing")
        found = self._find(token.strip(), unix)
        if isinstance(found, NotAnOperator):
            self._failed(client, unix)
        return found

    async def counted(self, refused: NotAnOperator, client: str, unix: float) -> NotAnOperator | Locked:
        """`refused`, counted in the fleet; Locked when that was one failure too many."""
        if self._limiter is None or refused.reason == "missing":
            return refused
        asked = self._limiter.acquire((Charge(self._limit, client),), None if self._limiter.keeps_time else unix)
        decision: Decision = await asked if isinstance(asked, Awaitable) else asked
        if not isinstance(decision, Throttled) or decision.unavailable:
            return refused
        if len(self._told) >= self._addresses:
            self._told.clear()
        self._told[client] = unix + decision.retry_after
        return Locked(max(1.0, decision.retry_after))

    def _find(self, token: str, unix: float) -> Operator | NotAnOperator:
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
        found: AdminToken | None = None
        for known in self._tokens():
            if hmac.compare_digest(known.sha256.lower().encode(), digest.encode()):
                found = known
        if found is None:
            return NotAnOperator("invalid")
        if found.expires_at is not None and unix >= found.expires_at:
            return NotAnOperator("expired")
        return Operator(found.name, found.role if found.role in ROLES else "viewer", found.expires_at)

    def still(self, operator: Operator, unix: float) -> bool:
        """Whether an operator who was verified before is one yet: for answers that go on."""
        if operator.expires_at is not None and unix >= operator.expires_at:
            return False
        return any(
            known.name == operator.name and (known.role == operator.role or known.role not in ROLES)
            for known in self._tokens()
        )

    def _locked(self, client: str, unix: float) -> Locked | None:
        told = self._told.get(client, 0.0) - unix if self._told else 0.0
        if told > 0.0:
            return Locked(max(1.0, told))
        failures = self._failures.get(client)
        if not failures:
            return None
        recent = [at for at in failures if 0 <= unix - at < self._period]
        if len(recent) < self._attempts:
            return None
        return Locked(max(1.0, recent[-self._attempts] + self._period - unix))

    def _failed(self, client: str, unix: float) -> None:
        while len(self._failures) >= self._addresses and client not in self._failures:
            self._failures.pop(next(iter(self._failures)))
        failures = self._failures.setdefault(client, [])
        failures.append(unix)
        del failures[: -self._attempts]
