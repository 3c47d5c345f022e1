"""Raised limits of a gateway that shares no store: a file in `state_dir`, so that a restart undoes no raise."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from spork.application.limits.overrides import Override


class FileOverrides:
    """`application.limits.overrides.OverrideStore` in `state_dir`/raises.json. One process writes it: several workers
    that count share a store."""

    def __init__(self, state_dir: str, unix: Callable[[], float] = time.time) -> None:
        self._path = Path(state_dir) / "raises.json"
        self._unix = unix
        self._known: dict[tuple[str, str], Override] | None = None

    async def load(self) -> Iterable[Override] | None:
        """Raises OSError when the file cannot be read."""
        if self._known is None:
            self._known = await asyncio.to_thread(self._read)
        now = self._unix()
        return [each for each in self._known.values() if each.expires_at > now]

    async def put(self, override: Override) -> None:
        await self.found([override])

    async def found(self, overrides: Iterable[Override]) -> None:
        """Raises OSError when the file cannot be written."""
        kept = {each.name: each for each in await self.load() or ()}
        kept |= {each.name: each for each in overrides}
        await asyncio.to_thread(self._write, list(kept.values()))
        self._known = kept

    def _read(self) -> dict[tuple[str, str], Override]:
        try:
            rows = msgspec.json.decode(self._path.read_bytes(), type=list[Override])
        except FileNotFoundError:
            return {}
        except msgspec.DecodeError as error:
            raise OSError(f"{self._path} cannot be read: {error}") from error
        return {each.name: each for each in rows}

    def _write(self, rows: list[Override]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(rows))
        fresh.chmod(0o600)
        fresh.replace(self._path)
