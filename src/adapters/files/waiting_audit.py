"""Audit records that wait for their store: one JSON line each in `state_dir`, flushed to disk before the write is answered."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from spork.adapters.files.state_files import private_directory, write_private
from spork.application.telemetry.audit import AuditEntry

#: Records that may wait.
MOST = 10_000

_Line = tuple[str, AuditEntry]


class WaitingAuditFile:
    """`application.telemetry.waiting_audit.WaitingPlace`, one file per process of the gateway (`owner`)."""

    def __init__(self, state_dir: str, owner: str, most: int = MOST) -> None:
        self._path = Path(state_dir) / "audit-waiting" / f"{owner.replace('/', '_').replace(':', '_')}.jsonl"
        self._most = most
        self._count: int | None = None

    def put(self, id: str, entry: AuditEntry) -> None:
        if not self.room():
            raise OSError(f"{self._path} holds {self._count} records, and no more may wait")
        private_directory(self._path.parent)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(msgspec.json.encode((id, entry)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._count = (self._count or 0) + 1

    def all(self) -> Sequence[_Line]:
        """What waits; a last line that a crash cut off is left out."""
        if self._count == 0:
            return ()
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            self._count = 0
            return ()
        found: list[_Line] = []
        for line in lines:
            try:
                found.append(msgspec.json.decode(line, type=_Line))
            except msgspec.DecodeError:
                continue
        self._count = len(found)
        return found

    def drop(self, count: int) -> None:
        left = self.all()[count:]
        if left:
            write_private(self._path, b"".join(msgspec.json.encode(line) + b"\n" for line in left))
        else:
            self._path.unlink(missing_ok=True)
        self._count = len(left)

    def room(self) -> bool:
        if self._count is None:
            self.all()
        if (self._count or 0) >= self._most:
            return False
        try:
            return os.access(private_directory(self._path.parent), os.W_OK)
        except OSError:
            return False
