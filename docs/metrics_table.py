"""Writes the table of docs/metrics.md from the code: python docs/metrics_table.py"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "metrics.md"
BEGIN, END = "<!-- metrics: made by docs/metrics_table.py -->", "<!-- end of metrics -->"


def table() -> str:
    """Every metric: its name, kind, labels and meaning."""
    sys.path.insert(0, str(ROOT))
    from spork.application.telemetry.families import FAMILIES

    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for family in FAMILIES:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        kind = family.kind if family.kind != "gauge" or family.merge == "sum" else f"gauge, {family.merge} of workers"
        rows.append(f"| `{family.name}` | {kind} | {labels} | {family.meaning} |")
    return "\n".join(rows)


def renewed(page: str) -> str:
    """The page with the present table."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END, 1)[1]}"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
