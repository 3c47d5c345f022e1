"""What an operator last applied, kept in `state_dir`, so that a restart does not undo it and all workers serve it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from spork.adapters.files.state_files import file_signature, private_directory, write_private
from spork.application.configuration.live import Shared


class AppliedFile:
    """`application.configuration.live.ConfigExchange` in `state_dir`/applied.json, readable by the gateway's user only."""

    def __init__(self, state_dir: str) -> None:
        self._path = Path(state_dir) / "applied.json"
        self._seen: object = None
        self._latest: Shared | None = None

    async def offer(self, shared: Shared) -> None:
        """Raises OSError when it cannot be kept."""
        await asyncio.to_thread(self._write, shared)

    async def latest(self) -> Shared | None:
        """Raises OSError when it cannot be read."""
        seen = file_signature([str(self._path)])
        if seen != self._seen:
            self._latest = await asyncio.to_thread(self._read)
            self._seen = seen
        return self._latest

    def _write(self, shared: Shared) -> None:
        private_directory(self._path.parent)
        write_private(self._path, msgspec.json.encode(shared))

    def _read(self) -> Shared | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Shared)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise OSError(f"{self._path} cannot be read: {error}") from error
