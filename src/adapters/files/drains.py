"""Drained targets of a gateway that shares no store: a file in `state_dir`, so that a restart undoes no drain.

All workers of a gateway read and write the one file, under a lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from spork.application.upstreams.drains import Drain, Name, StoreGone

#: (upstream, target, reason, end in Unix seconds or None)
Row = tuple[str, str, str, float | None]


class FileDrains:
    """`application.upstreams.drains.DrainStore` in `state_dir`/drains.json. Ends are by the wall clock."""

    def __init__(self, state_dir: str, unix: Callable[[], float] = time.time) -> None:
        self._path = Path(state_dir) / "drains.json"
        self._unix = unix
        self._read_as: tuple[int, int] | None = None
        self._rows: list[Row] | None = None

    async def put(self, name: Name, drain: Drain) -> None:
        await self._change({name: drain})

    async def remove(self, name: Name) -> None:
        await self._change({}, name)

    async def found(self, drains: Mapping[Name, Drain]) -> None:
        if drains:
            await self._change(drains)

    async def current(self) -> Mapping[Name, Drain] | None:
        try:
            signature = _signature(self._path)
            if signature is None or signature != self._read_as:
                self._rows = await asyncio.to_thread(self._read)
                self._read_as = signature
        except (OSError, msgspec.DecodeError) as error:
            raise StoreGone(str(error)) from error
        if self._rows is None:
            return None
        now = self._unix()
        return {
            (upstream, target): Drain(reason, None if ends is None else ends - now)
            for upstream, target, reason, ends in self._rows
            if ends is None or ends > now
        }

    async def _change(self, drains: Mapping[Name, Drain], without: Name | None = None) -> None:
        try:
            await asyncio.to_thread(self._write, drains, without)
        except (OSError, msgspec.DecodeError) as error:
            raise StoreGone(str(error)) from error

    def _read(self) -> list[Row] | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[Row])
        except FileNotFoundError:
            return None

    def _write(self, drains: Mapping[Name, Drain], without: Name | None) -> None:
        now = self._unix()
        with self._locked():
            rows = {(row[0], row[1]): row for row in self._read() or () if row[3] is None or row[3] > now}
            for name, drain in drains.items():
                rows[name] = (*name, drain.reason, None if drain.remaining is None else now + drain.remaining)
            if without is not None:
                rows.pop(without, None)
            fresh = self._path.with_suffix(".new")
            fresh.write_bytes(msgspec.json.encode(list(rows.values())))
            fresh.replace(self._path)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _signature(path: Path) -> tuple[int, int] | None:
    """What tells one state of the file from another; None when there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
