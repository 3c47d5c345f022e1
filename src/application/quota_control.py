"""Limits as operators see them, and what operators do to a subject's window (`insight.QuotaControl`).

Which subjects matter comes from the tallies of the last five minutes, on this node; how much each has left is asked of
the limiter itself, which is shared when the gateway's state is. Subjects that prove who they are (keys, header values)
are masked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from application.configuration import Configuration
from application.insight import Act, now_or_later
from application.limit_overrides import LimitOverrides, Override
from application.usage_insight import Tally, UsageInsight
from application.views import LimitView, QuotaView
from domain.quotas import Charge, Limit

#: Windows looked at when an operator sorts or searches.
_LOOKED_AT = 2000


class LimiterControl:
    """Reads tallies and asks the limiter. `limiter` offers `peek` and `reset`; `degraded` says its store is gone."""

    def __init__(
        self,
        limiter: Any,
        insight: UsageInsight,
        overrides: LimitOverrides,
        configuration: Callable[[], Configuration],
        unix: Callable[[], float],
        degraded: Callable[[], bool] = lambda: False,
        subject_of: Callable[[Limit, str], str] = lambda limit, identity: identity,
    ) -> None:
        self._limiter = limiter
        self._insight = insight
        self._overrides = overrides
        self._configuration = configuration
        self._unix = unix
        self._degraded = degraded
        self._subject_of = subject_of
        self._usage: dict[str, float] = {}

    # ------------------------------------------------------------------------------------------------------- reading

    def limits(self) -> Sequence[LimitView]:
        tallies = {tally.limit.bucket: tally for tally in self._insight.tallies()}
        found: dict[str, tuple[Limit, list[str]]] = {}
        configuration = self._configuration()
        for route in configuration.routes:
            for limit in route.limits:
                found.setdefault(limit.bucket, (limit, []))[1].append(route.name)
        for limit in configuration.limits:
            found.setdefault(limit.bucket, (limit, []))[1].append("*")
        for plan in configuration.plans:
            for limit in (*plan.limits, *plan.quotas):
                found.setdefault(limit.bucket, (limit, []))[1].append(f"plan {plan.name}")
        store = self._store()
        return [self._limit(limit, routes, tallies.get(bucket), store) for bucket, (limit, routes) in found.items()]

    def _store(self) -> str:
        if self._configuration().shared == "memory":
            return "memory"
        return "degraded" if self._degraded() else "redis"

    @staticmethod
    def _limit(limit: Limit, routes: list[str], tally: Tally | None, store: str) -> LimitView:
        from_plan = limit.source == "plan"
        return LimitView(
            name=limit.name,
            algorithm=limit.algorithm,
            quota=None if from_plan else limit.quota,
            period=None if from_plan else limit.period,
            burst=limit.burst,
            by=limit.by,
            routes=tuple(routes),
            on_store_error=limit.on_store_error,
            admitted=tally.total_admitted if tally is not None else 0,
            refused=tally.total_refused if tally is not None else 0,
            store=store,
        )

    async def quotas(self, top: int, sort: str, text: str, offset: int) -> tuple[Sequence[QuotaView], int]:
        """Windows of subjects seen in the last five minutes, worst first."""
        rows = self._rows()
        if text:
            rows = [r for r in rows if text.lower() in f"{r[0].limit.name} {self._shown(r[0].limit, r[1])}".lower()]
        rows.sort(key=lambda r: (-(r[3] if sort == "refused" else r[2]), r[0].limit.bucket, r[1]))
        page = rows[offset : offset + top]
        views = await self._views(page)
        return sorted(views, key=lambda v: -(v.refused_5m if sort == "refused" else v.used / max(1, v.quota))), len(
            rows
        )

    def _rows(self) -> list[tuple[Tally, str, int, int]]:
        """(tally, identity, admitted, refused) of the last five minutes."""
        rows: list[tuple[Tally, str, int, int]] = []
        for tally in self._insight.tallies():
            admitted, refused = tally.counts(), tally.counts(refused=True)
            rows += [
                (tally, who, admitted.get(who, 0), refused.get(who, 0)) for who in admitted.keys() | refused.keys()
            ]
        return sorted(rows, key=lambda row: -(row[2] + row[3]))[:_LOOKED_AT]

    async def _views(self, rows: Sequence[tuple[Tally, str, int, int]]) -> list[QuotaView]:
        charges = [Charge(self._in_force(tally.limit, who), who) for tally, who, _, _ in rows]
        states = await now_or_later(self._limiter.peek(charges)) if charges else ()
        return [
            self._view(tally, who, admitted, refused, state)
            for (tally, who, admitted, refused), state in zip(rows, states, strict=True)
        ]

    def _in_force(self, limit: Limit, identity: str) -> Limit:
        return self._overrides.apply([Charge(limit, identity)])[0].limit if self._overrides.any else limit

    def _view(self, tally: Tally, identity: str, admitted: int, refused: int, state: Any) -> QuotaView:
        limit = state.limit
        override = self._overrides.of(tally.limit.bucket, identity)
        quota = limit.burst if limit.algorithm == "gcra" and limit.burst is not None else limit.quota
        used = max(0, quota - state.remaining)
        self._note_usage(limit.name, used / quota if quota else 1.0)
        return QuotaView(
            subject=self._shown(limit, identity),
            kind=kind_of(limit.by),
            plan=limit.scope.removeprefix("plan ") if limit.scope.startswith("plan ") else None,
            limit=limit.name,
            algorithm=limit.algorithm,
            quota=quota,
            period=limit.period,
            used=used,
            remaining=state.remaining,
            resets_in=state.reset_after,
            admitted_5m=admitted,
            refused_5m=refused,
            override=None
            if override is None
            else f"{override.quota} until {override.expires_at:.0f}: {override.reason}",
            id=window_id(tally.limit.bucket, identity),
        )

    def _note_usage(self, name: str, share: float) -> None:
        self._usage[name] = max(share, self._usage.get(name, 0.0))

    def _shown(self, limit: Limit, identity: str) -> str:
        return masked(kind_of(limit.by), self._subject_of(limit, identity))

    async def quota(self, id: str) -> QuotaView | None:
        row = self._find(id)
        return (await self._views([row]))[0] if row is not None else None

    def _find(self, id: str) -> tuple[Tally, str, int, int] | None:
        return next((row for row in self._rows() if window_id(row[0].limit.bucket, row[1]) == id), None)

    # --------------------------------------------------------------------------------------------------------- acting

    async def reset(self, id: str, act: Act) -> None:
        row = self._find(id)
        if row is not None:
            await now_or_later(self._limiter.reset(self._in_force(row[0].limit, row[1]), row[1]))

    async def raise_to(self, id: str, quota: int, act: Act) -> None:
        row = self._find(id)
        if row is not None:
            until = self._unix() + (act.ttl or 0.0)
            await self._overrides.put(Override(row[0].limit.bucket, row[1], quota, until, act.reason, act.by))

    async def measure(self) -> None:
        """Ask how full the busiest windows are, for the metrics; every few seconds."""
        self._usage.clear()
        await self.quotas(50, "used", "", 0)

    def samples(self) -> list[tuple[str, tuple[str, ...], float]]:
        return [("gateway_current_rate_limit_usage", (name,), share) for name, share in self._usage.items()]


def kind_of(by: str) -> str:
    """What a limit counts by, as views call it."""
    word = by.partition(":")[0]
    return {"consumer": "user", "ip": "ip", "key": "key"}.get(word, word)


def masked(kind: str, subject: str) -> str:
    """Keys and header values as first 4 ... last 2; other subjects as they are."""
    if kind not in ("key", "header") or len(subject) < 8:
        return subject if kind not in ("key", "header") else "..." + subject[-2:]
    return f"{subject[:4]}...{subject[-2:]}"


def window_id(bucket: str, identity: str) -> str:
    """An opaque handle, stable, that does not show the identity."""
    return hashlib.sha256(f"{bucket}\0{identity}".encode("utf-8", "surrogatepass")).hexdigest()[:24]
