"""Rows as files: CSV as the list shows them, JSON as the gateway sent them (cleaned)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from spork.console.pictures.columns import Table
from spork.console.text.moment import Moment


def as_text(table: Table, rows: Sequence[Any], moment: Moment, kind: str) -> str:
    """`kind` csv or json. CSV cells that a spreadsheet would compute begin with an apostrophe."""
    if kind == "json":
        import msgspec

        return msgspec.json.format(msgspec.json.encode(list(rows)), indent=2).decode() + "\n"
    out = io.StringIO()
    writer = csv.writer(out)
    columns = [column for column in table.columns if column.title]
    writer.writerow([column.name for column in columns])
    for row in rows:
        writer.writerow([_harmless(column.cell(row, moment)[0].strip()) for column in columns])
    return out.getvalue()


def _harmless(text: str) -> str:
    return f"'{text}" if text[:1] in "=+@\t" or (text[:1] == "-" and text[1:2].isalpha()) else text
