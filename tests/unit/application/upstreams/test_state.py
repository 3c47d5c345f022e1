"""The one judge of a service's state."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spork.application.upstreams.state import service_state
from spork.application.views import TargetOnNode, TargetView

NODE = TargetOnNode("a", "active", "off", "closed", "ok", 0, None, None, None, None)
TARGET = TargetView(
    "users", "t1", "http://t1", "active", "off", "closed", "ok", 1, 0, 0, 0, 0.0, 0.0, None, 0, None, None, None, None,
    by_node=(NODE,),
)  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({}, "healthy"),
        ({"ramping": True}, "degraded"),
        ({"requests": 100, "error_ratio": 0.04}, "healthy"),
        ({"requests": 100, "error_ratio": 0.2}, "degraded"),
        ({"requests": 3, "error_ratio": 0.34}, "healthy"),
        ({"requests": 100, "error_ratio": 1.0}, "down"),
    ],
)
def test_what_callers_get_and_a_circuit_that_ramps_up_are_part_of_the_state(
    facts: dict[str, object], state: str
) -> None:
    assert service_state([TARGET], "closed", **facts) == state  # type: ignore[arg-type]


def test_a_circuit_on_probation_and_one_that_is_shut() -> None:
    assert service_state([TARGET], "half_open") == "degraded"
    shut = replace(TARGET, breaker="open", by_node=(replace(NODE, breaker="open"),))
    assert service_state([shut], "open") == "down"


def test_nothing_measured_is_unknown() -> None:
    idle = replace(TARGET, traffic="idle", by_node=(replace(NODE, traffic="idle"),))
    assert service_state([idle], "closed") == "unknown"
