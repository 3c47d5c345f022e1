"""Lists of what serves: services, targets, breakers.

A target's configured, probe, breaker and traffic state are four columns: green in one says nothing about the others.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from spork.console.gateway.topics import target_key
from spork.console.pictures.columns import Column, Table
from spork.console.pictures.history import past
from spork.console.text.formats import MISSING, count, millis, percent, rate, since, until
from spork.console.text.labels import ratio_tone, said, severity
from spork.console.text.moment import Moment
from spork.console.text.spans import Span

if TYPE_CHECKING:
    from spork.application.views import BreakerView, ServiceView, TargetView


def _targets_up(row: ServiceView, moment: Moment) -> Span:
    tone = "" if row.targets_up >= row.targets_total else ("bad" if row.targets_up == 0 else "warn")
    return (f"{row.targets_up}/{row.targets_total}", tone)


def _sum(value: float, moment: Moment) -> str:
    text = rate(value)
    return f"≥{text}" if moment.partial else text


def service_fault(row: ServiceView) -> bool:
    return severity(row.state) > 0 or severity(row.breaker) > 0 or row.targets_up < row.targets_total


def service_severity(row: ServiceView) -> tuple[int, float]:
    return (max(severity(row.state), severity(row.breaker)), row.error_ratio)


SERVICES = Table(
    name="services",
    topic="services",
    measured="rates over 10 s",
    title="services",
    columns=(
        Column("state", "STATE", 10, lambda r, m: said(r.state), service_severity),
        Column("service", "SERVICE", 14, lambda r, m: (r.name, "bold"), lambda r: r.name, grow=True, most=32),
        Column(
            "up", "UP", 6, _targets_up, lambda r: r.targets_up / r.targets_total if r.targets_total else 0.0, right=True
        ),
        Column("rps", "RPS", 7, lambda r, m: (_sum(r.rps, m), ""), lambda r: r.rps, right=True),
        Column(
            "err",
            "5XX%",
            6,
            lambda r, m: (percent(r.error_ratio), ratio_tone(r.error_ratio)),
            lambda r: r.error_ratio,
            right=True,
        ),
        Column("p95", "P95", 6, lambda r, m: (millis(r.p95_ms), ""), lambda r: r.p95_ms, priority=2, right=True),
        Column("breaker", "BREAKER", 9, lambda r, m: said(r.breaker), lambda r: severity(r.breaker), priority=2),
        Column("past", "REQUESTS", 12, past("service", "rate", 12), lambda r: r.rps, priority=4),
        Column("past_errors", "ERRORS", 12, past("service", "errors", 12), lambda r: r.error_ratio, priority=4),
        Column(
            "throttled",
            "429%",
            6,
            lambda r, m: (percent(r.throttled_ratio), ""),
            lambda r: r.throttled_ratio,
            priority=4,
            right=True,
        ),
        Column(
            "retries",
            "RETRY/S",
            7,
            lambda r, m: (rate(r.retries_per_second), ""),
            lambda r: r.retries_per_second,
            priority=5,
            right=True,
        ),
        Column(
            "inflight", "INFL", 5, lambda r, m: (count(r.in_flight), ""), lambda r: r.in_flight, priority=5, right=True
        ),
        Column(
            "avail",
            "AVAIL%",
            6,
            lambda r, m: (percent(r.availability), ""),
            lambda r: r.availability,
            priority=6,
            right=True,
        ),
        Column("balance", "BALANCE", 13, lambda r, m: (r.balance, "dim"), lambda r: r.balance, priority=7),
        Column(
            "routes",
            "ROUTES",
            10,
            lambda r, m: (", ".join(r.routes) or MISSING, "dim"),
            lambda r: len(r.routes),
            priority=8,
            grow=True,
        ),
    ),
    order=("state", True),
    key=attrgetter("name"),
    faulty=service_fault,
    search=lambda r: f"{r.name} {r.state} {r.breaker} {r.balance} {' '.join(r.routes)}".lower(),
    nothing="no services are configured",
    fields=lambda r: {"state": r.state, "service": r.name, "breaker": r.breaker, "route": " ".join(r.routes)},
    watch=lambda r: (r.state, r.targets_up, r.breaker),
)


def target_severity(row: TargetView) -> int:
    return max(severity(row.config), severity(row.probe), severity(row.breaker), severity(row.traffic))


def _probe_age(row: TargetView, moment: Moment) -> Span:
    return (since(row.last_probe_at, moment.now), "dim")


TARGETS = Table(
    name="targets",
    topic="targets",
    measured="rates over 10 s",
    title="targets",
    columns=(
        Column(
            "target", "TARGET", 20, lambda r, m: (r.name, "bold"), lambda r: r.name, grow=True, most=34, middle=True
        ),
        Column("service", "SERVICE", 12, lambda r, m: (r.upstream, ""), lambda r: r.upstream, priority=2),
        Column("config", "CONFIG", 9, lambda r, m: said(r.config), lambda r: severity(r.config)),
        Column("probe", "PROBE", 9, lambda r, m: said(r.probe), lambda r: target_severity(r)),
        Column("breaker", "BREAKER", 9, lambda r, m: said(r.breaker), lambda r: severity(r.breaker), priority=3),
        Column("traffic", "TRAFFIC", 9, lambda r, m: said(r.traffic), lambda r: severity(r.traffic)),
        Column("rps", "RPS", 6, lambda r, m: (rate(r.rps), ""), lambda r: r.rps, priority=4, right=True),
        Column(
            "err",
            "5XX%",
            6,
            lambda r, m: (percent(r.error_ratio), ratio_tone(r.error_ratio)),
            lambda r: r.error_ratio,
            priority=5,
            right=True,
        ),
        Column("p95", "P95", 6, lambda r, m: (millis(r.p95_ms), ""), lambda r: r.p95_ms, priority=6, right=True),
        Column("weight", "WGT", 3, lambda r, m: (str(r.weight), "dim"), lambda r: r.weight, priority=7, right=True),
        Column(
            "conns", "CONN", 5, lambda r, m: (count(r.connections), ""), lambda r: r.connections, priority=7, right=True
        ),
        Column(
            "ejections",
            "EJECT",
            5,
            lambda r, m: (str(r.ejections), "warn" if r.ejections else "dim"),
            lambda r: r.ejections,
            priority=8,
            right=True,
        ),
        Column("probed", "PROBED", 6, _probe_age, lambda r: r.last_probe_at, priority=9, right=True),
        Column(
            "error",
            "LAST ERROR",
            18,
            lambda r, m: (r.last_error or MISSING, "dim"),
            lambda r: r.last_error,
            priority=10,
            grow=True,
        ),
    ),
    order=("probe", True),
    key=target_key,
    faulty=lambda r: target_severity(r) > 0,
    search=lambda r: f"{r.upstream} {r.name} {r.config} {r.probe} {r.breaker} {r.traffic} {r.last_error or ''}".lower(),
    nothing="no targets: no service has an address yet",
    fields=lambda r: {
        "service": r.upstream,
        "target": r.name,
        "config": r.config,
        "probe": r.probe,
        "breaker": r.breaker,
        "traffic": r.traffic,
    },
    watch=lambda r: (r.config, r.probe, r.traffic),
)


def _retry(row: BreakerView, moment: Moment) -> Span:
    if row.state == "half_open":
        return ("probing" if row.ramp is None else f"ramp {row.ramp * 100:.0f}%", "warn")
    if row.state == "forced_open":
        return (until(row.expires_at, moment.now), "")
    if row.state == "open":
        return (until(row.next_try, moment.now), "")
    if row.ramp is not None and row.ramp < 1:
        return (f"ramp {row.ramp * 100:.0f}%", "warn")
    return (MISSING, "dim")


def _retry_at(row: BreakerView) -> float | None:
    return row.expires_at if row.state == "forced_open" else row.next_try


def breaker_word(row: BreakerView) -> str:
    """The circuit's state; one that is closed but admits only a part is ramping, and not well."""
    return "ramping" if row.state == "closed" and row.ramp is not None and row.ramp < 1 else row.state


def reason_of(row: BreakerView) -> str:
    """Why it is as it is: the operator's words, else what opened it, else how it came to its state."""
    if row.state == "forced_open":
        return row.forced_reason or row.cause or MISSING
    return (row.opened_because if breaker_word(row) != "closed" else "") or row.cause or MISSING


def breaker_severity(row: BreakerView) -> tuple[int, float]:
    return (severity(breaker_word(row)), row.error_ratio)


def _errors(row: BreakerView, moment: Moment) -> Span:
    if not row.requests:
        return (MISSING, "dim")
    return (percent(row.error_ratio), ratio_tone(row.error_ratio, row.threshold / 2, row.threshold))


BREAKERS = Table(
    name="breakers",
    topic="breakers",
    title="breakers",
    columns=(
        Column("state", "STATE", 9, lambda r, m: said(breaker_word(r)), breaker_severity),
        Column(
            "breaker", "BREAKER", 18, lambda r, m: (r.name, "bold"), lambda r: r.name, grow=True, most=44, middle=True
        ),
        Column("err", "ERR%", 6, _errors, lambda r: r.error_ratio if r.requests else None, right=True),
        Column("requests", "REQ", 6, lambda r, m: (rate(r.requests), ""), lambda r: r.requests, priority=2, right=True),
        Column(
            "trips",
            "TRIPS",
            5,
            lambda r, m: (str(r.trips), "warn" if r.trips else "dim"),
            lambda r: r.trips,
            priority=4,
            right=True,
        ),
        Column(
            "since", "SINCE", 6, lambda r, m: (since(r.since, m.now), ""), lambda r: r.since, priority=3, right=True
        ),
        Column("retry", "RETRY IN", 8, _retry, _retry_at, priority=2, right=True),
        Column("rps", "RPS", 6, lambda r, m: (_sum(r.rps, m), ""), lambda r: r.rps, priority=3, right=True),
        Column("slow", "SLOW", 5, lambda r, m: (rate(r.slow), ""), lambda r: r.slow, priority=7, right=True),
        Column("by", "FORCED BY", 10, lambda r, m: (r.forced_by or MISSING, "dim"), lambda r: r.forced_by, priority=8),
        Column(
            "cause",
            "CAUSE",
            18,
            lambda r, m: (reason_of(r), "dim"),
            lambda r: r.cause,
            priority=3,
            grow=True,
        ),
    ),
    order=("state", True),
    key=attrgetter("name"),
    faulty=lambda r: severity(breaker_word(r)) > 0,
    search=lambda r: (
        f"{r.name} {breaker_word(r)} {r.cause} {r.opened_because} {r.forced_by or ''} {' '.join(r.routes)}".lower()
    ),
    nothing="no breakers: no service has one configured",
    fields=lambda r: {"state": breaker_word(r), "breaker": r.name, "cause": reason_of(r), "by": r.forced_by or ""},
    watch=breaker_word,
)
