"""A real HTTP server that plays an issuer: publishes keys, introspects tokens, judges them as an auth service."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

#: (method, path, headers, body) -> (status, headers, body)
Answering = Callable[[str, str, dict[str, str], bytes], tuple[int, dict[str, str], bytes]]


class Authority:
    """What the server says, to be changed while it runs, and what it was asked."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.jwks: dict[str, object] | bytes = {"keys": []}
        self.discovery: dict[str, object] = {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"}
        #: token -> claims, for introspection and the auth service; what is not here is not active.
        self.active: dict[str, dict[str, object]] = {}
        #: What answers instead of all that, when set.
        self.instead: Answering | None = None
        #: Held while a test wants answers to wait.
        self.gate = threading.Event()
        self.gate.set()

    def count(self, path: str) -> int:
        return sum(asked[1] == path for asked in self.asked)

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        self.asked.append((method, path, headers, body))
        self.gate.wait(10)
        if self.instead is not None:
            return self.instead(method, path, headers, body)
        if path == "/jwks":
            return 200, {}, self.jwks if isinstance(self.jwks, bytes) else json.dumps(self.jwks).encode()
        if path == "/.well-known/openid-configuration":
            return 200, {}, json.dumps(self.discovery).encode()
        if path == "/introspect":
            return self._introspect(headers, body)
        if path == "/validate":
            claims = self.active.get(json.loads(body)["token"])
            return (
                (401, {}, b"{}") if claims is None else (200, {}, json.dumps({"valid": True, "user": claims}).encode())
            )
        return 404, {}, b""

    def _introspect(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        wanted = "Basic " + base64.b64encode(b"gateway:secret").decode()
        if headers.get("authorization") != wanted:
            return 401, {}, b"{}"
        claims = self.active.get(parse_qs(body.decode())["token"][0])
        answer = {"active": False} if claims is None else {"active": True, **claims}
        return 200, {}, json.dumps(answer).encode()


@contextmanager
def authority() -> Iterator[Authority]:
    """An authority on a free port of loopback, until the block ends."""
    state: list[Authority] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more, answer = state[0].answer(self.command, self.path, headers, body)
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.append(Authority(server.server_address[1]))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state[0]
    finally:
        state[0].gate.set()
        server.shutdown()
        server.server_close()
