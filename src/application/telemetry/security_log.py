"""Refusals that concern security, for the audit trail: counted per who and why, written as one record per ten seconds.

A scanner makes thousands of refusals a second; a record each would be an attack on the records. So the records say how
often, and nothing is left out of the count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from spork.application.telemetry.audit import AuditEntry
from spork.domain.outcomes import GROUNDS, DenialCategory

if TYPE_CHECKING:
    from spork.application.exchange.exchange import Exchange

EVERY: Final = 10.0
#: Distinct (reason, route, client, subject) kept per period; the rest is counted together.
MOST: Final = 200
_ACTIONS: Final = {DenialCategory.CREDENTIALS: "auth.failed", DenialCategory.ACCESS: "access.denied"}
#: The reasons of refusals that concern security. No fault has such a reason.
_KINDS: Final = {reason: _ACTIONS[ground] for reason, ground in GROUNDS.items() if ground in _ACTIONS}


class SecurityDecisions:
    """Sees refusals of credentials and access (`application.ports.Observer`)."""

    def __init__(self, unix: Callable[[], float], node: str) -> None:
        self._unix = unix
        self._node = node
        self._counts: dict[tuple[str, str, str, str, str], int] = {}
        self._since = unix()
        self.totals: dict[tuple[str], int] = {}

    def closed(self, exchange: Exchange) -> None:
        kind = _KINDS.get(exchange.reason)
        if kind is None:
            return
        route = exchange.plan.name if exchange.plan is not None else ""
        principal = exchange.principal
        key = (kind, exchange.reason, route, exchange.client, principal.subject if principal is not None else "")
        if key not in self._counts and len(self._counts) >= MOST:
            key = (kind, exchange.reason, route, "(many)", "")
        self._counts[key] = self._counts.get(key, 0) + 1
        reason = (exchange.reason,)
        self.totals[reason] = self.totals.get(reason, 0) + 1

    def due(self) -> list[AuditEntry]:
        """The records of the period that has ended; empty while it runs."""
        unix = self._unix()
        if unix - self._since < EVERY:
            return []
        return self.take()

    def take(self) -> list[AuditEntry]:
        """What was counted so far, and begin anew."""
        unix = self._unix()
        counts, self._counts = self._counts, {}
        since, self._since = self._since, unix
        return [
            AuditEntry(
                at=unix,
                action=kind,
                actor=subject or "(unknown)",
                object=f"route {route}" if route else "(no route)",
                outcome="refused",
                reason=reason,
                detail=f"{count} time(s) in {unix - since:.0f} s",
                client=client,
                subject=subject,
                node=self._node,
            )
            for (kind, reason, route, client, subject), count in counts.items()
        ]

    def samples(self) -> list[tuple[str, tuple[str, ...], float]]:
        return [("gateway_security_denials_total", key, float(count)) for key, count in self.totals.items()]
