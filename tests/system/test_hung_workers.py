"""Workers that hang are replaced, and no socket accepts for nobody."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import httpx
import psutil
import pytest

from tests.servers import GatewayProcess, gateway_process, listening, wait_until
from tests.system.test_admin import config, echo_service

pytestmark = pytest.mark.chaos


def workers(gateway: GatewayProcess) -> list[int]:
    return sorted(child.pid for child in psutil.Process(gateway.process.pid).children())


def plain(echo: int) -> str:
    return config(echo).replace(", breaker: {}", "")


def test_a_worker_that_hangs_is_replaced(tmp_path: Path) -> None:
    with echo_service() as echo, gateway_process(plain(echo), tmp_path, "--workers", "2") as gateway:
        before = workers(gateway)
        assert len(before) == 2
        time.sleep(1.0)  # both have beaten by then
        os.kill(before[0], signal.SIGSTOP)
        wait_until(lambda: len(workers(gateway)) == 2 and before[0] not in workers(gateway), 40, "the replacement")
        assert before[1] in workers(gateway), "the other one is left alone"
        assert "has hung" in gateway.log()
        wait_until(lambda: listening(gateway.port), 10, "the port")
        for _ in range(20):
            assert httpx.get(f"{gateway.url}/echo/x", timeout=10).status_code == 200


def test_sockets_of_a_gateway_that_ended_accept_nobody(tmp_path: Path) -> None:
    """SIGTERM with a slow request under way: whoever connects once the listeners are closed is refused at once."""
    with echo_service() as echo, gateway_process(plain(echo), tmp_path, "--workers", "2") as gateway:
        slow = socket.create_connection(("127.0.0.1", gateway.port))
        slow.sendall(b"POST /echo/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")  # the rest is to come
        time.sleep(0.5)  # until it is under way
        gateway.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not listening(gateway.port), 5, "the end of accepting while a request goes on")
        assert gateway.process.poll() is None, "it drains"
        slow.sendall(b"cde")
        assert slow.recv(100).startswith(b"HTTP/1.1 200")
        slow.close()
        assert gateway.process.wait(20) == 0


def test_the_end_of_the_parent_ends_its_workers(tmp_path: Path) -> None:
    with echo_service() as echo, gateway_process(plain(echo), tmp_path, "--workers", "2") as gateway:
        left = workers(gateway)
        gateway.process.kill()
        wait_until(lambda: not any(psutil.pid_exists(pid) for pid in left), 30, "the workers' end")
        assert not listening(gateway.port)
