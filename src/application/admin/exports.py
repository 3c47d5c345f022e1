"""Records as text for other programs: JSON lines, or CSV that spreadsheets do not execute."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from typing import Any

#: A cell that begins with one of these is a formula to a spreadsheet (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_json_lines(rows: Iterable[Any]) -> Iterator[str]:
    """One JSON object per dataclass, a line each."""
    for row in rows:
        yield json.dumps(asdict(row), ensure_ascii=True, separators=(",", ":")) + "\n"


def csv_head(kind: type[Any]) -> str:
    return _line([field.name for field in fields(kind)])


def as_csv(rows: Iterable[Any]) -> Iterator[str]:
    """One line per dataclass, columns in the order of its fields (RFC 4180)."""
    for row in rows:
        yield _line([_cell(value) for value in asdict(row).values()])


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value


def _line(cells: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()
