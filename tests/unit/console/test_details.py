"""One row in full: what gateways of a fleet find of the same target or circuit, where they do not agree."""

from __future__ import annotations

from dataclasses import replace

from spork.application.views import BreakerOnNode, TargetOnNode
from spork.console.pictures import details
from spork.console.text.moment import Moment
from spork.console.text.spans import Line
from tests.unit.console import seeds


def text(lines: list[Line]) -> str:
    return "\n".join("".join(span for span, _ in line) for line in lines)


def on(node: str, probe: str, traffic: str) -> TargetOnNode:
    return TargetOnNode(node, "active", probe, "closed", traffic, 0, None, None, None, None)


def test_a_target_that_one_gateway_ejected_says_which() -> None:
    row = replace(seeds.targets(1000.0)[0], by_node=(on("gw-1", "up", "ok"), on("gw-2", "up", "ejected")))
    shown = text(details.target(row, Moment(1000.0), 80)).lower()
    assert "gateways differ" in shown
    assert shown.index("gw-1") < shown.index("gw-2") < shown.index("ejected")
    agreed = replace(row, by_node=(on("gw-1", "up", "ok"), on("gw-2", "up", "ok")))
    assert "gw-1" not in text(details.target(agreed, Moment(1000.0), 80))


def test_a_circuit_that_is_open_on_one_gateway_says_which() -> None:
    own = (BreakerOnNode("gw-1", "closed", 1.0, "", 5, 0), BreakerOnNode("gw-2", "open", 2.0, "5 of 5 failed", 5, 5))
    row = replace(seeds.breakers(1000.0)[0], by_node=own)
    shown = text(details.breaker(row, Moment(1000.0), 80))
    assert shown.index("gw-1") < shown.index("gw-2") < shown.index("5 of 5 failed")
    assert "gateways differ" not in text(details.breaker(replace(row, by_node=own[:1]), Moment(1000.0), 80))
