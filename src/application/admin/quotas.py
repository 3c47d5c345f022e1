"""What operators see of limits, and may do to them: limits in force, the busiest windows, reset, raise.

Implements `controls.QuotaControl`. Who is busy is known from this process's own counts and from what the others report
of theirs; what is left of a window is asked of the limiter itself, so with a shared store it is the fleet's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from spork.application.admin.controls import Act
from spork.application.configuration.model import Configuration
from spork.application.guards.limits import limits_of, plan_limits
from spork.application.kernel.tasks import now_or_later
from spork.application.limits.heavy_hitters import HeavyHitters, LimitHits
from spork.application.limits.overrides import LimitOverrides, Override
from spork.application.limits.reports import LimitReport, handle, identity_of, secret, shown
from spork.application.views import ConsumerView, LimitView, QuotaView
from spork.domain.limits.identity import DISGUISE
from spork.domain.limits.limit import Charge, Limit, LimitState, RateLimiter

#: Windows looked at to find the fullest: the busiest of the last five minutes.
LOOKED_AT = 1000
#: Windows measured for the metrics.
MEASURED = 50
_KINDS = {"consumer": "user", "ip": "ip", "key": "key", "tenant": "tenant", "route": "route", "global": "global"}


class QuotaControl:
    """`configuration` gives the one in force, `store` the word for where counts are kept: memory, redis, degraded."""

    def __init__(
        self,
        limiter: RateLimiter,
        insight: HeavyHitters,
        overrides: LimitOverrides,
        configuration: Callable[[], Configuration],
        store: Callable[[], str],
        unix: Callable[[], float] = time.time,
        owner_of: Callable[[str], str] = lambda consumer: "",
        others: Callable[[], Sequence[LimitReport]] = lambda: (),
    ) -> None:
        """`others()` answers what the other processes of the fleet have counted."""
        self._limiter = limiter
        self._insight = insight
        self._overrides = overrides
        self._configuration = configuration
        self._store = store
        self._unix = unix
        self._owner_of = owner_of
        self._others = others
        self._usage: dict[str, float] = {}

    # ---------------------------------------------------------------------------------------------------------- limits

    def limits(self) -> Sequence[LimitView]:
        """Every limit in force once, with the routes that charge it."""
        self._insight.fold(self._unix())
        found: dict[str, tuple[str, Limit, list[str]]] = {}
        for name, limit, route in self._in_force():
            found.setdefault(limit.bucket, (name, limit, []))[2].append(route)
        totals = {tally.limit.bucket: (tally.total_admitted, tally.total_refused) for tally in self._insight.tallies()}
        for report in self._others():
            for bucket, admitted, refused in report.totals:
                known = totals.get(bucket, (0, 0))
                totals[bucket] = (known[0] + admitted, known[1] + refused)
        store = self._store()
        return [
            _limit_view(name, limit, tuple(routes), totals.get(bucket, (0, 0)), store)
            for bucket, (name, limit, routes) in sorted(found.items(), key=lambda item: item[1][0])
        ]

    def _in_force(self) -> Iterator[tuple[str, Limit, str]]:
        configuration = self._configuration()
        for route in configuration.routes:
            for limit in limits_of(route, configuration):
                if limit.source != "plan":
                    yield (f"{limit.scope}/{limit.name}" if limit.scope else limit.name), limit, route.name
                    continue
                for plan in configuration.plans:
                    for each in plan_limits(plan, limit):
                        yield f"{plan.name}/{each.name}", each, route.name

    # --------------------------------------------------------------------------------------------------------- windows

    async def quotas(self, top: int, sort: str, text: str, offset: int) -> tuple[Sequence[QuotaView], int]:
        """Windows, the fullest first (`used`) or the most often refused (`refused`); and how many there are."""
        wanted = text.lower()
        chosen = [
            window
            for window in self._windows()
            if not wanted or wanted in _searched(window).lower() or wanted in window.limit.name.lower()
        ]
        if sort == "refused":
            chosen.sort(key=lambda window: -window.refused)
            views = await self._views(chosen[offset : offset + top])
        else:
            chosen.sort(key=lambda window: -window.admitted)
            fullest = sorted(await self._views(chosen[:LOOKED_AT]), key=_fullness, reverse=True)
            views = fullest[offset : offset + top]
        return views, len(chosen)

    async def quota(self, id: str) -> QuotaView | None:
        found = self._find(id)
        return None if found is None else (await self._views([found]))[0]

    async def reset(self, id: str, act: Act) -> None:
        """Raises LookupError when there is no such window, OSError when the store did not do it."""
        window = self._found(id)
        done = self._limiter.reset(window.limit, window.identity)
        if done is not None:
            await done

    async def raise_to(self, id: str, quota: int, act: Act) -> None:
        """Another quota for one window until `act.ttl` is over. Raises as `reset`."""
        window = self._found(id)
        until = self._unix() + (act.ttl or 3600.0)
        identity = "" if window.identity.startswith(DISGUISE) else window.identity
        await self._overrides.put(Override(window.limit.bucket, identity, quota, until, act.reason, act.by, window.id))

    # ------------------------------------------------------------------------------------------------------- consumers

    def consumers(self) -> Sequence[ConsumerView]:
        """Consumers that limits have seen in the last five minutes. One request under several limits is one."""
        self._insight.fold(self._unix())
        found: dict[str, ConsumerView] = {}
        for tally in self._insight.tallies():
            if tally.limit.by != "consumer":
                continue
            admitted, refused = tally.counts(), tally.counts(refused=True)
            recent = tally.slices[-1] if tally.slices else None
            for identity in admitted.keys() | refused.keys():
                rate = recent[1].get(identity, 0) / max(self._unix() - recent[0], 1.0) if recent is not None else 0.0
                before = found.get(identity)
                found[identity] = ConsumerView(
                    identity,
                    tally.limit.scope.removeprefix("plan ") if tally.limit.scope.startswith("plan ") else None,
                    self._owner_of(identity) or None,
                    max(rate, before.rps if before else 0.0),
                    max(admitted.get(identity, 0), before.admitted_5m if before else 0),
                    max(refused.get(identity, 0), before.refused_5m if before else 0),
                    tally.last_seen(identity),
                )
        return list(found.values())

    async def measure(self) -> None:
        """Ask how full the busiest windows are, for the metrics. Every few seconds."""
        usage: dict[str, float] = {}
        chosen = [
            _Window(tally.limit, identity, "", handle(tally.limit.bucket, identity), 0, 0)
            for tally, identity, _ in self._insight.top(MEASURED)
        ]
        for view in await self._views(chosen):
            usage[view.limit] = max(usage.get(view.limit, 0.0), _fullness(view)[0])
        self._usage = usage

    def samples(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        """For `metering`: how full the busiest window of each limit was when last measured."""
        for name, share in self._usage.items():
            yield "gateway_current_rate_limit_usage", (name,), share

    # ----------------------------------------------------------------------------------------------------------- views

    async def _views(self, chosen: Sequence[_Window]) -> list[QuotaView]:
        charges = [Charge(self._raised(window), window.identity) for window in chosen]
        states = await now_or_later(self._limiter.peek(charges, None if self._limiter.keeps_time else self._unix()))
        return [self._view(window, state) for window, state in zip(chosen, states, strict=True)]

    def _view(self, window: _Window, state: LimitState) -> QuotaView:
        limit = state.limit
        kind = _KINDS.get(limit.by) or limit.by.partition(":")[0]
        override = self._overrides.of(limit.bucket, window.identity, window.id)
        capacity = _capacity(limit)
        return QuotaView(
            subject=window.shown,
            kind=kind,
            plan=limit.scope.removeprefix("plan ") if limit.scope.startswith("plan ") else None,
            limit=limit.name,
            algorithm=limit.algorithm,
            quota=capacity,
            period=limit.terms.span / 1e6 if limit.algorithm == "gcra" else limit.period,
            used=capacity - state.remaining,
            remaining=state.remaining,
            resets_in=state.reset_after,
            admitted_5m=window.admitted,
            refused_5m=window.refused,
            owner=self._owner_of(window.identity) or None if kind == "user" else None,
            override=None if override is None else _said(override),
            id=window.id,
        )

    def _raised(self, window: _Window) -> Limit:
        limit = window.limit
        override = self._overrides.of(limit.bucket, window.identity, window.id)
        return limit if override is None else self._overrides.raised(limit, override)

    def _windows(self) -> list[_Window]:
        """The windows that are busiest somewhere, each once: what all processes that speak have counted, added up."""
        self._insight.fold(self._unix())
        chosen = {(tally.limit.bucket, who): tally for tally, who, _ in self._insight.top(LOOKED_AT)}
        chosen |= {(tally.limit.bucket, who): tally for tally, who, _ in self._insight.top(LOOKED_AT, refused=True)}
        counted = {t.limit.bucket: (t.counts(), t.counts(refused=True)) for t in chosen.values()}
        found = {
            window.id: window
            for window in (_own(tally, who, *counted[bucket]) for (bucket, who), tally in chosen.items())
        }
        reports = self._others()
        if not reports:
            return list(found.values())
        limits = {limit.bucket: limit for _, limit, _ in self._in_force()}
        for report in reports:
            for hits in report.windows:
                known = found.get(hits.id)
                if known is not None:
                    known.admitted += hits.admitted
                    known.refused += hits.refused
                elif hits.bucket in limits:
                    found[hits.id] = _Window(
                        limits[hits.bucket], hits.identity, hits.shown, hits.id, hits.admitted, hits.refused
                    )
        return list(found.values())

    def _find(self, id: str) -> _Window | None:
        found = next((window for window in self._windows() if window.id == id), None)
        if found is None:  # one of few requests
            for tally in self._insight.tallies():
                who = identity_of(self._insight, tally.limit.bucket, id)
                if who is not None:
                    return _own(tally, who, tally.counts(), tally.counts(refused=True))
        return found

    def _found(self, id: str) -> _Window:
        found = self._find(id)
        if found is None:
            raise LookupError(f"no window {id} is being counted")
        return found


@dataclass(slots=True)
class _Window:
    """One caller's window of one limit. `identity` may be disguised where another process has counted it."""

    limit: Limit
    identity: str
    shown: str
    id: str
    admitted: int
    refused: int


def _own(tally: LimitHits, identity: str, admitted: dict[str, int], refused: dict[str, int]) -> _Window:
    """A window as this process has counted it."""
    limit = tally.limit
    return _Window(
        limit,
        identity,
        shown(limit.by, identity),
        handle(limit.bucket, identity),
        admitted.get(identity, 0),
        refused.get(identity, 0),
    )


def _searched(window: _Window) -> str:
    """What a text is looked for in. Of what clients send only what is shown: else a viewer could find a secret out letter
    by letter. A key's id is no secret."""
    return window.shown if secret(window.limit.by) else window.identity


def _capacity(limit: Limit) -> int:
    """What a window holds when nothing is used: the burst of a GCRA limit, else the quota."""
    return limit.terms.burst if limit.algorithm == "gcra" else limit.terms.quota


def _fullness(view: QuotaView) -> tuple[float, int]:
    return (view.used / view.quota if view.quota else 1.0, view.refused_5m)


def _said(override: Override) -> str:
    until = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(override.expires_at))
    return f"{override.quota} until {until} by {override.actor}: {override.reason}"


def _limit_view(name: str, limit: Limit, routes: tuple[str, ...], totals: tuple[int, int], store: str) -> LimitView:
    concurrent = limit.algorithm == "concurrency"
    return LimitView(
        name=name,
        algorithm=limit.algorithm,
        quota=limit.quota,
        period=None if concurrent else limit.period,
        burst=limit.terms.burst if limit.algorithm == "gcra" else None,
        by=limit.by,
        routes=routes,
        on_store_error=limit.on_store_error,
        admitted=totals[0],
        refused=totals[1],
        store=store,
    )
