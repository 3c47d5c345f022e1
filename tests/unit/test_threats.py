"""docs/threats.md names the test behind each promise: all of them exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_promise_names_a_test_that_exists() -> None:
    page = (ROOT / "docs" / "threats.md").read_text(encoding="utf-8")
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    written = set(re.findall(r"def (test_\w+)\(", sources))
    named = set(re.findall(r"`(test_\w+)`", page))
    assert named - written == set()
    promises = [
        line for line in page.partition("## Clients")[2].partition("## Not promised")[0].splitlines() if "| `" in line
    ]
    assert len(promises) > 20
    rows = [
        line for line in page.partition("## Clients")[2].splitlines() if line.startswith("| ") and "held by" not in line
    ]
    assert all("`test_" in row for row in rows), "a promise without a test"
