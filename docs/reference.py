"""Writes the reference of every configuration key into docs/configuration.md: `python docs/reference.py`."""

from __future__ import annotations

import sys
from pathlib import Path

PAGE = Path(__file__).parent / "configuration.md"
sys.path.insert(0, str(PAGE.parent.parent / "src"))

from spork.adapters.yaml.reference import reference  # noqa: E402 - this tree's sources, installed or not

BEGIN, END = "<!-- reference: made by docs/reference.py -->\n", "<!-- end of reference -->"


def renewed(page: str) -> str:
    """`page` with its reference made anew."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + "\n" + reference() + "\n" + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
