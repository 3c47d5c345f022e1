"""A small service that registers itself with a gateway, serves, and deregisters when it ends.

    SPORK_TOKEN=$(cat .spork/admin-token) python examples/register_service.py --gateway http://127.0.0.1:9000

The gateway needs `registration: {mode: token, allow: [127.0.0.0/8]}` and a route such as
`{name: services, match: {path: "/services/{service}/*"}, upstream: "{service}"}`. Then

    curl http://127.0.0.1:8000/services/greetings/hello

This uses the standard library only; `spork register` does the same for a service in any language.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Greetings(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({"hello": self.path}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """The gateway has an access log."""


def call(url: str, method: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One call to the admin listener. Raises urllib.error.HTTPError for refusals."""
    headers = {"authorization": f"Bearer {os.environ['SPORK_TOKEN']}", "content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=5) as answer:
        text = answer.read()
    return json.loads(text) if text else {}


def main() -> None:
    options = argparse.ArgumentParser(description="A service that registers itself.")
    options.add_argument("--gateway", default="http://127.0.0.1:9000", help="the gateway's admin listener")
    options.add_argument("--name", default="greetings")
    options.add_argument("--ttl", type=float, default=15.0, help="lease in seconds")
    chosen = options.parse_args()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Greetings)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    wanted = {"service": chosen.name, "url": f"http://127.0.0.1:{server.server_port}", "ttl": chosen.ttl}

    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())

    lease = call(f"{chosen.gateway}/discovery/register", "POST", wanted)["heartbeat"]
    print(f"{chosen.name} is registered at {wanted['url']}", flush=True)
    while not ended.wait(chosen.ttl / 3):
        try:
            call(f"{chosen.gateway}{lease}", "PUT")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            lease = call(f"{chosen.gateway}/discovery/register", "POST", wanted)["heartbeat"]
        except urllib.error.URLError:
            continue  # the gateway is being restarted; the lease is tried again
    call(f"{chosen.gateway}{lease}", "DELETE")
    server.shutdown()


if __name__ == "__main__":
    main()
