"""What operators are told when a target cannot be reached: which name, which TLS check, by log, metrics and admin view."""

from __future__ import annotations

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from tests.servers import free_port, gateway_process, wait_until
from tests.system.test_files import admin, issued

CONFIG = """
upstreams:
  refused: {{targets: ["http://127.0.0.1:{closed}"]}}
  unknown: {{targets: ["http://no-such-name.invalid:80"]}}
  untrusted: {{targets: ["https://127.0.0.1:{secure}"]}}
  misnamed: {{targets: ["https://127.0.0.1:{secure}"], tls: {{ca: {ca}, server_name: other.example}}}}
routes:
  - {{name: refused, match: /refused, upstream: refused}}
  - {{name: unknown, match: /unknown, upstream: unknown}}
  - {{name: untrusted, match: /untrusted, upstream: untrusted}}
  - {{name: misnamed, match: /misnamed, upstream: misnamed}}
"""
SEEN = {
    "refused": ("connection_refused", "refused"),
    "unknown": ("dns_error", ""),
    "untrusted": ("tls_certificate_error", "unable to get local issuer certificate"),
    "misnamed": ("tls_certificate_error", "other.example"),
}


def test_log_and_admin_view_say_why_a_target_was_not_reached(tmp_path: Path) -> None:
    cert, key = issued(tmp_path, "server")
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = CONFIG.format(closed=free_port(), secure=server.server_port, ca=tmp_path / "server-ca.pem")
    with gateway_process(config, tmp_path) as gateway:
        for name, (reason, _) in SEEN.items():
            answer = httpx.get(f"{gateway.url}/{name}", trust_env=False, timeout=10)
            assert (answer.status_code // 100, answer.json()["type"].rpartition(":")[2]) == (5, reason)
            assert "127.0.0.1" not in answer.text, "clients are told nothing of the target"
        wait_until(lambda: gateway.log().count('"cause"') == len(SEEN), 10, "the log lines")
        lines = [json.loads(line) for line in gateway.log().splitlines() if '"cause"' in line]
        targets = admin(gateway, "GET", "/admin/v1/targets").json()["items"]
        errors = {target["upstream"]: target["last_error"] for target in targets}
        for line, (name, (reason, seen)) in zip(lines, SEEN.items(), strict=True):
            assert line["cause"].startswith(reason) and seen in line["cause"].lower()
            assert errors[name].startswith(reason) and seen in errors[name].lower()
        for path in ("/health", "/ready"):
            assert httpx.get(f"{gateway.url}{path}", trust_env=False).headers["x-request-id"]
        assert httpx.get(f"{gateway.admin_url}/admin/v1/routes", trust_env=False).headers["x-request-id"]
    server.shutdown()
