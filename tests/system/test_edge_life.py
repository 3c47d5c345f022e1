"""The life of the edge as a process: start, signals, drain, workers."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import free_port, listening, python_env, wait_until

PROGRAM = Path(__file__).parent / "edge_program.py"


class Program:
    """A running edge_program.py; `said` are the lines it has printed."""

    def __init__(self, port: int, *args: str, **env: str) -> None:
        self.port = port
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(port), *args],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=python_env(**env),
        )  # fmt: skip
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.strip())

    def ended(self, seconds: float = 10) -> int:
        code = self.process.wait(seconds)
        self._listener.join(5)
        return code

    def get(self, path: str, timeout: float = 10) -> tuple[int, str, str | None]:
        """Status, body and Connection of one GET on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.getheader("connection")
        finally:
            connection.close()


@contextlib.contextmanager
def program(*args: str, workers: int = 0, **env: str) -> Iterator[Program]:
    running = Program(free_port(), *([str(workers)] if workers else []), **env)
    try:
        wait_until(
            lambda: running.process.poll() is not None or running.said.count("started") >= max(1, workers), 20, "start"
        )
        yield running
    finally:
        if running.process.poll() is None:
            running.process.terminate()
            running.process.terminate()
            try:
                running.process.wait(10)
            except subprocess.TimeoutExpired:
                running.process.kill()


def in_background(act: object) -> tuple[threading.Thread, list[object]]:
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(act())  # type: ignore[operator]
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def test_sigterm_drains_in_order() -> None:
    with program(DRAIN_DELAY="3") as running:
        idle = socket.create_connection(("127.0.0.1", running.port))
        assert running.get("/ready") == (200, "ready", None)
        slow, outcome = in_background(lambda: running.get("/slow"))
        wait_until(lambda: "serving /slow" in running.said, 10, "the slow request's arrival")
        running.process.terminate()
        wait_until(lambda: "draining" in running.said, 10, "draining")
        # for drain_delay: not ready, and everything is still accepted, on connections that end with their answer
        assert running.get("/ready") == (503, "draining", "close")
        status, _, connection = running.get("/x")
        assert (status, connection) == (200, "close")
        wait_until(lambda: not listening(running.port), 15, "closed listener")
        slow.join(10)
        assert isinstance(outcome[0], tuple)
        assert outcome[0][0] == 200
        assert running.ended() == 0
        assert running.said[-1] == "ended"
        idle.close()


def test_grace_is_the_most_that_requests_get() -> None:
    with program(DRAIN_DELAY="0", GRACE="0.5") as running:
        stuck, outcome = in_background(lambda: running.get("/stuck"))
        wait_until(lambda: "serving /stuck" in running.said, 10, "the stuck request's arrival")
        began = time.monotonic()
        running.process.terminate()
        assert running.ended() == 0
        assert time.monotonic() - began < 20, "not the minute that the request would have taken"
        stuck.join(5)
        assert isinstance(outcome[0], Exception)


def test_a_second_signal_ends_it_at_once() -> None:
    with program(DRAIN_DELAY="30", GRACE="30") as running:
        running.process.send_signal(signal.SIGINT)
        wait_until(lambda: "draining" in running.said, 10, "draining")
        running.process.send_signal(signal.SIGINT)
        assert running.ended(15) == 0


def test_sighup_reloads_and_serves_on() -> None:
    with program() as running:
        for count in (1, 2):
            running.process.send_signal(signal.SIGHUP)
            wait_until(lambda: running.said.count("reload") == count, 2, "reload")
        assert running.get("/x")[0] == 200


def test_a_busy_port_is_one_sentence() -> None:
    with program() as running:
        second = Program(running.port)
        assert second.ended() == 1
        expected = f"cannot listen on 127.0.0.1:{running.port}: another program is listening there"
        assert second.said == [expected]


def test_without_httptools_there_is_no_start(tmp_path: Path) -> None:
    (tmp_path / "httptools.py").write_text("raise ModuleNotFoundError('no', name='httptools')\n")
    env = python_env()
    env["PYTHONPATH"] = f"{tmp_path}:{env['PYTHONPATH']}"
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(free_port())], env=env, capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 1
    assert "the httptools package is missing" in done.stderr.strip().splitlines()[-1]


# -- memory ------------------------------------------------------------------------------------------------------------


def resident(running: Program) -> int:
    """The most memory the program ever had, in bytes."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


@pytest.mark.parametrize("chunked", [False, True])
def test_memory_is_flat_whatever_passes(chunked: bool) -> None:
    """256 MiB through the edge both ways at once, every byte compared."""
    piece = random.Random(7).randbytes(1 << 20)
    count = 256
    with program() as running:
        running.get("/x")
        before = resident(running)
        with socket.create_connection(("127.0.0.1", running.port), timeout=30) as connection:
            framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (count * len(piece))
            connection.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n")

            def send() -> None:
                for _ in range(count):
                    connection.sendall(b"100000\r\n" + piece + b"\r\n" if chunked else piece)
                connection.sendall(b"0\r\n\r\n" if chunked else b"")

            sender, _ = in_background(send)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            for _ in range(count):
                assert answer.read(len(piece)) == piece
            assert answer.read() == b""
            sender.join(10)
        assert resident(running) - before < 16 << 20


# -- workers -----------------------------------------------------------------------------------------------------------


def worker_pids(running: Program) -> set[str]:
    """Who answers: many requests at once, so that more than one worker gets some."""
    found: set[str] = set()
    threads = [in_background(lambda: running.get("/burn")) for _ in range(20)]
    for thread, outcome in threads:
        thread.join(10)
        found.update(one[1] for one in outcome if isinstance(one, tuple))
    return found


def seen_both(running: Program) -> set[str]:
    found: set[str] = set()

    def look() -> bool:
        found.update(worker_pids(running))
        return len(found) >= 2

    wait_until(look, 15, "answers of two workers")
    return found


def gone(pid: str) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(pid), 0)
        return False
    return True


def test_workers_share_the_port_and_the_signals() -> None:
    with program(workers=2, DRAIN_DELAY="0") as running:
        pids = seen_both(running)
        assert len(pids) == 2
        assert str(running.process.pid) not in pids
        running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: running.said.count("reload") == 2, 3, "both reload")
        running.process.terminate()
        assert running.ended() == 0
        assert all(gone(pid) for pid in pids)


def test_a_dead_worker_is_replaced() -> None:
    with program(workers=2, DRAIN_DELAY="0") as running:
        pids = seen_both(running)
        os.kill(int(next(iter(pids))), signal.SIGKILL)
        wait_until(lambda: running.said.count("started") == 3, 10, "a new worker")
        running.process.terminate()
        assert running.ended() == 0


def test_workers_do_not_outlive_their_parent() -> None:
    with program(workers=2, DRAIN_DELAY="0") as running:
        pids = seen_both(running)
        running.process.kill()
        wait_until(lambda: all(gone(pid) for pid in pids), 10, "the end of the workers")
