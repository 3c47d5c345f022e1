"""Draws the circuit's states from `spork.domain.upstreams.circuit.TRANSITIONS`: run it to bring docs/resilience.md up to date.

python docs/state_diagram.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from spork.domain.upstreams.circuit import TRANSITIONS

BEGIN = "<!-- drawn from spork.domain.upstreams.circuit.TRANSITIONS by docs/state_diagram.py -->\n"
END = "<!-- end of the drawing -->\n"
PAGE = Path(__file__).with_name("resilience.md")


def diagram() -> str:
    """A Mermaid state diagram; events between the same two states share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (before, event), after in TRANSITIONS.items():
        arrows.setdefault((before.value, after.value), []).append(event.value)
    lines = [f"    {before} --> {after}: {', '.join(events)}" for (before, after), events in arrows.items()]
    return "```mermaid\nstateDiagram-v2\n    [*] --> closed\n" + "\n".join(lines) + "\n```\n"


def drawn(page: str) -> str:
    """The page with the diagram as it is now. Raises ValueError when it has no place for it."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no place for the diagram")
    return before + BEGIN + diagram() + END + after


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text("utf-8")), "utf-8")
