"""Against nginx: what a real server does with what is sent, and what is made of its answers."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from spork.domain.upstreams.model import PoolPolicy, Target
from tests.contract.upstream_transport.test_flow import Fountain
from tests.contract.upstream_transport.transports import ask, exchange, having
from tests.servers import free_port, listening, missing, wait_until

CONFIG = """
{user} daemon off; worker_processes 1; pid {root}/nginx.pid; error_log {root}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/f;
  uwsgi_temp_path {root}/u; scgi_temp_path {root}/s; keepalive_requests 10; client_max_body_size 1m;
  server {{
    listen 127.0.0.1:{port};
    root {root}/files;
    location = /echo {{ return 200 "$request_method $http_x_a $content_length"; }}
    location = /nothing {{ return 204; }}
    location /put/ {{ dav_methods PUT; client_max_body_size 64m; create_full_put_path on; }}
    location /slow/ {{ limit_rate 200k; alias {root}/files/; }}
  }}
}}
"""


@dataclass
class Nginx:
    target: Target
    files: Path


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    binary = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if binary is None:
        missing("nginx")
    assert binary is not None
    root, port = tmp_path_factory.mktemp("nginx"), free_port()
    (root / "files").mkdir()
    root.chmod(0o755)
    (root / "files" / "large").write_bytes(bytes(range(256)) * 4096 * 8)
    (root / "nginx.conf").write_text(
        CONFIG.format(root=root, port=port, user="user root;" if os.geteuid() == 0 else "")
    )
    process = subprocess.Popen([binary, "-c", str(root / "nginx.conf"), "-p", str(root)], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: listening(port), 10, "nginx")
        yield Nginx(Target(f"http://127.0.0.1:{port}", "http", "127.0.0.1", port), root / "files")
    finally:
        process.terminate()
        process.wait()


@having()
async def test_more_requests_than_a_connection_may_carry(transport, nginx):
    """nginx ends each connection after ten requests; nobody notices, not even a POST."""
    for method in ("GET", "POST") * 20:
        status, _, body = await exchange(transport, nginx.target, ask(method, b"/echo", (b"x-a", b"1")))
        assert (status, body[: len(method)]) == (200, method.encode())


@having()
async def test_many_at_once_over_few_connections(transport, nginx):
    policy = PoolPolicy(connections=4, pending=200)

    async def one(number: int) -> bytes:
        request = ask("GET", b"/echo", (b"x-a", b"%d" % number), pool=policy)
        return (await exchange(transport, nginx.target, request))[2]

    assert await asyncio.gather(*(one(n) for n in range(100))) == [b"GET %d " % n for n in range(100)]


@having()
async def test_answers_without_bodies(transport, nginx):
    status, headers, body = await exchange(transport, nginx.target, ask("HEAD", b"/large"))
    assert (status, body, dict(headers)[b"content-length"]) == (200, b"", b"8388608")
    tag = dict(headers)[b"etag"]
    assert (await exchange(transport, nginx.target, ask("GET", b"/large", (b"if-none-match", tag))))[::2] == (304, b"")
    assert (await exchange(transport, nginx.target, ask("GET", b"/nothing")))[::2] == (204, b"")


@having()
async def test_a_large_file_down(transport, nginx):
    _, _, body = await exchange(transport, nginx.target, ask("GET", b"/large", within=30))
    assert hashlib.sha256(body).digest() == hashlib.sha256((nginx.files / "large").read_bytes()).digest()


@having()
@pytest.mark.parametrize("declared", [True, False])
async def test_a_large_file_up(transport, nginx, declared):
    total = 16 << 20
    body = Fountain(total, total if declared else None)
    status, _, _ = await exchange(transport, nginx.target, ask("PUT", b"/put/up", body=body, within=30))
    assert status in (201, 204)
    stored = (nginx.files / "put" / "up").read_bytes()
    assert hashlib.sha256(stored).digest() == hashlib.sha256(body.piece * (total // len(body.piece))).digest()


@having()
async def test_a_body_that_nginx_refuses(transport, nginx):
    request = ask("POST", b"/large", body=Fountain(8 << 20, 8 << 20), within=30)
    assert (await exchange(transport, nginx.target, request))[0] == 413
    assert (await exchange(transport, nginx.target, ask("GET", b"/echo")))[0] == 200
