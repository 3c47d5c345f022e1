"""Concerns: one row per object, with since and flaps; each rule names object, cause and next step."""

from __future__ import annotations

from dataclasses import replace

from spork.adapters.litestar.admin.example_values import BREAKER, SERVICE, TARGET
from spork.application.configuration.problems import Diagnostic
from spork.application.fleet import concern_rules as rules
from spork.application.fleet.concerns import REMEMBERED, ConcernLedger, Finding
from spork.application.views import ComponentHealth, Nodes, ObjectiveView

X = Finding("target", "billing/a:1", "error", "probe: refused", place="target", key="billing/a:1")


def test_a_concern_is_opened_then_open_then_cleared_then_gone() -> None:
    ledger = ConcernLedger()
    states = []
    for now, found in ((100, [X]), (105, [X]), (111, [X]), (112, []), (130, []), (143, [])):
        ledger.observe(found, now)
        states.append([row.state for row in ledger.rows()])
    assert states == [["opened"], ["opened"], ["open"], ["cleared"], ["cleared"], []]


def test_one_that_comes_back_is_the_same_and_its_flaps_are_counted() -> None:
    ledger = ConcernLedger()
    for turn in range(5):
        ledger.observe([X], 100 + 20 * turn)
        ledger.observe([], 110 + 20 * turn)
    ledger.observe([X], 300)
    (row,) = ledger.rows()
    assert (row.flaps, row.since, row.state) == (5, 300, "opened")
    ledger.observe([], 301)
    ledger.observe([], 302 + REMEMBERED)
    ledger.observe([X], 400 + REMEMBERED)
    assert ledger.rows()[0].flaps == 0


def test_the_worst_come_first_and_memory_is_bounded() -> None:
    ledger = ConcernLedger(most=3)
    mild = [Finding("target", f"m{number}", "warning", "c") for number in range(5)]
    ledger.observe([*mild, X], 1)
    assert [row.severity for row in ledger.rows()] == ["error", "warning", "warning"]
    assert ledger.left_out == 3
    ledger.observe([Finding("node", "n", "error", "silent")], 2)
    ledger.observe([Finding("node", "n", "error", "silent")], 3)
    assert ("node:n", "open") in [(row.id, row.state.replace("ed", "")) for row in ledger.rows()]


def test_a_circuit_opened_by_slowness_says_so_and_a_ramp_is_not_well() -> None:
    slow = replace(BREAKER, state="open", error_ratio=0.0, opened_because="12 of 24 calls took 0.5 s or more")
    (finding,) = rules.breakers([slow])
    assert "12 of 24 calls took 0.5 s" in finding.cause
    ramping = replace(slow, state="closed", ramp=0.05)
    (finding,) = rules.breakers([ramping])
    assert finding.cause.startswith("admits 5%")
    assert rules.breakers([replace(slow, state="closed", ramp=None)]) == []


def test_one_object_one_row() -> None:
    down = replace(TARGET, upstream="billing", name="a:1", probe="down", config="active")
    failing = replace(SERVICE, name="billing", state="degraded", rps=50.0, error_ratio=0.82)
    found = rules.everything([failing], [down], [], [], Nodes(1, 1))
    assert [(finding.kind, finding.object) for finding in found] == [("target", "billing/a:1")]
    alone = rules.everything([failing], [], [], [], Nodes(1, 1))
    assert [(finding.kind, finding.severity) for finding in alone] == [("service", "error")]
    assert "82%" in alone[0].cause


def test_the_gateways_own_parts_are_concerns() -> None:
    parts = [
        ComponentHealth("redis", "failing", "no answer"),
        ComponentHealth("certificates", "degraded", "edge.pem ends in 3.0 days"),
        ComponentHealth("upstreams", "degraded", "not healthy: x"),
        ComponentHealth("disk", "ok", "50% free"),
    ]
    found = rules.components(parts)
    assert [(finding.object, finding.severity) for finding in found] == [
        ("redis", "error"),
        ("certificates", "warning"),
    ]
    assert all(finding.next_step for finding in found)


def test_a_refused_reload_says_the_useful_half() -> None:
    problem = Diagnostic(
        "routes[1].upstream", 'no upstream "usrs"', 'did you mean "users"?', file="/etc/spork.yaml", line=12
    )
    (finding,) = rules.configuration([problem])
    assert finding.object == "spork.yaml:12"
    assert 'did you mean "users"?' in finding.cause


def test_a_silent_node_and_a_burning_objective() -> None:
    assert rules.nodes(Nodes(1, 2, ("gw-2",)))[0].object == "gw-2"
    level = ObjectiveView(
        "checkout", None, None, 0.999, None, 2592000.0, 1000, 50, 0.4, {"5m": 20.0, "1h": 15.0, "30m": 1.0, "6h": 1.0}
    )
    (finding,) = rules.objectives([level])
    assert (finding.object, finding.severity) == ("checkout", "error")
    assert rules.objectives([replace(level, burn={"5m": 1.0, "1h": 15.0})]) == []
