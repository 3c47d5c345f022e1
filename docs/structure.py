"""Draws docs/pictures/structure.svg from the imports of `src`: floors from top to bottom, rooms as boxes.

`python docs/structure.py` writes it; tests/unit/test_house.py compares. An arrow is an import from a room of the application into
another; those between floors all point downward (`make lint` holds that) and are left out.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
PICTURE = ROOT / "docs" / "pictures" / "structure.svg"
FLOORS = ("cli", "composition", "console", "adapters", "application", "domain")
WIDTH, BOX, GAP, LINE, LEFT = 1180, 128, 12, 46, 130


def rooms(floor: str) -> list[str]:
    """Rooms of a floor; modules without a room stand under the floor's own name."""
    found: set[str] = set()
    for path in sorted((SRC / floor).rglob("*.py")):
        parts = path.relative_to(SRC / floor).parts
        room = parts[0] if len(parts) > 1 else floor
        if path.name != "__init__.py" or path.stat().st_size:
            found.add(room)
    return sorted(found)


def imports_between(floor: str) -> set[tuple[str, str]]:
    """(room, room it imports) within a floor."""
    found: set[tuple[str, str]] = set()
    for path in (SRC / floor).rglob("*.py"):
        parts = path.relative_to(SRC / floor).parts
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"spork.{floor}."):
                other = node.module.split(".")[2]
                if len(parts) > 1 and other != parts[0]:
                    found.add((parts[0], other))
    return found


def picture() -> str:
    """The drawing, as SVG text."""
    shapes: list[str] = []
    y = 20
    at: dict[str, tuple[int, int]] = {}
    for floor in FLOORS:
        shapes.append(f'<text x="12" y="{y + 28}" class="floor">{floor}</text>')
        x = LEFT
        for room in rooms(floor):
            if x + BOX > WIDTH:
                x, y = LEFT, y + LINE + GAP
            shapes.append(f'<rect x="{x}" y="{y}" width="{BOX}" height="{LINE}" rx="5"/>')
            shapes.append(f'<text x="{x + 8}" y="{y + 28}">{room}</text>')
            if floor == "application":
                at[room] = (x + BOX // 2, y)
            x += BOX + GAP
        y += LINE + (70 if floor == "application" else 24)
    for one, other in sorted(imports_between("application")):
        if one in at and other in at:
            (x1, y1), (x2, y2) = at[one], at[other]
            if y1 == y2:
                depth = y1 + LINE + 8 + abs(x1 - x2) // 30
                shapes.append(f'<path d="M{x1} {y1 + LINE} C{x1} {depth},{x2} {depth},{x2} {y2 + LINE}"/>')
    style = (
        "text{font:13px sans-serif;fill:#222}.floor{font-weight:bold}"
        "rect{fill:#eef3fa;stroke:#557}path{fill:none;stroke:#99a;stroke-width:.8}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH + 20}" height="{y}"><style>{style}</style>\n'
        + "\n".join(shapes)
        + "\n</svg>\n"
    )


if __name__ == "__main__":
    PICTURE.write_text(picture())
