"""What the data listener answers itself, and only when `expose:` says so; and that early refusals are seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.servers import gateway_process, wait_until
from tests.system.raw import ask, raw_target

WORDS = {
    "health": "/health",
    "ready": "/ready",
    "startup": "/health/startup",
    "metrics": "/metrics",
    "discovery": "/discovery/services",
    "jwks": "/.well-known/jwks.json",
}
CONFIG = """
expose: [{words}]
access_log: {log}
upstreams: {{t: {{targets: ["{url}"]}}}}
routes: [{{name: all, match: {{path: /*}}, upstream: t}}]
"""


def get(port: int, path: str) -> tuple[int, bytes]:
    status, _, body = ask(port, f"GET {path} HTTP/1.1\r\nHost: gw.test\r\n\r\n".encode())
    return status, body


@pytest.mark.parametrize("exposed", [True, False])
def test_endpoints_are_the_gateways_own_only_when_exposed(tmp_path: Path, exposed: bool) -> None:
    with raw_target() as target:
        config = CONFIG.format(words=", ".join(WORDS) if exposed else "", log='"off"', url=target.url)
        with gateway_process(config, tmp_path) as gateway:
            for path in WORDS.values():
                status, body = get(gateway.port, path)
                assert status == 200, path
                assert (body == b"ok") is not exposed, path
        assert len(target.requests) == (0 if exposed else len(WORDS))


def test_what_the_edge_refuses_is_counted_and_logged(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with (
        raw_target() as target,
        gateway_process(CONFIG.format(words="metrics", log=log, url=target.url), tmp_path) as gateway,
    ):
        assert get(gateway.port, "/a/../b")[0] == 400
        wait_until(lambda: "bad_request_target" in log.read_text(), 5, "the line in the access log")
        line = next(json.loads(text) for text in log.read_text().splitlines() if "bad_request_target" in text)
        assert (line["status"], line["client"]) == (400, "127.0.0.1")
        assert b'gateway_refusals_total{reason="bad_request_target"' in get(gateway.port, "/metrics")[1]


def test_open_connections_to_a_target_are_counted(tmp_path: Path) -> None:
    with raw_target() as target:
        with gateway_process(CONFIG.format(words="metrics", log='"off"', url=target.url), tmp_path) as gateway:
            assert get(gateway.port, "/x")[0] == 200
            wait_until(
                lambda: (
                    f'upstream_pool_connections{{target="127.0.0.1:{target.port}",upstream="t"}} 1.0'.encode()
                    in get(gateway.port, "/metrics")[1]
                ),
                10,
                "the connection in the metrics",
            )
