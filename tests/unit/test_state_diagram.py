"""The drawing in the documentation is the machine in the code."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from spork.domain.upstreams.circuit import TRANSITIONS

DOCS = Path(__file__).resolve().parents[2] / "docs"


def drawing() -> object:
    spec = importlib.util.spec_from_file_location("state_diagram", DOCS / "state_diagram.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_the_table_as_it_is() -> None:
    page = (DOCS / "resilience.md").read_text("utf-8")
    assert page == drawing().drawn(page), "run docs/state_diagram.py"  # type: ignore[attr-defined]


def test_every_transition_is_drawn() -> None:
    diagram = drawing().diagram()  # type: ignore[attr-defined]
    for (before, event), after in TRANSITIONS.items():
        arrow = next(line for line in diagram.splitlines() if line.startswith(f"    {before.value} --> {after.value}:"))
        assert event.value in arrow


def test_a_page_without_a_place_for_it_is_an_error() -> None:
    with pytest.raises(ValueError):
        drawing().drawn("nothing")  # type: ignore[attr-defined]
