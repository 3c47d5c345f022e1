"""Turns that the workers of one gateway take by locking files: for a gateway without a shared store."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import secrets
import time
from pathlib import Path
from typing import Final

from spork.application.admin.turns import StoreGone, Turn

#: Objects that share a lock file: a bound on files, and seldom anybody's wait. Versions kept in each, the latest.
_FILES: Final = 64
_KEPT: Final = 500


class FileTurns:
    """`application.admin.turns.Turns` among processes of one machine that share `directory`.

    The system gives a lock back when its holder ends, so leases are not needed.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = Path(directory) / "turns"
        self._open: dict[str, int] = {}

    async def take(self, object: str, lease: float) -> Turn | None:
        taking = asyncio.ensure_future(asyncio.to_thread(self._take, object))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:  # the thread goes on, and may get what nobody waits for any more
            taking.add_done_callback(self._let_go)
            raise
        except OSError as error:
            raise StoreGone(str(error)) from error

    async def give_back(self, turn: Turn) -> int:
        try:
            return await asyncio.to_thread(self._give_back, turn)
        except OSError as error:
            raise StoreGone(str(error)) from error

    def _let_go(self, taking: asyncio.Future[Turn | None]) -> None:
        turn = None if taking.cancelled() or taking.exception() is not None else taking.result()
        if turn is not None:
            os.close(self._open.pop(turn.token))

    def _take(self, object: str) -> Turn | None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._directory / str(int(_name(object)[:4], 16) % _FILES)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            version = _versions(file).get(_name(object), 0)
        except BlockingIOError:
            os.close(file)
            return None
        except BaseException:
            os.close(file)
            raise
        token = secrets.token_hex(8)
        self._open[token] = file
        return Turn(object, token, version, max(0.0, time.time() - version / 1e6))

    def _give_back(self, turn: Turn) -> int:
        file = self._open.pop(turn.token, None)
        if file is None:
            return turn.version
        version = turn.version
        try:
            if turn.changed:
                version = max(version + 1, time.time_ns() // 1000)
                versions = _versions(file)
                versions.pop(_name(turn.object), None)
                versions[_name(turn.object)] = version
                rows = list(versions.items())[-_KEPT:]
                text = "".join(f"{name} {number}\n" for name, number in rows).encode()
                os.pwrite(file, text, 0)
                os.ftruncate(file, len(text))
        finally:
            os.close(file)
        return version


def _name(object: str) -> str:
    return hashlib.blake2b(object.encode(), digest_size=12).hexdigest()


def _versions(file: int) -> dict[str, int]:
    """What a lock file says, the latest change last. What cannot be read counts as not there."""
    found = {}
    for line in os.pread(file, 1 << 20, 0).decode("ascii", "replace").splitlines():
        name, _, number = line.partition(" ")
        if number.isdigit():
            found[name] = int(number)
    return found
