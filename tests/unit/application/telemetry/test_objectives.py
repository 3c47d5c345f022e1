"""Objectives, usage and security decisions: what is counted, when it is handed over, what is never lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from spork.adapters.memory.objective_ledger import MemoryObjectives
from spork.application.telemetry.objective_ledger import Counted, Reading
from spork.application.telemetry.objectives import ObjectiveTracker
from spork.application.telemetry.security_log import MOST, SecurityDecisions
from spork.application.telemetry.usage import OTHERS, UsageMeter, UsageRow, totals
from spork.domain.identity.tokens import Principal
from spork.domain.objectives import Objective, budget_left, burn_rate
from spork.domain.outcomes import Abandoned
from tests.closed_exchanges import closed_exchange

ACME = Principal("alice", "jwt", consumer="acme")


class Clock:
    def __init__(self, at: float = 7200.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


class Records:
    """A usage store in memory that can be taken away."""

    def __init__(self) -> None:
        self.kept: list[UsageRow] = []
        self.gone = False

    async def add(self, rows: Sequence[UsageRow]) -> None:
        if self.gone:
            raise OSError("gone")
        self.kept += rows

    async def rows(self, since: int, until: int, consumer: str = "", route: str = "", limit: int = 0) -> list[UsageRow]:
        return self.kept


@pytest.mark.parametrize(
    ("bad", "total", "target", "rate"),
    [(0, 0, 0.99, 0.0), (1, 100, 0.99, 1.0), (144, 1000, 0.99, 14.4), (5, 5, 0.5, 2.0)],
)
def test_burn_rates(bad: int, total: int, target: float, rate: float) -> None:
    assert burn_rate(bad, total, target) == pytest.approx(rate)


def test_budgets() -> None:
    assert budget_left(0, 0, 0.999) == 1.0
    assert budget_left(5, 10_000, 0.999) == pytest.approx(0.5)
    assert budget_left(20, 10_000, 0.999) == pytest.approx(-1.0)


def test_an_objective_counts_failures_and_what_is_too_slow_on_its_route() -> None:
    levels = ObjectiveTracker([Objective("fast", 0.9, route="users", latency=0.1)], Clock(), MemoryObjectives())
    for seconds in (0.05, 0.05, 0.5):
        levels.closed(closed_exchange(seconds=seconds))
    levels.closed(closed_exchange(status=503, reason="destination_unavailable"))
    levels.closed(closed_exchange(status=429, reason="quota_exceeded", attempts=0))
    levels.closed(closed_exchange(route="other", seconds=9.0))
    view = levels.views()[0]
    assert (view.requests, view.bad) == (5, 2)
    assert view.burn["5m"] == pytest.approx(4.0)


async def test_burn_rates_look_back_as_far_as_their_window() -> None:
    clock = Clock(60_000.0)
    levels = ObjectiveTracker([Objective("all", 0.99)], clock, MemoryObjectives())
    levels.closed(closed_exchange(status=500, reason="proxy_internal_error"))
    await levels.tick()
    for _ in range(20):
        clock.at += 60
        await levels.tick()
        levels.closed(closed_exchange())
    burn = levels.views()[0].burn
    assert burn["5m"] == 0.0
    assert burn["30m"] == pytest.approx(100 / 21)
    assert burn["1h"] == burn["30m"]


def test_an_unchanged_objective_keeps_its_counts_over_a_new_configuration() -> None:
    kept, changed = Objective("kept", 0.99), Objective("changed", 0.99)
    levels = ObjectiveTracker([kept, changed], Clock(), MemoryObjectives())
    levels.closed(closed_exchange())
    levels.adopt([kept, Objective("changed", 0.95), Objective("new", 0.9)])
    assert [view.requests for view in levels.views()] == [1, 0, 0]


def test_an_objective_of_a_consumer_counts_only_theirs() -> None:
    levels = ObjectiveTracker([Objective("acme", 0.99, consumer="acme")], Clock(), MemoryObjectives())
    levels.closed(closed_exchange(principal=ACME))
    levels.closed(closed_exchange())
    assert levels.views()[0].requests == 1


@pytest.mark.parametrize("period", [3600.0, 7200.0, 86_400.0, 7 * 86_400.0, 30 * 86_400.0, 365 * 86_400.0])
def test_a_period_is_added_up_from_some_dozens_to_some_hundred_slices(period: float) -> None:
    objective = Objective("x", 0.99, period=period)
    assert all(4 < seconds / width <= 400 for width, seconds in objective.kept.items())
    assert period in objective.kept.values() or period < max(seconds for seconds in objective.kept.values())


class Unsure(MemoryObjectives):
    """A ledger that takes a batch and then does not say so."""

    def __init__(self) -> None:
        super().__init__()
        self.silent = False

    async def add(self, node: str, batch: str, counted: Sequence[Counted], unix: float) -> None:
        await super().add(node, batch, counted, unix)
        if self.silent:
            raise OSError("no answer in time")

    async def read(self, objectives: Sequence[Objective], unix: float) -> Reading:
        if self.silent:
            raise OSError("no answer in time")
        return await super().read(objectives, unix)


async def test_a_batch_that_was_taken_without_a_word_is_counted_once() -> None:
    clock, ledger = Clock(), Unsure()
    levels = ObjectiveTracker([Objective("all", 0.99)], clock, ledger, "n", "run")
    seen = []
    for silent in (False, True, True, False):
        ledger.silent = silent
        levels.closed(closed_exchange())
        clock.at += 6
        await levels.tick()
        seen.append(levels.views()[0].requests)
        assert bool(levels.views()[0].remark) is silent
    assert seen == [1, 2, 3, 4]
    assert [view.requests for view in await levels.current()] == [4]


async def test_views_are_right_while_a_flush_is_under_way() -> None:
    """A scrape between handing over and reading back counts nothing twice and misses nothing."""

    class Slow(MemoryObjectives):
        async def add(self, node: str, batch: str, counted: Sequence[Counted], unix: float) -> None:
            seen.append(levels.views()[0].requests)
            await super().add(node, batch, counted, unix)
            seen.append(levels.views()[0].requests)

        async def read(self, objectives: Sequence[Objective], unix: float) -> Reading:
            seen.append(levels.views()[0].requests)
            return await super().read(objectives, unix)

    seen: list[int] = []
    levels = ObjectiveTracker([Objective("all", 0.99)], Clock(), Slow(), "n", "run")
    levels.closed(closed_exchange())
    await asyncio.gather(levels.current(), levels.current(), levels.tick())
    levels.closed(closed_exchange())
    await levels.flush()
    assert set(seen) == {1, 2}
    assert seen == sorted(seen)


# --------------------------------------------------------------------------------------------------------------- usage


async def test_usage_is_added_up_per_hour_consumer_and_route() -> None:
    clock, records = Clock(), Records()
    meter = UsageMeter(clock, records)
    meter.closed(closed_exchange(principal=ACME))
    meter.closed(closed_exchange(principal=ACME, status=500, reason="http_protocol_error"))
    meter.closed(closed_exchange(principal=ACME, status=429, reason="quota_exceeded", attempts=0))
    await meter.flush()
    row = records.kept[0]
    assert (row.hour, row.consumer, row.route) == (2, "acme", "users")
    assert (row.requests, row.errors, row.refused, row.units, row.bytes_out) == (3, 1, 1, 2, 300)


@pytest.mark.parametrize("status", [401, 403, 429])
async def test_a_targets_own_refusal_was_admitted_and_costs(status: int) -> None:
    clock, records = Clock(), Records()
    meter = UsageMeter(clock, records)
    meter.closed(closed_exchange(status=status, attempts=0))  # as when its answer is replayed
    meter.closed(closed_exchange(status=status))
    meter.closed(closed_exchange(status=404, reason="no_route", attempts=0))
    await meter.flush()
    assert (records.kept[0].requests, records.kept[0].refused, records.kept[0].units) == (3, 0, 3)


async def test_what_the_records_do_not_take_waits_and_is_not_counted_twice() -> None:
    clock, records = Clock(), Records()
    meter = UsageMeter(clock, records)
    records.gone = True
    meter.closed(closed_exchange())
    clock.at += 6
    await meter.tick()
    assert meter.failures == 1
    meter.closed(closed_exchange())
    records.gone = False
    clock.at += 6
    await meter.tick()
    await meter.flush()
    assert [row.requests for row in records.kept] == [2]


async def test_many_consumers_fold_into_others_and_the_sum_stays_right() -> None:
    records = Records()
    meter = UsageMeter(Clock(), records, most=10)
    for number in range(100):
        meter.closed(closed_exchange(principal=Principal(f"s{number}", "jwt")))
    await meter.flush()
    assert sum(row.requests for row in records.kept) == 100
    assert OTHERS in {row.consumer for row in records.kept}
    assert len(records.kept) <= 11


async def test_consumers_seen_in_the_last_five_minutes() -> None:
    clock = Clock()
    meter = UsageMeter(clock, plan_of=lambda name: ("gold", "team-a"))
    for _ in range(10):
        meter.closed(closed_exchange(principal=ACME))
    meter.closed(closed_exchange(principal=ACME, status=429, reason="quota_exceeded", attempts=0))
    meter.closed(closed_exchange())
    await meter.tick()
    view = meter.consumers()[0]
    assert (view.name, view.plan, view.owner, view.admitted_5m, view.refused_5m) == ("acme", "gold", "team-a", 10, 1)
    clock.at += 301
    assert meter.consumers() == []


def test_totals_end_with_the_sum_of_all() -> None:
    rows = [UsageRow(1, "a", "r", 1, units=2), UsageRow(2, "a", "r", 3, units=4), UsageRow(1, "b", "r", 5, units=6)]
    found = totals(rows)
    assert list(found) == [("a", "r"), ("b", "r"), ("total", "")]
    assert (found["a", "r"].requests, found["total", ""].units) == (4, 12)
    assert totals([]) == {}


# ------------------------------------------------------------------------------------------------------------ security


def test_a_flood_of_refusals_is_one_record_with_a_count() -> None:
    clock = Clock()
    decisions = SecurityDecisions(clock, "n")
    for _ in range(5000):
        decisions.closed(closed_exchange(status=401, reason="invalid_credentials", attempts=0))
    decisions.closed(closed_exchange())
    assert decisions.due() == []
    clock.at += 10
    entries = decisions.due()
    assert [(e.action, e.reason, e.client, e.detail) for e in entries] == [
        ("auth.failed", "invalid_credentials", "192.0.2.7", "5000 time(s) in 10 s")
    ]
    assert decisions.take() == []


@pytest.mark.parametrize(
    ("status", "reason", "action"),
    [
        (401, "step_up_required", ["auth.failed"]),
        (403, "screened", ["access.denied"]),
        (429, "quota_exceeded", []),
        (401, "", []),
        (403, "", []),
    ],
)
def test_only_refusals_of_the_gateway_that_concern_security_are_recorded(
    status: int, reason: str, action: list[str]
) -> None:
    decisions = SecurityDecisions(Clock(), "n")
    decisions.closed(closed_exchange(status=status, reason=reason, attempts=0))
    assert [entry.action for entry in decisions.take()] == action


def test_a_cut_answer_of_a_target_is_no_security_decision() -> None:
    decisions = SecurityDecisions(Clock(), "n")
    exchange = closed_exchange(status=401)
    exchange.outcome, exchange.reason = Abandoned(), "client_gone"
    decisions.closed(exchange)
    assert decisions.take() == []


def test_refusals_from_many_addresses_are_bounded_and_all_counted() -> None:
    clock = Clock()
    decisions = SecurityDecisions(clock, "n")
    for number in range(1000):
        decisions.closed(
            closed_exchange(
                status=403, reason="address_denied", attempts=0, client=f"10.0.{number >> 8}.{number & 255}"
            )
        )
    entries = decisions.take()
    assert len(entries) == MOST + 1
    assert sum(int(e.detail.split()[0]) for e in entries) == 1000
