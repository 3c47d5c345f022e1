"""Out of file descriptors: it is said, clients are turned away first, targets are not blamed, and it passes."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.servers import GatewayProcess, gateway_process, wait_until
from tests.system.test_admin import echo_service

CONFIG = """
edge: {{drain_delay: 0s, grace: 1s, header_timeout: 60s, idle_timeout: 60s}}
upstreams:
  echo: {{targets: ['http://127.0.0.1:{echo}'], breaker: {{min_requests: 2}}, outliers: {{}}}}
routes:
  - {{name: echo, match: /echo/*, upstream: echo}}
"""
LIMIT = 160


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    with ExitStack() as stack:
        echo = stack.enter_context(echo_service())
        made = stack.enter_context(gateway_process(CONFIG.format(echo=echo), tmp_path))
        yield made


def ask(client: socket.socket) -> bytes:
    """The answer's status line, b"" from a connection that was closed."""
    try:
        client.sendall(b"GET /echo/x HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = client.recv(65536)
            if not piece:
                break
            answer += piece
    except ConnectionError:
        return b""
    return answer.partition(b"\r\n")[0]


def test_it_is_said_clients_are_shed_first_and_nothing_else_is_blamed(gateway: GatewayProcess) -> None:
    resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
    auth = {"authorization": f"Bearer {gateway.admin_token}"}
    first = httpx.get(f"{gateway.url}/echo/x")
    assert first.status_code == 200
    clients: list[socket.socket] = []
    try:
        served = refused = 0
        for _ in range(3 * LIMIT):
            made = socket.create_connection(("127.0.0.1", gateway.port), timeout=20)
            clients.append(made)
            status = ask(made)
            served += b" 200 " in status
            refused += b" 503 " in status
        assert served > LIMIT // 2
        assert served + refused >= 3 * LIMIT - 20, "an answer, not a closed connection"
        assert refused > 0
        health = httpx.get(f"{gateway.admin_url}/admin/v1/components", headers=auth, timeout=10)
        assert health.status_code == 200, "operators have their reserve"
        assert "out of file descriptors" in gateway.log()
        breakers = httpx.get(f"{gateway.admin_url}/admin/v1/breakers", headers=auth, timeout=10).json()["items"]
        assert [row["state"] for row in breakers] == ["closed"]
        assert [row["failures"] for row in breakers] == [0]
        metrics = httpx.get(f"{gateway.admin_url}/metrics", headers=auth, timeout=10).text
        assert 'gateway_descriptors_refused_total{side="client"} 0' not in metrics
    finally:
        for each in clients:
            each.close()
    wait_until(lambda: httpx.get(f"{gateway.url}/echo/x", timeout=5).status_code == 200, 20, "service as before")
