"""Transforms through a real gateway: both directions, HEAD, compression on top, explain."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.servers import GatewayProcess, gateway_process
from tests.system.raw import Visit, raw_target


def echo(visit: Visit) -> None:
    """JSON that says what was asked, with a card and an IBAN."""
    while (request := visit.read_request()) is not None:
        head, _, body = request.partition(b"\r\n\r\n")
        said = {"line": head.split(b"\r\n")[0].decode(), "head": head.decode().lower(), "body": body.decode()}
        said |= {"iban": "DE00123456781234", "card": {"number": "4111111111111111"}, "lines": [{"cost": 1, "sku": "a"}]}
        answer = json.dumps(said).encode()
        status = b"503 Down" if b"/broken" in head else b"200 OK"
        fields = b'Content-Type: application/json\r\nETag: "a"\r\nContent-Length: %d\r\n\r\n' % len(answer)
        visit.send(b"HTTP/1.1 %b\r\n" % status + fields + (b"" if head.startswith(b"HEAD") else answer))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with raw_target(echo) as target:
        config = f"""
access_log: "off"
upstreams: {{t: {{targets: ["{target.url}"]}}}}
routes:
  - name: all
    match: "/{{tenant}}/*"
    upstream: t
    compression: {{min: 10B}}
    transform:
      request:
        query: {{set: {{tenant: "{{tenant}}"}}, rename: {{q: query}}}}
        json: [{{remove: /internal}}, {{set: /by, to: "{{header:x-me}}"}}]
      response:
        - statuses: [200-299]
          json: [{{remove: "/lines/*/cost"}}]
          mask: {{fields: [iban, /card/number], keep_last: 4}}
        - {{statuses: [500-599], to: 502, problem: upstream_failed}}
"""
        with gateway_process(config, tmp_path_factory.mktemp("transforms")) as process:
            yield process


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "identity"])
def test_both_directions(gateway: GatewayProcess, coding: str) -> None:
    with httpx.Client(base_url=gateway.url) as client:
        body = {"internal": 1, "a": "b", "by": "evil"}
        answer = client.post("/acme/x?q=1&tenant=evil", json=body, headers={"x-me": 'I"}', "accept-encoding": coding})
        said = answer.json()
    assert said["line"] == "POST /acme/x?query=1&tenant=acme HTTP/1.1"
    assert json.loads(said["body"]) == {"a": "b", "by": 'I"}'}
    assert f"content-length: {len(said['body'])}" in said["head"]
    assert "accept-encoding: identity" in said["head"]
    assert (said["iban"], said["card"], said["lines"]) == ("***1234", {"number": "***1111"}, [{"sku": "a"}])
    assert answer.headers["etag"] == 'W/"a"'
    assert answer.headers.get("content-encoding", "identity") == coding


def test_a_failure_becomes_our_problem(gateway: GatewayProcess) -> None:
    answer = httpx.get(gateway.url + "/acme/broken")
    assert (answer.status_code, answer.json()["type"]) == (502, "urn:spork:problem:upstream_failed")
    assert answer.headers["content-type"] == "application/problem+json"


def test_head(gateway: GatewayProcess) -> None:
    answer = httpx.head(gateway.url + "/acme/x", headers={"accept-encoding": "identity"})
    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"a"')
    assert "content-length" not in answer.headers


def test_explain_shows_what_would_be_sent(gateway: GatewayProcess) -> None:
    question = ["explain", "POST", gateway.url + "/acme/x?q=1", "-c", str(Path(gateway.directory) / "spork.yaml")]
    body = ["-H", "Content-Type: application/json", "--data", '{"internal":1,"a":2}']
    program = [sys.executable, "-m", "spork.cli", *question, *body]
    done = subprocess.run(program, capture_output=True, text=True, timeout=30, check=True)
    assert 'the target gets {"a":2}' in done.stdout
    assert "/acme/x?query=1&tenant=acme" in done.stdout
