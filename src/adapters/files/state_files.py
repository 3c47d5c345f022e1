"""What a gateway keeps under its state directory besides records: the admin token, former configurations, workers' reports.

Files that hold secrets are readable by their owner only from the moment they exist.
"""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from spork.application.configuration.live import Revision
from spork.application.telemetry.families import WorkerReport


def private_directory(path: Path) -> Path:
    """Make `path` if need be, for the owner only."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def write_private(path: Path, data: bytes) -> None:
    """Write a file that others never see, whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(fresh, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise


def admin_token(state_dir: str) -> str:
    """The generated admin token, made on first use. Several processes that start at once agree on one."""
    path = private_directory(Path(state_dir)) / "admin-token"
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"spork_admin_{secrets.token_urlsafe(32)}\n")
    return path.read_text().strip()


def secret_file(
    state_dir: str, name: str, make: Callable[[], bytes] = lambda: secrets.token_bytes(32).hex().encode()
) -> bytes:
    """A secret kept in a file that only its owner may read, made on first use. Several processes that start at once
    agree on one."""
    path = private_directory(Path(state_dir)) / name
    if not path.exists():
        fresh = path.with_name(f".{name}.{os.getpid()}.{secrets.token_hex(4)}")
        write_private(fresh, make())
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
        fresh.unlink()
    return path.read_bytes()


class RevisionFiles:
    """`live_configuration.RevisionStore` in files: one JSON document per revision, at most `most`, oldest dropped."""

    def __init__(self, state_dir: str, most: int = 50) -> None:
        self._directory = Path(state_dir) / "revisions"
        self._most = most

    def keep(self, revision: Revision) -> None:
        private_directory(self._directory)
        name = f"{int(revision.at * 1000):014d}-{revision.revision}.json"
        write_private(self._directory / name, msgspec.json.encode(revision))
        for old in sorted(self._directory.glob("*.json"))[: -self._most]:
            old.unlink(missing_ok=True)

    def all(self) -> Sequence[Revision]:
        found: list[Revision] = []
        for path in sorted(self._directory.glob("*.json")):
            # A file another version wrote, or a torn disk, costs that one revision and nothing else.
            with contextlib.suppress(msgspec.DecodeError, FileNotFoundError):
                found.append(msgspec.json.decode(path.read_bytes(), type=Revision))
        return found


class WorkerFiles:
    """`monitoring.WorkerShelf` in files that the workers of one gateway leave for each other.

    `gateway` names this run (the parent's id and start time), so that numbers of an earlier run are not mixed in; they
    are removed.
    """

    def __init__(self, state_dir: str, gateway: str, worker: str, gone_after: float = 10.0) -> None:
        self._directory = Path(state_dir) / "workers"
        self._gateway = gateway
        self._worker = worker
        self._gone_after = gone_after

    def put(self, report: WorkerReport) -> None:
        private_directory(self._directory)
        write_private(self._directory / f"{self._gateway}.{self._worker}", msgspec.msgpack.encode(report))

    def others(self) -> Sequence[WorkerReport]:
        found: list[WorkerReport] = []
        newest = 0.0
        for path in self._directory.glob(f"{self._gateway}.*"):
            if path.name == f"{self._gateway}.{self._worker}":
                continue
            with contextlib.suppress(OSError, msgspec.DecodeError):
                found.append(msgspec.msgpack.decode(path.read_bytes(), type=WorkerReport))
                newest = max(newest, found[-1].at)
        for report in found:
            report.gone = report.at < newest - self._gone_after or not _alive(report.worker)
        return found

    def clear_old(self) -> None:
        """Remove what earlier runs left."""
        for path in self._directory.glob("*"):
            if not path.name.startswith(self._gateway + "."):
                path.unlink(missing_ok=True)


def _alive(worker: str) -> bool:
    """Whether the process a worker's name ends with (`...-PID`) is there."""
    pid = worker.rpartition("-")[2]
    if not pid.isdigit():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def file_signature(sources: Sequence[str]) -> object:
    """What changes when one of the files does: its inode, size and times; None for a file that is not there.

    A glob stands for the files that it finds: a new one is a change.
    """
    found: list[object] = []
    for source in sources:
        if glob.has_magic(source) and not os.path.exists(source):
            names = sorted(glob.glob(source))
            found.append((names, file_signature([name for name in names if os.path.exists(name)])))
            continue
        try:
            seen = os.stat(source)
            found.append((seen.st_ino, seen.st_size, seen.st_mtime_ns))
        except OSError:
            found.append(None)
    return tuple(found)


def newest_change(sources: Sequence[str]) -> float:
    """When the youngest of the files was last written, Unix seconds; 0 when there is none."""
    newest = 0.0
    for source in sources:
        with contextlib.suppress(OSError):
            newest = max(newest, os.stat(source).st_mtime)
    return newest
