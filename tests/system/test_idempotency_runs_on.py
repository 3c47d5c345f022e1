"""A client that leaves before its answer and tries again with its Idempotency-Key has its work done once."""

from __future__ import annotations

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from tests.servers import gateway_process, wait_until

#: Seconds the work takes, and the client waits for it.
WORK, PATIENCE = 1.5, 0.5


def test_work_whose_client_left_is_done_to_its_end_and_its_answer_is_kept(tmp_path: Path) -> None:
    begun: list[bytes] = []
    done: list[bytes] = []

    class Slow(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            order = self.rfile.read(int(self.headers["content-length"]))
            begun.append(order)
            time.sleep(WORK)  # the work itself
            done.append(order)
            self.send_response(201)
            self.send_header("content-length", "4")
            self.end_headers()
            self.wfile.write(b"done")

    service = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    text = f"""upstreams:
  orders: {{targets: ['http://127.0.0.1:{service.server_port}'], retries: {{idempotency_key: true}}}}
routes: [{{name: orders, match: /orders, upstream: orders}}]
"""
    try:
        with gateway_process(text, tmp_path) as gateway:
            with socket.create_connection(("127.0.0.1", gateway.port)) as client:
                client.sendall(
                    b"POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nIdempotency-Key: k1\r\n\r\norder"
                )
                wait_until(lambda: begun, 10, "the work's beginning")
                time.sleep(PATIENCE)  # as long as the client waits before it leaves
            with httpx.Client(base_url=gateway.url, timeout=10) as client2:
                ask = lambda: client2.post("/orders", content=b"order", headers={"idempotency-key": "k1"})  # noqa: E731
                assert "idempotency_in_flight" in ask().text
                wait_until(lambda: ask().status_code == 201, 10, "the kept answer")
                again = ask()
            assert (again.content, again.headers["idempotency-replayed"]) == (b"done", "true")
            assert (len(begun), len(done)) == (1, 1)
    finally:
        service.shutdown()
        service.server_close()
