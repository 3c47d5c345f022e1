"""A collector for tests: a real HTTP server that takes OTLP, decodes each batch by the reference, and does as it is told."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

REQUESTS: dict[str, Any] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
}
Reply = tuple[int, dict[str, str], bytes]
OK: Reply = (200, {}, b"")


class Collector(http.server.ThreadingHTTPServer):
    """Keeps what it took. `reply(number, spans)` says how batch `number` (from 1) of so many spans is answered."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int = 0) -> None:
        self.spans: list[Span] = []
        self.metrics: list[Any] = []
        self.logs: list[Any] = []
        self.resources: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        #: Spans of each batch as it came, taken or not, and when (monotonic seconds).
        self.batches: list[tuple[int, float]] = []
        self.faults: list[str] = []
        self.reply: Callable[[int, int], Reply] = lambda number, spans: OK
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def of_kind(self, kind: int) -> list[Span]:
        return [span for span in self.spans if span.kind == kind]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A gateway that gives up on an answer is part of some tests."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Collector)
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        request = REQUESTS[self.path].FromString(body)
        if request.SerializeToString(deterministic=True) != body:
            server.faults.append(f"{self.path}: not the reference's bytes")
        if self.headers["content-type"] != "application/x-protobuf":
            server.faults.append(f"content-type {self.headers['content-type']}")
        spans = [
            span
            for found in getattr(request, "resource_spans", ())
            for scope in found.scope_spans
            for span in scope.spans
        ]
        server.batches.append((len(spans), time.monotonic()))
        server.headers.append({name.lower(): value for name, value in self.headers.items()})
        status, headers, content = server.reply(len(server.batches), len(spans))
        if status == 200:
            self._keep(server, request, spans)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _keep(self, server: Collector, request: Any, spans: list[Span]) -> None:
        server.spans += spans
        for found in getattr(request, "resource_spans", ()):
            server.resources.append({a.key: a.value.string_value for a in found.resource.attributes})
        for found in getattr(request, "resource_metrics", ()):
            server.metrics += [metric for scope in found.scope_metrics for metric in scope.metrics]
        for found in getattr(request, "resource_logs", ()):
            server.logs += [record for scope in found.scope_logs for record in scope.log_records]

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@contextlib.contextmanager
def collector(port: int = 0) -> Iterator[Collector]:
    server = Collector(port)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
    assert server.faults == []


@contextlib.contextmanager
def silent() -> Iterator[str]:
    """The address of one that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        kept: list[socket.socket] = []

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    kept.append(listening.accept()[0])

        threading.Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        for connection in kept:
            connection.close()
