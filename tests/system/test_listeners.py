"""Several listeners and several certificates of one gateway: https, http beside it, a unix socket, balancers in front."""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from tests.contract.upstream_transport.certificates import Authority
from tests.servers import GatewayProcess, free_port, gateway_process, wait_until
from tests.system.raw import ask, raw_target

CONFIG = """
trusted_proxies: [unix]
expose: [health, ready]
access_log: {folder}/access.log
tls: {{cert: {folder}/main.crt, key: {folder}/main.key, certificates: [{{cert: {folder}/shop.crt, key: {folder}/shop.key}}]}}
listeners:
  - {{listen: "127.0.0.1:{plain}", redirect_https: true, https_port: 8443}}
  - {{listen: "unix:{folder}/data.sock"}}
  - {{listen: "127.0.0.1:{balanced}", proxy_protocol: [127.0.0.1], tls: {{cert: {folder}/main.crt, key: {folder}/main.key}}}}
  - {{listen: "unix:{folder}/balanced.sock", proxy_protocol: [unix]}}
upstreams: {{t: {{targets: ["{url}"]}}}}
routes: [{{name: all, match: /*, upstream: t}}]
"""
GET = b"GET /a?b HTTP/1.1\r\nHost: main.test\r\nConnection: close\r\n"


@dataclass
class Running:
    gateway: GatewayProcess
    folder: Path
    authority: Authority
    plain: int
    balanced: int

    def certificate(self, name: str | None, port: int = 0) -> x509.Certificate:
        """What is shown to a client that asks for `name`."""
        context = ssl.create_default_context(cafile=self.authority.ca)
        context.check_hostname = False
        with socket.create_connection(("127.0.0.1", port or self.gateway.port), timeout=30) as sock:
            with context.wrap_socket(sock, server_hostname=name) as tls:
                shown = tls.getpeercert(True)
                assert shown is not None
                return x509.load_der_x509_certificate(shown)

    def names(self, name: str | None) -> list[str]:
        found = self.certificate(name).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return found.get_values_for_type(x509.DNSName)


def put(authority: Authority, folder: Path, stem: str, *names: str, days: int = 1) -> None:
    pair = authority.issue(*names, days=days)
    shutil.copy(pair.key, folder / f"{stem}.key.new")
    shutil.copy(pair.cert, folder / f"{stem}.crt.new")
    (folder / f"{stem}.key.new").rename(folder / f"{stem}.key")
    (folder / f"{stem}.crt.new").rename(folder / f"{stem}.crt")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder: Path = tmp_path_factory.mktemp("l")
    authority = Authority(folder)
    put(authority, folder, "main", "main.test")
    put(authority, folder, "shop", "shop.test", "*.shop.test")
    plain, balanced = free_port(), free_port()
    with raw_target() as target:
        config = CONFIG.format(folder=folder, plain=plain, balanced=balanced, url=target.url)
        with gateway_process(config, folder) as gateway:
            yield Running(gateway, folder, authority, plain, balanced)


def received(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


def last_line(running: Running) -> dict[str, object]:
    lines = (running.folder / "access.log").read_text().splitlines()
    found: dict[str, object] = json.loads(lines[-1]) if lines else {}
    return found


def test_the_certificate_is_the_one_for_the_name_that_is_asked_for(running: Running) -> None:
    assert running.names("main.test") == ["main.test"]
    for name in ("shop.test", "SHOP.test", "eu.shop.test"):
        assert running.names(name) == ["shop.test", "*.shop.test"], name
    for other in (None, "a.b.shop.test", "other.test"):
        assert running.names(other) == ["main.test"], other


def test_the_plain_listener_only_sends_clients_on(running: Running) -> None:
    status, head, _ = ask(
        running.plain, b"POST /a%20b?c=%2F HTTP/1.1\r\nHost: main.test:80\r\nContent-Length: 0\r\n\r\n"
    )
    assert status == 308
    assert b"location: https://main.test:8443/a%20b?c=%2F\r\n" in head
    assert b"x-request-id: " in head
    assert ask(running.plain, b"GET /health HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n")[0] == 200
    assert ask(running.plain, b"GET /a HTTP/1.0\r\n\r\n")[0] == 400
    wait_until(lambda: last_line(running).get("status") in (308, 400), 10, "the access log")


def test_a_unix_socket_serves_the_same_routes_and_its_peers_may_be_trusted(running: Running) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(str(running.folder / "data.sock"))
        sock.sendall(GET + b"X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-Proto: https\r\n\r\n")
        assert received(sock).startswith(b"HTTP/1.1 200 ")
    wait_until(lambda: last_line(running).get("client") == "192.0.2.9", 10, "the access log")


def test_balancers_are_believed_over_tls_and_over_a_unix_socket(running: Running) -> None:
    with socket.create_connection(("127.0.0.1", running.balanced), timeout=30) as sock:
        sock.sendall(b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n")
        context = ssl.create_default_context(cafile=running.authority.ca)
        with context.wrap_socket(sock, server_hostname="main.test") as tls:
            tls.sendall(GET + b"\r\n")
            assert received(tls).startswith(b"HTTP/1.1 200 ")
    wait_until(lambda: last_line(running).get("client") == "2001:db8::7", 10, "the access log")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(str(running.folder / "balanced.sock"))
        sock.sendall(b"PROXY TCP4 192.0.2.44 10.0.0.1 4711 443\r\n" + GET + b"\r\n")
        assert received(sock).startswith(b"HTTP/1.1 200 ")
    wait_until(lambda: last_line(running).get("client") == "192.0.2.44", 10, "the access log")


def test_a_renewed_certificate_is_shown_by_itself_and_the_metric_says_when_it_ends(running: Running) -> None:
    def ends(stem: str) -> float:
        token = (running.folder / ".spork" / "admin-token").read_text().strip()
        told = httpx.get(
            f"http://127.0.0.1:{running.gateway.admin_port}/metrics", headers={"authorization": f"Bearer {token}"}
        )
        pattern = rf'gateway_certificate_expiry_timestamp_seconds\{{certificate="{running.folder}/{stem}.crt"\}} (\S+)'
        found = re.search(pattern, told.text)
        assert found is not None, told.text[:500]
        return float(found[1])

    before = running.certificate("shop.test")
    assert ends("shop") == pytest.approx(before.not_valid_after_utc.timestamp(), abs=2)
    assert ends("main") == pytest.approx(running.certificate("main.test").not_valid_after_utc.timestamp(), abs=2)
    put(running.authority, running.folder, "shop", "shop.test", "*.shop.test", days=3)
    wait_until(lambda: running.certificate("shop.test") != before, 30, "the new certificate")
    assert ends("shop") == pytest.approx(running.certificate("shop.test").not_valid_after_utc.timestamp(), abs=2)
