"""What operators see of limits, and may do to them: limits in force, the busiest windows, reset, raise.

Implements `insight.QuotaControl`. Who is busy is known from this process's own counts; what is left of a window is asked
of the limiter itself, so with a shared store it is the fleet's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b

from spork.application.admin.controls import Act
from spork.application.configuration.model import Configuration
from spork.application.guards.limits import limits_of, plan_limits
from spork.application.kernel.tasks import now_or_later
from spork.application.limits.heavy_hitters import HeavyHitters, LimitHits
from spork.application.limits.overrides import LimitOverrides, Override
from spork.application.views import ConsumerView, LimitView, QuotaView
from spork.domain.limits.identity import masked
from spork.domain.limits.limit import Charge, Limit, LimitState, RateLimiter

#: Windows looked at to find the fullest: the busiest of the last five minutes.
LOOKED_AT = 1000
#: Windows measured for the metrics.
MEASURED = 50
_KINDS = {"consumer": "user", "ip": "ip", "key": "key", "tenant": "tenant", "route": "route", "global": "global"}
_SECRET_KINDS = frozenset(("key", "header", "claim"))


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
    ) -> None:
        self._limiter = limiter
        self._insight = insight
        self._overrides = overrides
        self._configuration = configuration
        self._store = store
        self._unix = unix
        self.owner_of = owner_of
        self._usage: dict[str, float] = {}

    # ---------------------------------------------------------------------------------------------------------- limits

    def limits(self) -> Sequence[LimitView]:
        """Every limit in force once, with the routes that charge it."""
        self._insight.fold(self._unix())
        found: dict[str, tuple[str, Limit, list[str]]] = {}
        for name, limit, route in self._in_force():
            found.setdefault(limit.bucket, (name, limit, []))[2].append(route)
        tallies = {tally.limit.bucket: tally for tally in self._insight.tallies()}
        store = self._store()
        return [
            _limit_view(name, limit, tuple(routes), tallies.get(bucket), store)
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
        self._insight.fold(self._unix())
        rows = self._insight.top(LOOKED_AT, refused=sort == "refused")
        if sort != "refused":  # who is only ever refused is full, too
            seen = {(tally, identity) for tally, identity, _ in rows}
            rows += [row for row in self._insight.top(LOOKED_AT, refused=True) if (row[0], row[1]) not in seen]
        wanted = text.lower()
        chosen = [
            (tally, identity)
            for tally, identity, _ in rows
            if not wanted or wanted in _searched(tally.limit, identity).lower() or wanted in tally.limit.name.lower()
        ]
        if sort == "refused":
            views = await self._views(chosen[offset : offset + top])
        else:
            views = sorted(await self._views(chosen), key=_fullness, reverse=True)[offset : offset + top]
        return views, len(chosen)

    async def quota(self, id: str) -> QuotaView | None:
        found = self._find(id)
        return None if found is None else (await self._views([found]))[0]

    async def reset(self, id: str, act: Act) -> None:
        """Raises LookupError when there is no such window, OSError when the store did not do it."""
        tally, identity = self._found(id)
        await self._forget(tally.limit, identity)

    async def _forget(self, limit: Limit, identity: str) -> None:
        done = self._limiter.reset(limit, identity)
        if done is not None:
            await done

    async def raise_to(self, id: str, quota: int, act: Act) -> None:
        """Another quota for one window until `act.ttl` is over. Raises as `reset`."""
        tally, identity = self._found(id)
        until = self._unix() + (act.ttl or 3600.0)
        await self._overrides.put(Override(tally.limit.bucket, identity, quota, until, act.reason, act.by))

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
                    self.owner_of(identity) or None,
                    max(rate, before.rps if before else 0.0),
                    max(admitted.get(identity, 0), before.admitted_5m if before else 0),
                    max(refused.get(identity, 0), before.refused_5m if before else 0),
                    tally.last_seen(identity),
                )
        return list(found.values())

    async def measure(self) -> None:
        """Ask how full the busiest windows are, for the metrics. Every few seconds."""
        usage: dict[str, float] = {}
        chosen = [(tally, identity) for tally, identity, _ in self._insight.top(MEASURED)]
        for view in await self._views(chosen):
            usage[view.limit] = max(usage.get(view.limit, 0.0), _fullness(view)[0])
        self._usage = usage

    def samples(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        """For `metering`: how full the busiest window of each limit was when last measured."""
        for name, share in self._usage.items():
            yield "gateway_current_rate_limit_usage", (name,), share

    # ----------------------------------------------------------------------------------------------------------- views

    async def _views(self, chosen: Sequence[tuple[LimitHits, str]]) -> list[QuotaView]:
        charges = [Charge(self._raised(tally.limit, identity), identity) for tally, identity in chosen]
        states = await now_or_later(self._limiter.peek(charges, None if self._limiter.keeps_time else self._unix()))
        counted = {tally: (tally.counts(), tally.counts(refused=True)) for tally, _ in chosen}
        return [
            self._view(tally, identity, state, *counted[tally])
            for (tally, identity), state in zip(chosen, states, strict=True)
        ]

    def _view(
        self, tally: LimitHits, identity: str, state: LimitState, admitted: dict[str, int], refused: dict[str, int]
    ) -> QuotaView:
        limit = state.limit
        kind = _kind(limit)
        override = self._overrides.of(limit.bucket, identity)
        capacity = _capacity(limit)
        return QuotaView(
            subject=_subject(limit, identity),
            kind=kind,
            plan=limit.scope.removeprefix("plan ") if limit.scope.startswith("plan ") else None,
            limit=limit.name,
            algorithm=limit.algorithm,
            quota=capacity,
            period=limit.terms.span / 1e6 if limit.algorithm == "gcra" else limit.period,
            used=capacity - state.remaining,
            remaining=state.remaining,
            resets_in=state.reset_after,
            admitted_5m=admitted.get(identity, 0),
            refused_5m=refused.get(identity, 0),
            owner=self.owner_of(identity) or None if kind == "user" else None,
            override=None if override is None else _said(override),
            id=_handle(limit.bucket, identity),
        )

    def _raised(self, limit: Limit, identity: str) -> Limit:
        return self._overrides.apply([Charge(limit, identity)])[0].limit

    def _known(self) -> Iterator[tuple[LimitHits, str]]:
        for tally in self._insight.tallies():
            for identity in tally.counts().keys() | tally.counts(refused=True).keys():
                yield tally, identity

    def _find(self, id: str) -> tuple[LimitHits, str] | None:
        self._insight.fold(self._unix())
        return next(((t, who) for t, who in self._known() if _handle(t.limit.bucket, who) == id), None)

    def _found(self, id: str) -> tuple[LimitHits, str]:
        found = self._find(id)
        if found is None:
            raise LookupError(f"no window {id} is being counted")
        return found


def _kind(limit: Limit) -> str:
    return _KINDS.get(limit.by) or limit.by.partition(":")[0]


def _subject(limit: Limit, identity: str) -> str:
    """Whose window it is, as operators may see it."""
    return masked(identity) if _kind(limit) in _SECRET_KINDS else identity


def _searched(limit: Limit, identity: str) -> str:
    """What a text is looked for in. Of what clients send only what is shown: else a viewer could find a secret out letter
    by letter. A key's id is no secret."""
    return _subject(limit, identity) if _kind(limit) in ("header", "claim") else identity


def _capacity(limit: Limit) -> int:
    """What a window holds when nothing is used: the burst of a GCRA limit, else the quota."""
    return limit.terms.burst if limit.algorithm == "gcra" else limit.terms.quota


def _fullness(view: QuotaView) -> tuple[float, int]:
    return (view.used / view.quota if view.quota else 1.0, view.refused_5m)


def _handle(bucket: str, identity: str) -> str:
    """An opaque name of a window that says nothing about whose it is."""
    return blake2b(f"{bucket}\0{identity}".encode("utf-8", "replace"), digest_size=9).hexdigest()


def _said(override: Override) -> str:
    until = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(override.expires_at))
    return f"{override.quota} until {until} by {override.actor}: {override.reason}"


def _limit_view(name: str, limit: Limit, routes: tuple[str, ...], tally: LimitHits | None, store: str) -> LimitView:
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
        admitted=0 if tally is None else tally.total_admitted,
        refused=0 if tally is None else tally.total_refused,
        store=store,
    )
