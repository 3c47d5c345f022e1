"""What counts as a concern: each rule looks at one kind of facts and names object, cause and next step.

One object, one row: a target that only its service's circuit keeps away is not a concern of its own, and a service whose
circuit or targets say why it is degraded is not one either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from spork.application.configuration.problems import Diagnostic
from spork.application.fleet.concerns import Finding
from spork.application.views import (
    BreakerView,
    ComponentHealth,
    Nodes,
    ObjectiveView,
    QuotaView,
    ServiceView,
    TargetView,
)

#: Windows over a limit that are named; the rest is on the list of windows.
QUOTAS: Final = 5
#: Requests in ten seconds below which a share of errors says little, and the shares that count.
FEW: Final = 20
ERRORS_WARN, ERRORS_BAD = 0.05, 0.25
#: (long window, short window, burn rate, severity), as in the alerts of docs/operations.md.
BURNS: Final = (("1h", "5m", 14.4, "error"), ("6h", "30m", 6.0, "warning"))
#: Milliseconds of event loop lag below which it is no concern.
LAG_WORTH_A_LOOK: Final = 500.0
_ERROR, _WARNING = "error", "warning"
#: Components whose facts other rules tell better.
_TOLD_ELSEWHERE: Final = ("upstreams", "configuration")


def breakers(rows: Iterable[BreakerView]) -> list[Finding]:
    """Circuits that are not closed, or closed and still admitting only a part."""
    found = []
    for row in rows:
        reason = row.opened_because or row.cause
        if row.state == "forced_open":
            why = f"forced open by {row.forced_by or '-'}: {row.forced_reason or row.cause}"
            found.append(_of_breaker(row, _ERROR, why, "reset (R) when mended", "forced_open"))
        elif row.state == "open":
            found.append(_of_breaker(row, _ERROR, reason, "look at its targets", "open"))
        elif row.state == "half_open":
            found.append(
                _of_breaker(
                    row,
                    _WARNING,
                    f"probing after: {reason}" if reason else "probing",
                    "look at its targets",
                    "half_open",
                )
            )
        elif row.ramp is not None and row.ramp < 1:
            share = f"admits {row.ramp:.0%} after: {reason}"
            found.append(_of_breaker(row, _WARNING, share, "wait for its ramp", "ramping"))
    return found


def _of_breaker(row: BreakerView, severity: str, cause: str, step: str, word: str) -> Finding:
    return Finding("breaker", row.name, severity, cause, step, "breaker", row.name, word)


def targets(rows: Iterable[TargetView]) -> list[Finding]:
    """Targets whose own probe or traffic fails, or which outlier detection put out; and drained ones."""
    found = []
    for row in rows:
        name = f"{row.upstream}/{row.name}"
        flaps = f", {row.flaps} changes in 5 min" if row.flaps >= 3 else ""
        if row.probe == "down":
            why = f"probe: {(row.last_error or 'failed').removeprefix('probe: ')}{flaps}"
            found.append(Finding("target", name, _ERROR, why, "ask its owner", "target", name, "down"))
        elif row.traffic in ("failing", "ejected"):
            share = (
                f"{row.error_ratio:.0%} of its answers are 5xx" if row.traffic == "failing" else "ejected as an outlier"
            )
            why = f"{share}; last error: {row.last_error}" if row.last_error else share
            found.append(
                Finding("target", name, _ERROR, why + flaps, "drain (D) or ask owner", "target", name, row.traffic)
            )
        elif row.config in ("draining", "drained"):
            found.append(
                Finding(
                    "target",
                    name,
                    _WARNING,
                    "taken out by an operator",
                    "undrain (U) when done",
                    "target",
                    name,
                    row.config,
                )
            )
    return found


def services(rows: Iterable[ServiceView], told: frozenset[str]) -> list[Finding]:
    """Services that are down, or whose callers get errors; `told` names those whose circuits or targets say why."""
    found = []
    for row in rows:
        if row.state == "down" and row.breaker in ("open", "forced_open") and row.name in told:
            continue  # its circuit is a concern already, and says why
        if row.state == "down":
            why = f"{row.targets_up} of {row.targets_total} targets take requests"
            found.append(
                Finding("service", row.name, _ERROR, why, "its routes answer 503", "service", row.name, "down")
            )
        elif row.name not in told and row.rps * 10 >= FEW and row.error_ratio >= ERRORS_WARN:
            severity = _ERROR if row.error_ratio >= ERRORS_BAD else _WARNING
            why = f"{row.error_ratio:.0%} of {row.rps:.0f} requests/s get 5xx"
            found.append(
                Finding("service", row.name, severity, why, "look at its targets", "service", row.name, "failing")
            )
    return found


def quotas(rows: Iterable[QuotaView]) -> list[Finding]:
    """The windows that refuse most."""
    full = [row for row in rows if row.refused_5m > 0 and (row.quota <= 0 or row.used >= row.quota)]
    full.sort(key=lambda row: (-row.refused_5m, row.id))
    return [
        Finding(
            "quota",
            row.owner or row.subject,
            _WARNING,
            f"{row.kind} {row.subject} over limit {row.limit}: {row.used} of {row.quota} used, {row.refused_5m} refused in 5 min",
            "raise (E), or leave it",
            "quota",
            row.id,
            "quota",
        )
        for row in full[:QUOTAS]
    ]


def configuration(problems: Sequence[Diagnostic], restart_needed: Sequence[str] = ()) -> list[Finding]:
    """A configuration that was refused, or parts of it that are left out or need a restart."""
    found = []
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        first = errors[0]
        hint = f"; {first.suggestion}" if first.suggestion else ""
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        where = f"{first.file.rpartition('/')[2]}:{first.line}" if first.line else first.file.rpartition("/")[2]
        said = (
            f"{first.suggestion or first.message}{more}" if len(first.message) > 60 else f"{first.message}{hint}{more}"
        )
        found.append(
            Finding(
                "config", where or "configuration", _ERROR, f"reload refused: {said}", "mend the file",
                "config", "", "refused",
            )
        )  # fmt: skip
    if restart_needed:
        names = ", ".join(restart_needed)
        found.append(
            Finding(
                "config", names, _WARNING, "changed, takes a restart", "restart when it suits", "config", "", "restart"
            )
        )
    return found


def nodes(state: Nodes) -> list[Finding]:
    """Gateway processes that stopped reporting."""
    return [
        Finding(
            "node",
            name,
            _ERROR,
            "does not report; sums are lower bounds",
            "look at its process",
            "nodes",
            name,
            "silent",
        )
        for name in state.silent
    ]


def components(rows: Iterable[ComponentHealth]) -> list[Finding]:
    """Parts of this gateway process that are degraded or failing: stores, event loop, disk, logs, certificates."""
    return [
        Finding(
            "gateway", row.name, _ERROR if row.status == "failing" else _WARNING, row.detail,
            _STEPS.get(row.name, "see docs/operations"), "nodes", row.name, row.status,
        )
        for row in rows
        if row.status in ("degraded", "failing") and row.name not in _TOLD_ELSEWHERE and not _passing(row)
    ]  # fmt: skip


def _passing(row: ComponentHealth) -> bool:
    """A single late turn of the event loop is what a busy host does; it hurts nobody."""
    return row.name == "event_loop" and row.status == "degraded" and (row.latency_ms or 0.0) < LAG_WORTH_A_LOOK


_STEPS: Final[Mapping[str, str]] = {
    "redis": "look at Redis",
    "limits": "look at Redis",
    "records": "look at the database",
    "event_loop": "look at CPU, plugins",
    "disk": "make room on the disk",
    "access_log": "look at the log's disk",
    "application_log": "look at the log's disk",
    "certificates": "renew it and reload",
}


def objectives(rows: Iterable[ObjectiveView]) -> list[Finding]:
    """Objectives whose budget burns too fast in a long window and still in a short one."""
    found = []
    for row in rows:
        for long, short, rate, severity in BURNS:
            if row.burn.get(long, 0.0) >= rate and row.burn.get(short, 0.0) >= rate:
                why = f"error budget burns {row.burn[long]:.1f} times too fast over {long}; {row.budget_left:.0%} left"
                found.append(
                    Finding(
                        "objective",
                        row.name,
                        severity,
                        why,
                        "look at its services",
                        "objectives",
                        row.name,
                        "burning",
                    )
                )
                break
    return found


def everything(
    service_rows: Sequence[ServiceView],
    target_rows: Sequence[TargetView],
    breaker_rows: Sequence[BreakerView],
    quota_rows: Sequence[QuotaView],
    node_state: Nodes,
    component_rows: Sequence[ComponentHealth] = (),
    problems: Sequence[Diagnostic] = (),
    objective_rows: Sequence[ObjectiveView] = (),
    restart_needed: Sequence[str] = (),
) -> list[Finding]:
    """All rules, over the facts of one moment."""
    found = [*breakers(breaker_rows), *targets(target_rows)]
    told = frozenset(
        finding.object.partition("/")[0] for finding in found if finding.severity == _ERROR or finding.kind == "breaker"
    )
    return [
        *found,
        *services(service_rows, told),
        *quotas(quota_rows),
        *configuration(problems, restart_needed),
        *nodes(node_state),
        *components(component_rows),
        *objectives(objective_rows),
    ]
