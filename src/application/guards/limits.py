"""Guards that charge limits: by address before authentication, everything that needs to know the caller after it.

What a route's requests are charged is compiled once: limits, how each finds its identity, the bytes of
`RateLimit-Policy` and the format of `RateLimit` (draft-ietf-httpapi-ratelimit-headers). Limits that come from a plan
are compiled once per plan, when its first caller is seen; which plan a caller is on is asked on every request, so a
change holds from the next one.

All limits of one guard are decided at once, all or nothing. When the guard after authentication refuses, what the one
before it took is given back: a request refused for a quota consumes nothing. One refused for its credentials does
consume what is counted by address; that is what such a limit is for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.exchange.bodies import SMALL, awaited, hold
from spork.application.exchange.exchange import NO_FIELDS, Exchange, Verdict
from spork.application.guards.policy import Policy, ordinary
from spork.application.limits.descriptors import (
    BEFORE_AUTHENTICATION,
    COUNTED_TOGETHER,
    EVERYONE,
    Identify,
    identify_by,
)
from spork.application.limits.heavy_hitters import HeavyHitters, LimitHits
from spork.application.limits.overrides import LimitOverrides
from spork.application.limits.pricing import CostReader, Count, Settlement
from spork.application.views import GuardVerdict
from spork.domain.http.head import Header
from spork.domain.identity.consumers import Plan
from spork.domain.identity.tokens import Principal
from spork.domain.limits.limit import Admitted, Charge, Decision, Limit, RateLimiter, Throttled
from spork.domain.outcomes import Denial

PlanOf = Callable[[Principal], str]

#: The plan of callers that have none, if the configuration declares it.
DEFAULT_PLAN: Final = "default"
#: Fail-closed: a plan that does not exist must not be no limit at all.
PLAN_UNKNOWN: Final = Denial("plan_unknown", "The caller's plan does not exist here.")
_DETAIL: Final = "The quota is used up; wait before the next request."
_DETAIL_CONCURRENCY: Final = "Too many requests of this caller are in progress."
_new: Final[Any] = tuple.__new__
_ceil: Final = math.ceil


class LimitSet:
    """Limits charged together, with what is said about them in headers."""

    __slots__ = (
        "by_operation",
        "charged",
        "format",
        "insight",
        "limits",
        "permits",
        "policy",
        "prices",
        "tallies",
        "verdict",
    )

    def __init__(self, limits: Sequence[Limit], insight: HeavyHitters, verdict: Denial | None = None) -> None:
        #: What is said where nothing is charged.
        self.verdict = verdict
        self.limits = tuple(limits)
        #: Whether something is held while the request lasts.
        self.permits = any(limit.algorithm == "concurrency" for limit in self.limits)
        self.insight = insight
        self.tallies: tuple[LimitHits, ...] = tuple(insight.tally(limit) for limit in self.limits)
        #: limit, how its identity is found, its cost, the count of who asked, and the charge where all are one identity
        self.charged: tuple[tuple[Limit, Identify, int, dict[str, int], Charge | None], ...] = tuple(
            (
                limit,
                identify_by(limit.by),
                limit.cost,
                tally.admitted,
                Charge(limit, EVERYONE, limit.cost) if limit.by in COUNTED_TOGETHER else None,
            )
            for limit, tally in zip(self.limits, self.tallies, strict=True)
        )
        #: Whether some limit charges what a GraphQL operation costs.
        self.by_operation = any(limit.by_operation for limit in self.limits)
        #: (place, price) of each limit whose cost the answer tells; empty for almost every set.
        self.prices = [(at, limit.price) for at, limit in enumerate(self.limits) if limit.price is not None]
        self.policy: Header = (b"ratelimit-policy", b", ".join(policy_item(limit) for limit in self.limits))
        self.format = b", ".join(state_format(limit) for limit in self.limits)

    def as_charged(self, charges: Sequence[Charge]) -> LimitSet:
        """This set, or one that announces the quotas that operators raised for this caller."""
        if all(charge.limit is limit for charge, limit in zip(charges, self.limits, strict=True)):
            return self
        raised = LimitSet(self.limits, self.insight)
        raised.policy = (b"ratelimit-policy", b", ".join(policy_item(charge.limit) for charge in charges))
        return raised


class LimitGuard:
    """Charges a route's limits. Answers at once with an in-process limiter, an awaitable with a shared one."""

    phase = "limits"
    response_fields = NO_FIELDS

    def __init__(
        self,
        limiter: RateLimiter,
        limits: Sequence[Limit],
        *,
        insight: HeavyHitters,
        overrides: LimitOverrides,
        from_plan: Limit | None = None,
        plans: Sequence[Plan] = (),
        plan_of: PlanOf | None = None,
        refundable: bool = False,
        legacy_headers: bool = False,
        count_cost: Count | None = None,
        hits_are_free: bool = False,
    ) -> None:
        self._count_cost = count_cost or _uncounted
        self._limiter = limiter
        self._own_time = limiter.keeps_time
        self._insight = insight
        self._overrides = overrides
        self._static = LimitSet(limits, insight)
        self._from_plan = from_plan
        self._plans = {plan.name: plan for plan in plans}
        self._plan_of = plan_of
        self._sets: dict[str, LimitSet] = {}
        self._unknown = LimitSet((), insight, PLAN_UNKNOWN)
        self._refundable = refundable
        #: What is charged is given back for answers from the cache.
        self._hits_are_free = hits_are_free
        self._legacy = legacy_headers

    def admit(self, exchange: Exchange) -> Verdict | Awaitable[Verdict]:
        chosen = self._static if self._from_plan is None else self._with_plan(exchange)
        if not chosen.charged:
            return chosen.verdict
        if chosen.permits and awaited(exchange.body):
            return self._once_here(exchange)
        charges = []
        for limit, identify, cost, asked, charge in chosen.charged:
            if charge is None:
                identity = identify(exchange)
                charges.append(_new(Charge, (limit, identity, cost)))
            else:
                identity = EVERYONE
                charges.append(charge)
            try:
                asked[identity] += 1
            except KeyError:
                asked[identity] = 1
        if chosen.by_operation:
            charges = operation_charges(charges, exchange)
        if self._overrides.any:
            charges = self._overrides.apply(charges)
            chosen = chosen.as_charged(charges)
        decision = self._limiter.acquire(charges, None if self._own_time else exchange.unix)
        if isinstance(decision, Admitted):
            self._admitted(exchange, chosen, charges, decision)
            return None
        if isinstance(decision, Throttled):
            return self._throttled(exchange, chosen, charges, decision)
        return self._wait(exchange, chosen, charges, decision)

    async def _once_here(self, exchange: Exchange) -> Verdict:
        """A permit is held while there is something to do: a small body is waited for before."""
        await hold(exchange, SMALL)
        verdict = self.admit(exchange)
        return await verdict if isinstance(verdict, Awaitable) else verdict

    async def explain(self, exchange: Exchange) -> GuardVerdict:
        """What is left of each limit for this request; charges nothing."""
        chosen = self._static if self._from_plan is None else self._with_plan(exchange)
        charges = [Charge(limit, identify(exchange), cost) for limit, identify, cost, _, _ in chosen.charged]
        if chosen.by_operation:
            charges = operation_charges(charges, exchange)
        if self._overrides.any:
            charges = self._overrides.apply(charges)
        if chosen.verdict is not None:
            return GuardVerdict(self.phase, "refuse", "the caller's plan does not exist")
        if not charges:
            return GuardVerdict(self.phase, "pass", "no limit applies")
        peeked = self._limiter.peek(charges)
        states = await peeked if isinstance(peeked, Awaitable) else peeked
        words = [f"{state.limit.name}: {state.remaining} of {state.limit.quota} left" for state in states]
        refused = any(
            state.remaining < charge.cost and charge.limit.quota >= 0
            for state, charge in zip(states, charges, strict=True)
        )
        return GuardVerdict(self.phase, "refuse" if refused else "pass", ", ".join(words))

    async def _wait(
        self, exchange: Exchange, chosen: LimitSet, charges: Sequence[Charge], awaited: Awaitable[Decision]
    ) -> Verdict:
        decision = await awaited
        if isinstance(decision, Admitted):
            self._admitted(exchange, chosen, charges, decision)
            return None
        return self._throttled(exchange, chosen, charges, decision)

    def _admitted(self, exchange: Exchange, chosen: LimitSet, charges: Sequence[Charge], decision: Admitted) -> None:
        numbers: list[int] = []
        for _, left, reset, _, _ in decision[0]:
            numbers.append(left)
            numbers.append(_ceil(reset))
        exchange.response_headers += (chosen.policy, (b"ratelimit", chosen.format % tuple(numbers)))
        if self._legacy:
            exchange.response_headers += legacy_headers(exchange.unix, decision)
        if decision[1] is not None:
            exchange.at_close(_Release(self._limiter, decision[1]))
        if chosen.prices:
            self._price(exchange, chosen, charges, decision)
        if self._hits_are_free:
            at = decision.at
            exchange.refunds += (lambda: self._limiter.refund(charges, at, None if self._own_time else exchange.unix),)
        if self._refundable:
            exchange.limits_taken = _Taken(self._limiter, charges, decision.at, self._own_time)

    def _price(self, exchange: Exchange, chosen: LimitSet, charges: Sequence[Charge], decision: Admitted) -> None:
        """Have the answer read for its cost, and the difference to what was reserved settled at the end."""
        priced = [
            (charges[at], price.reserving(charges[at].cost) if charges[at].limit.by_operation else price)
            for at, price in chosen.prices
            if exchange.graphql is not None or not charges[at].limit.by_operation
        ]
        if not priced:
            return
        reader = CostReader(exchange.sink, [price for _, price in priced])
        exchange.sink = reader
        exchange.costed = True
        settlement = Settlement(self._limiter, priced, decision.at, reader, self._own_time, self._count_cost)
        exchange.at_close(settlement)

    def _throttled(
        self, exchange: Exchange, chosen: LimitSet, charges: Sequence[Charge], decision: Throttled
    ) -> Denial:
        taken = exchange.limits_taken
        if taken is not None:
            exchange.limits_taken = None
            taken.refund(exchange.unix)
        if decision.unavailable:
            for tally, charge in zip(chosen.tallies, charges, strict=True):
                tally.turned_away(charge.identity, False)
            return Denial("limits_unavailable", retry_after=max(decision.retry_after, 1.0))
        violated: list[str] = []
        numbers: list[int] = []
        concurrency = True
        for tally, (limit, identity, _), state in zip(chosen.tallies, charges, decision.states, strict=True):
            tally.turned_away(identity, state.refused)
            if state.refused:
                violated.append(limit.name)
                concurrency = concurrency and limit.algorithm == "concurrency"
            numbers.append(state.remaining)
            numbers.append(max(_ceil(state.reset_after), 1) if state.refused else _ceil(state.reset_after))
        headers = exchange.response_headers
        headers.append(chosen.policy)
        headers.append((b"ratelimit", chosen.format % tuple(numbers)))
        if self._legacy:
            headers.extend(legacy_headers(exchange.unix, decision))
        return Denial(
            "concurrency_exceeded" if concurrency else "quota_exceeded",
            _DETAIL_CONCURRENCY if concurrency else _DETAIL,
            retry_after=max(1.0, float(math.ceil(decision.retry_after))),
            members={"violated-policies": violated},
        )

    def _with_plan(self, exchange: Exchange) -> LimitSet:
        principal = exchange.principal
        plan = ""
        if principal is not None:
            plan = principal.plan if self._plan_of is None else self._plan_of(principal)
        chosen = self._sets.get(plan)
        if chosen is not None:
            return chosen
        if plan and plan not in self._plans and DEFAULT_PLAN not in self._plans:
            return self._unknown
        return self._compile(plan if plan in self._plans else DEFAULT_PLAN)

    def _compile(self, plan: str) -> LimitSet:
        """The set for a plan the configuration declares; callers without one get the default's, or no limit more."""
        chosen = self._sets.get(plan)
        if chosen is None:
            known = self._plans.get(plan)
            extra = [] if known is None or self._from_plan is None else plan_limits(known, self._from_plan)
            chosen = self._sets[plan] = LimitSet((*self._static.limits, *extra), self._insight)
        return chosen


def _early(limit: Limit) -> bool:
    """Whether it can be charged before anything is known of the caller or the operation."""
    return limit.by in BEFORE_AUTHENTICATION and limit.source != "plan" and not limit.by_operation


def operation_charges(charges: list[Charge], exchange: Exchange) -> list[Charge]:
    """The charges, where limits count by operation with what this one is estimated to cost."""
    asked = exchange.graphql
    if asked is None or not asked.kind:
        return charges
    return [_new(Charge, (c[0], c[1], asked.cost)) if c[0].by_operation else c for c in charges]


def _uncounted(limit: str, units: int) -> None:
    """Nobody counts."""


class _Taken:
    """What the guard before authentication took, to be given back."""

    __slots__ = ("at", "charges", "limiter", "own_time")

    def __init__(self, limiter: RateLimiter, charges: Sequence[Charge], at: float, own_time: bool) -> None:
        self.limiter = limiter
        self.charges = charges
        self.at = at
        self.own_time = own_time

    def refund(self, now: float) -> None:
        self.limiter.refund(self.charges, self.at, None if self.own_time else now)


class _Release:
    """Gives permits back when the exchange is over."""

    __slots__ = ("lease", "limiter")

    def __init__(self, limiter: RateLimiter, lease: object) -> None:
        self.limiter = limiter
        self.lease = lease

    def __call__(self, exchange: Exchange) -> None:
        self.limiter.release(self.lease)


class LimitGuards:
    """Makes the limit guards of routes: `before` and `after` authentication."""

    def __init__(
        self, limiter: RateLimiter, insight: HeavyHitters, overrides: LimitOverrides, plan_of: PlanOf | None = None
    ) -> None:
        self._limiter = limiter
        self._insight = insight
        self._overrides = overrides
        self._plan_of = plan_of
        #: Units that answers told, by route and limit.
        self.cost_units: dict[tuple[str, str], int] = {}

    def samples(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        """For `spork.application.telemetry.families`."""
        for labels, units in self.cost_units.items():
            yield "gateway_cost_units_total", labels, float(units)

    def before(self, route: RouteConfig, configuration: Configuration) -> LimitGuard | None:
        """Limits by address of a route that authenticates."""
        if route.auth is None:
            return None
        all_of = limits_of(route, configuration)
        early = [limit for limit in all_of if _early(limit)]
        return self._guard(route, configuration, early, None, refundable=len(early) < len(all_of)) if early else None

    def after(self, route: RouteConfig, configuration: Configuration) -> LimitGuard | None:
        """Everything else; all limits of a route that authenticates nobody."""
        all_of = limits_of(route, configuration)
        from_plan = next((limit for limit in all_of if limit.source == "plan"), None)
        late = [limit for limit in all_of if limit.source != "plan" and (route.auth is None or not _early(limit))]
        return self._guard(route, configuration, late, from_plan) if late or from_plan is not None else None

    def _guard(
        self,
        route: RouteConfig,
        configuration: Configuration,
        limits: list[Limit],
        from_plan: Limit | None,
        refundable: bool = False,
    ) -> LimitGuard:
        def count(limit: str, units: int) -> None:
            key = (route.name, limit)
            self.cost_units[key] = self.cost_units.get(key, 0) + units

        return LimitGuard(
            self._limiter,
            limits,
            insight=self._insight,
            overrides=self._overrides,
            from_plan=from_plan,
            plans=configuration.plans,
            plan_of=self._plan_of,
            refundable=refundable,
            legacy_headers=configuration.legacy_limit_headers,
            count_cost=count,
            hits_are_free=route.cache is not None and not route.cache.count_hits,
        )


@ordinary
class EarlyLimits(Policy):
    """Limits by address, charged before authentication."""

    phase = "limits"

    def __init__(self, guards: LimitGuards) -> None:
        self._guards = guards

    def compile(self, route: RouteConfig, configuration: Configuration) -> LimitGuard | None:
        return self._guards.before(route, configuration)


@ordinary
class LateLimits(Policy):
    """Limits by caller, plan limits and all others, charged once it is known who calls."""

    phase = "limits"

    def __init__(self, guards: LimitGuards) -> None:
        self._guards = guards

    def compile(self, route: RouteConfig, configuration: Configuration) -> LimitGuard | None:
        return self._guards.after(route, configuration)


#: What a global limit without a name of its own is called.
_UNNAMED_GLOBAL: Final = re.compile(r"global(-[0-9]+)?")


def limits_of(route: RouteConfig, configuration: Configuration) -> list[Limit]:
    """Every limit a route's requests are charged, each with the scope its counters are kept under.

    Limits at the top of the configuration hold for every route, together. A route's own count per route, unless they
    are shared (then by name) or global with a name of their own: global ones that were given none have nothing in
    common but the lack of it. The same name twice on one route is charged once.
    """
    found: dict[str, Limit] = {}
    for limit in configuration.limits:
        found.setdefault(limit.bucket, replace(limit, scope=""))
    for index, limit in enumerate(route.limits):
        named = limit if limit.name else replace(limit, name=f"{route.name}-{index + 1}")
        together = limit.shared or (limit.by == "global" and not _UNNAMED_GLOBAL.fullmatch(named.name))
        scoped = replace(named, scope="" if together else route.name)
        found.setdefault(scoped.bucket, scoped)
    return list(found.values())


def plan_limits(plan: Plan, entry: Limit) -> list[Limit]:
    """A plan's limits as they are charged: by what the route's entry says, counted over all routes that take the plan.

    One without a name is called after the entry, numbered from the second on.
    """
    charged: list[Limit] = []
    for index, limit in enumerate((*plan.limits, *plan.quotas)):
        name = limit.name or (entry.name or "plan") + (f"-{index + 1}" if index else "")
        charged.append(replace(limit, name=name, by=entry.by, scope=f"plan {plan.name}", source=""))
    return charged


def quoted(name: str) -> bytes:
    """A limit's name as a Structured Field string (RFC 9651 3.3.3)."""
    text = "".join(c if " " <= c <= "~" else "?" for c in name)
    return b'"' + text.replace("\\", "\\\\").replace('"', '\\"').encode("ascii") + b'"'


def state_format(limit: Limit) -> bytes:
    """The format of one member of RateLimit, of what is left and seconds until whole.

    Permits come back when requests end, no clock knows when: the seconds are taken and not written.
    """
    seconds = b"%.0a" if limit.algorithm == "concurrency" else b";t=%d"
    return quoted(limit.name).replace(b"%", b"%%") + b";r=%d" + seconds


def policy_item(limit: Limit) -> bytes:
    """One member of RateLimit-Policy."""
    item = quoted(limit.name) + b";q=%d" % limit.terms.quota
    if limit.algorithm == "concurrency":
        return item + b';qu="concurrent-requests"'
    calendar = limit.terms.calendar
    if calendar is not None:
        return item + (b";w=86400" if calendar.unit == "day" else b";w=2592000")
    return item + b";w=%d" % math.ceil(limit.period)


def legacy_headers(unix: float, decision: Decision) -> list[Header]:
    """X-RateLimit-* for the tightest limit: the one that refuses, else the one with the smallest share left.
    Reset is in Unix seconds."""
    tightest = min(
        decision.states, key=lambda state: (not state.refused, state.remaining / max(state.limit.terms.quota, 1))
    )
    return [
        (b"x-ratelimit-limit", b"%d" % tightest.limit.terms.quota),
        (b"x-ratelimit-remaining", b"%d" % tightest.remaining),
        (b"x-ratelimit-reset", b"%d" % math.ceil(unix + tightest.reset_after)),
    ]
