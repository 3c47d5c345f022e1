"""What the console remembers between its runs: the order and columns of each list, the bell. Never a token, never a row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def path_of(environ: Mapping[str, str]) -> Path | None:
    """Where it is kept; None if there is no home to keep it in."""
    home = environ.get("XDG_STATE_HOME") or (f"{environ['HOME']}/.local/state" if environ.get("HOME") else "")
    return Path(home) / "spork" / "console.json" if home else None


class Remembered:
    """A small file of settings. One that cannot be read, or written, is as if there were none."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._settings: dict[str, Any] = {}
        try:
            found = json.loads(path.read_text()) if path is not None and path.exists() else {}
            self._settings = found if isinstance(found, dict) else {}
        except (OSError, ValueError):
            pass

    def order(self, table: str) -> tuple[str, bool] | None:
        """(column, descending) as the operator last chose for a list."""
        found = self._settings.get("order", {})
        wanted = found.get(table) if isinstance(found, dict) else None
        if isinstance(wanted, list) and len(wanted) == 2 and isinstance(wanted[0], str):
            return (wanted[0], bool(wanted[1]))
        return None

    def keep_order(self, table: str, order: tuple[str, bool]) -> None:
        found = self._settings.get("order", {})
        self._settings["order"] = {**(found if isinstance(found, dict) else {}), table: list(order)}
        self._save()

    def columns(self, table: str) -> tuple[str, ...]:
        """Columns of a list as the operator last chose them; none if they are as configured."""
        found = self._settings.get("columns", {})
        wanted = found.get(table) if isinstance(found, dict) else None
        return tuple(name for name in wanted if isinstance(name, str)) if isinstance(wanted, list) else ()

    def keep_columns(self, table: str, names: tuple[str, ...]) -> None:
        found = self._settings.get("columns", {})
        kept = dict(found) if isinstance(found, dict) else {}
        kept.pop(table, None)
        self._settings["columns"] = {**kept, table: list(names)} if names else kept
        self._save()

    @property
    def bell(self) -> str:
        """off, bell or notice."""
        return str(self._settings.get("bell", "off"))

    @bell.setter
    def bell(self, value: str) -> None:
        self._settings["bell"] = value
        self._save()

    def _save(self) -> None:
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(self._settings, indent=1) + "\n")
        except OSError:
            pass
