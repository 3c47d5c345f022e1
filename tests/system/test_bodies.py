"""Request bodies in content codings, through a real gateway."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path

import brotli  # type: ignore[import-untyped]
import httpx
import pytest
import zstandard

from tests.servers import gateway_process
from tests.system.raw import Visit, raw_target

ATTACK = json.dumps({"name": "x' UNION SELECT password FROM users --"}).encode()
CODERS = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstandard.ZstdCompressor().compress}


def echo(visit: Visit) -> None:
    """Answer every request with itself."""
    while (request := visit.read_request()) is not None:
        visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(request), request))


def test_a_coding_hides_nothing_from_the_screen(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(json.dumps({"type": "object", "required": ["id"]}))
    with raw_target(echo) as target:
        config = f"""
access_log: "off"
upstreams: {{t: {{targets: ["{target.url}"]}}}}
routes:
  - {{name: screened, match: /screened, upstream: t, security: {{screen: block}}}}
  - {{name: shaped, match: /shaped, upstream: t, security: {{schema: {tmp_path / "schema.json"}}}}}
  - {{name: decoded, match: /decoded, upstream: t, decode: {{codings: [gzip, br, zstd]}}}}
"""
        with gateway_process(config, tmp_path) as gateway, httpx.Client(base_url=gateway.url) as client:
            for name, code in CODERS.items():
                fields = {"content-type": "application/json", "content-encoding": name}
                assert client.post("/screened", content=code(ATTACK), headers=fields).status_code == 403
                assert client.post("/screened", content=code(b'{"id": 1}'), headers=fields).status_code == 200
                assert client.post("/shaped", content=code(b'{"id": 1}'), headers=fields).status_code == 200
                assert client.post("/shaped", content=code(b"{}"), headers=fields).status_code == 422
                seen = client.post("/decoded", content=code(b'{"id": 1}'), headers=fields).text
                assert seen.endswith('\r\n\r\n{"id": 1}')
                assert "content-encoding" not in seen.lower()
                assert "content-length: 9" in seen.lower()
            for path in ("/screened", "/shaped", "/decoded"):
                fields = {"content-type": "application/json", "content-encoding": "deflate"}
                refused = client.post(path, content=b"?", headers=fields)
                assert refused.status_code == 415
                assert set(refused.headers["accept-encoding"].split(", ")) == {"gzip", "br", "zstd"}


@pytest.mark.parametrize("name", CODERS)
def test_bombs_beside_a_polite_client(tmp_path: Path, name: str) -> None:
    bomb = CODERS[name](bytes(50_000_000))
    with raw_target(echo) as target:
        config = f"""
access_log: "off"
upstreams: {{t: {{targets: ["{target.url}"]}}}}
routes: [{{name: decoded, match: /*, upstream: t, decode: {{}}}}]
"""
        with gateway_process(config, tmp_path) as gateway, httpx.Client(base_url=gateway.url) as client:
            slowest = 0.0
            for _ in range(10):
                refused = client.post("/x", content=bomb, headers={"content-encoding": name})
                assert (refused.status_code, refused.json()["type"]) == (413, "urn:spork:problem:body_too_large")
                began = time.monotonic()
                assert client.get("/x").status_code == 200
                slowest = max(slowest, time.monotonic() - began)
            assert slowest < 2.0  # decoding 50 MB ten times would take longer than that
