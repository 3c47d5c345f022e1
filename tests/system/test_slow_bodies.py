"""Clients that begin a body and wait hold nothing that others need: no connection to a target, no place, no permit."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.servers import GatewayProcess, gateway_process, wait_until
from tests.system.test_admin import echo_service

CONFIG = """
edge: {{drain_delay: 0s, grace: 1s, body_grace: 60s}}
upstreams:
  echo: {{targets: ['http://127.0.0.1:{echo}'], pool: {{connections: 4, pending: 8}}, adaptive_concurrency: true}}
  plain: {{targets: ['http://localhost:{echo}'], pool: {{connections: 4, pending: 8}}, timeouts: {{first_byte: 60s}}}}
routes:
  - name: echo
    match: /echo/*
    upstream: echo
    limits: [{{name: all, algorithm: concurrency, quota: 6, by: global}}]
  - {{name: plain, match: /plain/*, upstream: plain}}
"""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    with ExitStack() as stack:
        echo = stack.enter_context(echo_service())
        yield stack.enter_context(gateway_process(CONFIG.format(echo=echo), tmp_path))


@contextmanager
def waiting(gateway: GatewayProcess, count: int, head: bytes) -> Iterator[list[socket.socket]]:
    """Clients that have sent `head`, and now send nothing."""
    made = [socket.create_connection(("127.0.0.1", gateway.port), timeout=20) for _ in range(count)]
    try:
        for each in made:
            each.sendall(head)
        yield made
    finally:
        for each in made:
            each.close()


def test_small_bodies_that_wait_shut_nobody_out_and_are_served_when_they_are_whole(gateway: GatewayProcess) -> None:
    head = b"POST /echo/slow HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"
    with waiting(gateway, 200, head) as slow, httpx.Client(timeout=20) as client:
        answers = [client.post(f"{gateway.url}/echo/quick", content=b"0123456789").status_code for _ in range(50)]
        assert answers == [200] * 50
        slow[0].sendall(b"defghij")
        answer = b""
        while b"abcdefghij" not in answer:
            piece = slow[0].recv(65536)
            assert piece, answer
            answer += piece
        assert answer.startswith(b"HTTP/1.1 200")


def test_bodies_without_a_length_give_their_connections_to_who_waits(gateway: GatewayProcess) -> None:
    head = b"POST /plain/slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    with waiting(gateway, 4, head) as slow, httpx.Client(timeout=20) as client:
        admin = {"authorization": f"Bearer {gateway.admin_token}"}

        def all_taken() -> bool:
            rows = httpx.get(f"{gateway.admin_url}/admin/v1/targets", headers=admin).json()["items"]
            return any(row["upstream"] == "plain" and row["in_flight"] == 4 for row in rows)

        wait_until(all_taken, 20, "four connections held by four clients")
        answers = [client.get(f"{gateway.url}/plain/quick").status_code for _ in range(5)]
        assert answers == [200] * 5

        def given_up() -> int:
            return sum(_said(each).startswith(b"HTTP/1.1 408") for each in slow)

        wait_until(given_up, 20, "an answer to who gave way")
        assert given_up() < 4, "no more than were needed"


def _said(client: socket.socket) -> bytes:
    client.setblocking(False)
    try:
        return client.recv(4096, socket.MSG_PEEK)
    except BlockingIOError:
        return b""
