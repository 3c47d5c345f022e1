"""Limits and plans as written, to the domain's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from spork.adapters.yaml import written
from spork.adapters.yaml.decode import FAILED, Findings
from spork.adapters.yaml.scalars import parse_duration
from spork.application.configuration.problems import child
from spork.domain.identity.consumers import Plan
from spork.domain.limits.cost import OF_OPERATIONS, CostSource
from spork.domain.limits.limit import Limit

DAY = 86400.0
MONTH = 30 * DAY


def translate_limits(
    items: Sequence[Any],
    path: str,
    findings: Findings,
    by: str,
    *,
    plan: bool = False,
    long: bool = False,
    zone: str = "UTC",
) -> tuple[Limit, ...]:
    """The limits of one list. `by` is what is counted when a limit does not say.

    A limit without a name is called after what it counts, but in a `plan`: there the route that takes the plan names
    it. `long` quotas go by the calendar of `zone`.
    """
    limits: list[Limit] = []
    taken = {item.name for item in items if item is not FAILED}
    for index, item in enumerate(items):
        if item is FAILED:
            limits.append(_unread(index))
            continue
        name = item.name if item.name or plan else _free(item.from_ or item.by or by, taken)
        taken.add(name)
        limit = _limit(item, name, f"{path}[{index}]", findings, by, long, zone)
        limits.append(_unread(index) if limit is None else limit)
    return tuple(limits)


def _unread(index: int) -> Limit:
    """Stands in for a limit that was complained about, so that the others keep their places."""
    return Limit(f"unread {index}", 1, 1.0, "global")


def _free(by: str, taken: set[str]) -> str:
    name = by if by in ("global", "plan") else "per-" + by.replace(":", "-")
    number, candidate = 2, name
    while candidate in taken:
        candidate, number = f"{name}-{number}", number + 1
    return candidate


def _limit(
    item: written.Limit, name: str, path: str, findings: Findings, by: str, long: bool, default_zone: str
) -> Limit | None:
    if item.from_ == "plan":
        for key in ("quota", "per", "burst"):
            if getattr(item, key) is not None:
                findings.add(child(path, key), "has no effect beside from: plan", "leave it out", "warning")
        return Limit(
            name=name,
            quota=0,
            period=0.0,
            by=item.by or "consumer",
            cost=_units(item.cost),
            by_operation=item.cost == "graphql",
            on_store_error=item.on_store_error,
            accuracy=item.accuracy,
            shared=item.shared,
            source="plan",
        )
    period, period_name = _period(item.per)
    algorithm = item.algorithm or ("gcra" if not long else "calendar" if period_name else "sliding_window")
    if item.algorithm is None and item.per in ("day", "month"):
        algorithm = "calendar"
    if not _complete(item, algorithm, period_name, path, findings):
        return None
    zone = item.time_zone if item.time_zone != "UTC" else default_zone
    if not _is_zone(zone):
        findings.add(child(path, "time_zone"), f'no time zone "{zone}"', "names are such as Europe/Berlin")
        return None
    return Limit(
        name=name,
        quota=item.quota or 0,
        period=0.0 if algorithm == "concurrency" else period,
        by=item.by or by,
        algorithm=algorithm,
        burst=item.burst,
        cost=_units(item.cost),
        by_operation=item.cost == "graphql",
        price=_price(item.cost, child(path, "cost"), findings),
        on_store_error=item.on_store_error,
        accuracy=item.accuracy,
        shared=item.shared,
        period_name=period_name if algorithm == "calendar" else "",
        time_zone=zone,
    )


def _units(cost: int | str | written.CostFromAnswer) -> int:
    """What a request is charged before anything is known of it."""
    if isinstance(cost, written.CostFromAnswer):
        return cost.reserve
    return cost if isinstance(cost, int) else 1


def _price(cost: int | str | written.CostFromAnswer, path: str, findings: Findings) -> CostSource | None:
    if cost == "graphql":
        return CostSource(fields=((OF_OPERATIONS, 1),))
    if not isinstance(cost, written.CostFromAnswer):
        return None
    if (bool(cost.fields), bool(cost.header), bool(cost.trailer)).count(True) != 1:
        findings.add(path, "takes one of fields, header and trailer", "for example fields: {usage.total_tokens: 1}")
        return None
    if cost.reserve > cost.most:
        findings.add(child(path, "reserve"), f"is more than most, {cost.most}")
    header = cost.header.lower().encode("ascii", "replace")
    return CostSource(header, tuple(cost.fields.items()), cost.reserve, cost.most, cost.missing, cost.merge,
        cost.trailer.lower().encode("ascii", "replace"),
    )  # fmt: skip


def _period(per: str | None) -> tuple[float, str]:
    if per is None:
        return 0.0, ""
    if per == "month":
        return MONTH, "month"
    seconds = DAY if per == "day" else parse_duration(per)
    return seconds, {DAY: "day", MONTH: "month"}.get(seconds, "") if per != "30d" else ""


def _complete(item: written.Limit, algorithm: str, period_name: str, path: str, findings: Findings) -> bool:
    complete = item.quota is not None and (item.per is not None or algorithm == "concurrency")
    if item.quota is None and not findings.complained(child(path, "quota")):
        findings.add(path, '"quota" is missing', "write quota: 100, or from: plan")
    if item.per is None and algorithm != "concurrency" and not findings.complained(child(path, "per")):
        findings.add(path, '"per" is missing', "for example per: 1m")
    if algorithm == "calendar" and item.per is not None and not period_name:
        findings.add(child(path, "per"), f"{item.per} has no calendar edge", "write day or month")
        complete = False
    return complete


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        return False
    return True


def translate_plan(name: str, plan: written.Plan, path: str, findings: Findings) -> Plan:
    return Plan(
        name,
        translate_limits(plan.limits, child(path, "limits"), findings, "consumer", plan=True),
        translate_limits(
            plan.quotas, child(path, "quotas"), findings, "consumer", plan=True, long=True, zone=plan.time_zone
        ),
    )
