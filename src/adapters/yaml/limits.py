"""Limits and plans as written, to the domain's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from adapters.yaml import written
from adapters.yaml.decode import FAILED, Findings
from adapters.yaml.scalars import parse_duration
from application.diagnostics import child
from domain.consumers import Plan
from domain.quotas import Limit

DAY = 86400.0
MONTH = 30 * DAY


def translate_limits(
    items: Sequence[Any], path: str, findings: Findings, by: str, *, long: bool = False, time_zone: str = "UTC"
) -> tuple[Limit, ...]:
    """The limits of one list. `by` is what is counted when a limit does not say; `long` quotas go by the calendar."""
    limits: list[Limit] = []
    taken: set[str] = set()
    for index, item in enumerate(items):
        if item is FAILED:
            continue
        name = item.name or _free(
            f"per-{item.by or by}".replace(":", "-") if (item.by or by) != "global" else "global", taken
        )
        taken.add(name)
        limit = _limit(item, name, f"{path}[{index}]", findings, by, long, time_zone)
        if limit is not None:
            limits.append(limit)
    return tuple(limits)


def _free(name: str, taken: set[str]) -> str:
    number = 2
    candidate = name
    while candidate in taken:
        candidate, number = f"{name}-{number}", number + 1
    return candidate


def _limit(
    item: written.Limit, name: str, path: str, findings: Findings, by: str, long: bool, time_zone: str
) -> Limit | None:
    if item.from_ == "plan":
        for key in ("quota", "per", "burst"):
            if getattr(item, key) is not None:
                findings.add(child(path, key), "has no effect beside from: plan", "leave it out", "warning")
        return Limit(name, 0, 0.0, item.by or "consumer", on_store_error=item.on_store_error, accuracy=item.accuracy,
                     cost=item.cost, shared=item.shared, source="plan", time_zone=item.time_zone)  # fmt: skip
    period, period_name = _period(item.per)
    algorithm = item.algorithm or ("gcra" if not long else "calendar" if period_name else "sliding_window")
    if item.algorithm is None and item.per in ("day", "month"):
        algorithm = "calendar"
    if not _complete(item, algorithm, period_name, path, findings):
        return None
    zone = item.time_zone if item.time_zone != "UTC" else time_zone
    _check_zone(zone, path, findings)
    return Limit(
        name=name,
        quota=item.quota or 0,
        period=0.0 if algorithm == "concurrency" else period,
        by=item.by or by,
        algorithm=algorithm,
        burst=item.burst,
        cost=item.cost,
        on_store_error=item.on_store_error,
        accuracy=item.accuracy,
        shared=item.shared,
        period_name=period_name if algorithm == "calendar" else "",
        time_zone=zone,
    )


def _period(per: str | None) -> tuple[float, str]:
    if per is None:
        return 0.0, ""
    if per == "month":
        return MONTH, "month"
    seconds = DAY if per == "day" else parse_duration(per)
    return seconds, {DAY: "day", MONTH: "month"}.get(seconds, "") if per != "30d" else ""


def _complete(item: written.Limit, algorithm: str, period_name: str, path: str, findings: Findings) -> bool:
    complete = True
    if item.quota is None:
        findings.add(path, '"quota" is missing', "write quota: 100, or from: plan")
        complete = False
    if item.per is None and algorithm != "concurrency":
        findings.add(path, '"per" is missing', "for example per: 1m")
        complete = False
    if algorithm == "calendar" and item.per is not None and not period_name:
        findings.add(child(path, "per"), f"{item.per} has no calendar edge", "write day or month")
        complete = False
    return complete


def _check_zone(name: str, path: str, findings: Findings) -> None:
    if name == "UTC":
        return
    try:
        ZoneInfo(name)
    except (OSError, ValueError):
        findings.add(child(path, "time_zone"), f'no time zone "{name}"', "names are such as Europe/Berlin")


def translate_plan(name: str, plan: written.Plan, path: str, findings: Findings) -> Plan:
    return Plan(
        name,
        translate_limits(plan.limits, child(path, "limits"), findings, "consumer"),
        translate_limits(plan.quotas, child(path, "quotas"), findings, "consumer", long=True, time_zone=plan.time_zone),
    )
