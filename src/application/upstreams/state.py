"""How a service is: the only judge, from probes, ejections, circuits, operators and what callers get.

Admin API, discovery, events, health and the console all show what is said here.
"""

from __future__ import annotations

from collections.abc import Sequence

from spork.application.views import BreakerOnNode, TargetOnNode, TargetView

#: States of a circuit that lets nothing through.
SHUT = ("open", "forced_open")
#: Share of 5xx answers from which on a service is not healthy, and from which on it serves nobody.
DEGRADED_FROM = 0.05
DOWN_FROM = 0.99
#: Requests of the last ten seconds from which on their shares mean something.
ENOUGH = 10


def takes_traffic(target: TargetView | TargetOnNode) -> bool:
    """Whether requests are sent there now: said by probe, ejection, circuit and operator, never by configuration alone."""
    return (
        target.config in ("active", "registered")
        and target.probe != "down"
        and target.traffic != "ejected"
        and target.breaker not in SHUT
    )


def service_state(
    targets: Sequence[TargetView],
    breaker: str,
    by_node: Sequence[BreakerOnNode] = (),
    ramping: bool = False,
    requests: int = 0,
    error_ratio: float = 0.0,
) -> str:
    """healthy, degraded, down or unknown (nothing has been measured: neither probes nor traffic).

    `breaker` and `by_node` are of the upstream's circuits; `ramping`: one of them admits only a share; `requests` and
    their `error_ratio` (0 to 1, 5xx) are of the last ten seconds. It is down when no node can send anything anywhere
    (what one node ejects, or shuts off, another may well use), or when callers get nothing but errors.
    """
    usable = {fact.node for target in targets for fact in target.by_node if takes_traffic(fact)}
    usable -= {fact.node for fact in by_node if fact.state in SHUT}
    up = [target for target in targets if takes_traffic(target)]
    if not usable or (requests >= ENOUGH and error_ratio >= DOWN_FROM):
        return "down"
    if (
        breaker in SHUT
        or breaker == "half_open"
        or ramping
        or len(up) < len(targets)
        or (requests >= ENOUGH and error_ratio >= DEGRADED_FROM)
        or any(target.traffic == "failing" for target in up)
    ):
        return "degraded"
    if all(target.probe in ("off", "unknown") and target.traffic in ("idle", "") for target in up):
        return "unknown"
    return "healthy"
