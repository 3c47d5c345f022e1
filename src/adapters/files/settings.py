"""Settings of a gateway that shares no store: a file in `state_dir` that its workers share."""

from __future__ import annotations

import asyncio
import fcntl
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from spork.application.fleet.settings import Setting


class FileSettings:
    """`application.fleet.settings.SettingsStore` in `state_dir`/settings.json. Ends are by the wall clock."""

    def __init__(self, state_dir: str, unix: Callable[[], float] = time.time) -> None:
        self._path = Path(state_dir) / "settings.json"
        self._unix = unix
        self._read_as: tuple[int, int] | None = None
        self._rows: dict[str, Setting] = {}

    async def load(self) -> Mapping[str, Setting] | None:
        signature = _signature(self._path)
        if signature is None:
            return {}
        if signature != self._read_as:
            self._rows = await asyncio.to_thread(self._read)
            self._read_as = signature
        now = self._unix()
        return {name: each for name, each in self._rows.items() if each.until is None or each.until > now}

    async def put(self, name: str, setting: Setting | None, ttl: float | None) -> Setting | None:
        if setting is not None:
            now = self._unix()
            setting = replace(setting, at=now, until=None if ttl is None else now + ttl)
        await asyncio.to_thread(self._write, name, setting)
        return setting

    async def found(self, settings: Mapping[str, Setting]) -> None:
        for name, each in settings.items():
            await asyncio.to_thread(self._write, name, each)

    def _read(self) -> dict[str, Setting]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, Setting])
        except FileNotFoundError:
            return {}
        except msgspec.DecodeError as error:
            raise OSError(f"{self._path} cannot be read: {error}") from error

    def _write(self, name: str, setting: Setting | None) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            now = self._unix()
            rows = {key: each for key, each in self._read().items() if each.until is None or each.until > now}
            rows.pop(name, None)
            if setting is not None:
                rows[name] = setting
            fresh = self._path.with_suffix(".new")
            fresh.write_bytes(msgspec.json.encode(rows))
            fresh.chmod(0o600)
            fresh.replace(self._path)


def _signature(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
