"""What operators see of limits and do to windows, over the in-process limiter."""

from __future__ import annotations

import pytest

from spork.adapters.memory.rate_limiter import MemoryRateLimiter
from spork.application.admin.controls import Act
from spork.application.admin.quotas import QuotaControl
from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.guards.limits import LimitGuards
from spork.application.limits.heavy_hitters import KEPT, HeavyHitters, LimitHits
from spork.application.limits.overrides import LimitOverrides
from spork.domain.identity.authorization import AuthPolicy
from spork.domain.identity.consumers import Plan
from spork.domain.limits.limit import Limit
from spork.domain.outcomes import Denial
from spork.domain.routing.table import Match, PathPattern
from tests.unit.application.guards.test_limits import T0, exchange

ACT = Act("ops", "because", 100.0)


class House:
    """One route with three limits, and a control over it."""

    def __init__(self) -> None:
        self.now = T0
        limiter = MemoryRateLimiter(clock=lambda: self.now)
        insight = HeavyHitters()
        overrides = LimitOverrides()
        route = RouteConfig(
            "users",
            Match(PathPattern.parse("/x")),
            upstream="u",
            auth=AuthPolicy(),
            limits=(
                Limit("per-key", 4, 60.0, by="key"),
                Limit("burst", 100, 60.0, by="consumer", burst=5),
                Limit("plan", 0, 0, by="consumer", source="plan"),
            ),
        )
        plans = (Plan("basic", (Limit("", 1000, 60.0),)),)
        self.configuration = Configuration(routes=(route,), plans=plans)
        guard = LimitGuards(limiter, insight, overrides).after(route, self.configuration)
        assert guard is not None
        self.guard = guard
        self.control = QuotaControl(
            limiter,
            insight,
            overrides,
            lambda: self.configuration,
            lambda: "memory",
            lambda: self.now,
            lambda consumer: f"{consumer}'s owner",
        )

    def ask(self, who: str, times: int = 1) -> int:
        """How many of `times` requests were admitted."""
        made = [
            exchange(consumer=who, key_id=f"spk-{who}-0123456789", plan="basic", unix=self.now) for _ in range(times)
        ]
        return sum(not isinstance(self.guard.admit(each), Denial) for each in made)


async def test_limits_in_force_each_once_with_its_routes_and_counts() -> None:
    house = House()
    house.ask("bob", 6)
    rows = {row.name: row for row in house.control.limits()}
    assert set(rows) == {"users/per-key", "users/burst", "basic/plan"}
    assert (rows["users/per-key"].admitted, rows["users/per-key"].refused) == (4, 2)
    assert (rows["users/burst"].admitted, rows["users/burst"].refused) == (4, 0)
    assert rows["users/burst"].burst == 5
    assert rows["basic/plan"].routes == ("users",)


async def test_the_fullest_windows_first_or_the_most_refused_and_secrets_masked() -> None:
    house = House()
    house.ask("bob", 9)
    house.ask("ann", 3)
    rows, total = await house.control.quotas(10, "used", "", 0)
    assert total == 6
    assert (rows[0].limit, rows[0].subject, rows[0].used, rows[0].quota) == ("per-key", "spk-…89", 4, 4)
    assert rows[0].refused_5m == 5
    assert [row.used / row.quota for row in rows] == sorted((row.used / row.quota for row in rows), reverse=True)
    (refused,), _ = await house.control.quotas(1, "refused", "", 0)
    assert refused.refused_5m == 5
    anns, count = await house.control.quotas(10, "used", "ANN", 0)
    assert count == 3
    assert {row.plan for row in anns} == {None, "basic"}
    assert next(row.owner for row in anns if row.kind == "user") == "ann's owner"
    page, _ = await house.control.quotas(2, "used", "", 4)
    assert len(page) == 2


async def test_a_window_is_reset_and_raised_by_its_handle() -> None:
    house = House()
    assert house.ask("bob", 9) == 4
    (window,), _ = await house.control.quotas(1, "refused", "", 0)
    await house.control.reset(window.id, ACT)
    assert house.ask("bob", 1) == 1
    await house.control.raise_to(window.id, 8, ACT)
    seen = await house.control.quota(window.id)
    assert seen is not None
    assert seen.quota == 8
    assert seen.override == "8 until 2023-11-14 22:15:00 UTC by ops: because"
    assert "bob" not in window.id
    assert await house.control.quota("nonsense") is None
    with pytest.raises(LookupError):
        await house.control.reset("nonsense", ACT)


async def test_a_raise_helps_who_has_used_all_at_once_and_takes_what_was_used_into_account() -> None:
    house = House()
    assert house.ask("bob", 9) == 4
    (window,), _ = await house.control.quotas(1, "refused", "", 0)
    await house.control.raise_to(window.id, 10, ACT)
    house.now += 3.0  # the other limit of this route has its burst again
    assert house.ask("bob", 3) == 3
    house.now += 3.0  # nothing is whole that came back: at the old pace before the first request, at the new one after
    assert house.ask("bob", 9) == 3
    await house.control.raise_to(window.id, 2, ACT)
    assert house.ask("bob", 1) == 0
    house.now += 31.0  # half of the period brings one of two units back
    assert house.ask("bob", 2) == 1


async def test_consumers_are_counted_once_though_several_limits_see_them() -> None:
    house = House()
    house.ask("bob", 9)
    house.ask("ann", 3)
    found = {row.name: row for row in house.control.consumers()}
    assert (found["bob"].admitted_5m, found["ann"].admitted_5m) == (4, 3)
    assert found["bob"].last_seen == T0
    house.now += 400
    assert house.control.consumers() == []


async def test_the_busiest_window_is_measured_for_the_metrics() -> None:
    house = House()
    house.ask("bob", 2)
    house.control.limits()
    await house.control.measure()
    usage = {labels: value for _, labels, value in house.control.samples()}
    assert usage[("per-key",)] == 0.5


def test_a_tally_keeps_the_heaviest_and_stays_small() -> None:
    tally = LimitHits(Limit("l", 1, 1.0))
    for _ in range(50):
        for number in range(100):
            tally.admitted[f"light-{tally.total_admitted}-{number}"] = 1
        tally.admitted["heavy"] = 60
        tally.fold(T0)
    counts = tally.counts()
    assert len(counts) <= KEPT
    assert max(counts, key=counts.__getitem__) == "heavy"
    assert counts["heavy"] >= 50 * 60
    assert tally.total_admitted == 50 * 160


async def test_a_secret_in_a_header_cannot_be_searched_for_letter_by_letter() -> None:
    house = House()
    route = RouteConfig(
        "users",
        Match(PathPattern.parse("/x")),
        upstream="u",
        limits=(Limit("by-header", 4, 60.0, by="header:X-Tenant-Key"),),
    )
    limiter, insight, overrides = MemoryRateLimiter(clock=lambda: house.now), HeavyHitters(), LimitOverrides()
    guard = LimitGuards(limiter, insight, overrides).after(route, Configuration(routes=(route,)))
    assert guard is not None
    one = exchange(consumer="ann", headers=((b"x-tenant-key", b"sekret-0123456789"),), unix=house.now)
    guard.admit(one)
    configuration = Configuration(routes=(route,))
    control = QuotaControl(limiter, insight, overrides, lambda: configuration, lambda: "memory", lambda: house.now)
    (shown,), _ = await control.quotas(10, "used", "", 0)
    assert shown.subject == "sekr…89"
    assert (await control.quotas(10, "used", "sekret-0", 0))[1] == 0
    assert (await control.quotas(10, "used", "sekr", 0))[1] == 1
