"""How an upstream is, from probes, ejections, circuits and traffic."""

from __future__ import annotations

from spork.application.upstreams.target import LiveTarget
from spork.application.upstreams.upstream import LiveUpstream
from spork.domain.upstreams.health import ProbeVerdict, aggregate


def state_of(upstream: LiveUpstream, now: float) -> str:
    """healthy, degraded, down or unknown: from probes, ejections, circuits and traffic, never from configuration."""
    standings = [standing(t, now) for t in upstream.targets]
    state = aggregate(standings.count("up"), standings.count("unknown"), len(standings))
    circuit = worst_breaker(upstream)
    if circuit in ("open", "forced_open"):
        return "down" if upstream.breaker is not None else "degraded"
    if circuit == "half_open" and state == "healthy":
        return "degraded"
    return state


def standing(target: LiveTarget, now: float) -> str:
    if not target.allowed(now) or not target.healthy(now):
        return "down"
    requests, failures, _, _ = target.window.totals(now)
    if target.probe is not None and target.probe.verdict is ProbeVerdict.UP:
        return "up"
    if requests:
        return "up" if failures * 2 < requests else "down"
    return "unknown"


def worst_breaker(upstream: LiveUpstream) -> str:
    circuits = [t.breaker.state.value for t in upstream.targets if t.breaker is not None]
    if upstream.breaker is not None:
        circuits.append(upstream.breaker.state.value)
    order = ("off", "closed", "half_open", "open", "forced_open")
    return max(circuits, key=order.index, default="off")
