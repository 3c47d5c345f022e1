"""Every reason a guard or a use case may give has a status: an unknown one would be answered 500."""

from __future__ import annotations

import ast
from pathlib import Path

from spork.adapters.litestar.problems import REASONS

SRC = Path(__file__).resolve().parents[3] / "src"


def reasons() -> set[str]:
    """The first argument of every `Denial(...)` that is written as a text."""
    found: set[str] = set()
    for folder in ("domain", "application"):
        for path in (SRC / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Denial":
                    first = node.args[0] if node.args else None
                    if isinstance(first, ast.Constant) and isinstance(first.value, str):
                        found.add(first.value)
    return found


def test_every_reason_has_a_status() -> None:
    assert {"unauthenticated", "forbidden", "screened"} <= reasons()
    assert reasons() - REASONS.keys() == set()
