"""An external API behind a real gateway: tokens, quotas, pauses, addresses, webhooks."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.servers import GatewayProcess, gateway_process
from tests.system.raw import RawTarget, Visit, raw_target


def token_server(visit: Visit) -> None:
    """Tokens t1, t2 ...; the form that was sent is remembered in the request."""
    while visit.read_request() is not None:
        token_server.given += 1  # type: ignore[attr-defined]
        body = json.dumps({"access_token": f"t{token_server.given}", "token_type": "bearer", "expires_in": 3600})  # type: ignore[attr-defined]
        visit.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())


def api(visit: Visit) -> None:
    """Echoes; `/busy` asks for a pause, `/expired` refuses the token."""
    while (request := visit.read_request()) is not None:
        status, more = b"200 OK", b"Server: secret\r\n"
        if request.startswith(b"GET /busy"):
            status, more = b"429 Too Many Requests", b"Retry-After: 30\r\n"
        elif request.startswith(b"GET /expired"):
            status = b"401 Unauthorized"
        visit.send(b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, more, len(request), request))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GatewayProcess, RawTarget]]:
    token_server.given = 0  # type: ignore[attr-defined]
    with raw_target(api) as target, raw_target(token_server) as tokens:
        oauth = (
            f"{{token_url: '{tokens.url}/token', client_id: me, client_secret: '${{CLIENT_SECRET}}', scopes: [a, b]}}"
        )
        url = target.url
        config = f"""
access_log: "off"
upstreams:
  oauth: {{targets: ["{url}"], credentials: {{oauth2: {oauth}}}, headers: {{request: {{set: {{X-Version: "1"}}, remove: [x-real-ip]}}, response: {{remove: [server]}}}}}}
  key: {{targets: ["{url}"], credentials: {{header: {{name: X-Key, value: "${{KEY}}"}}}}}}
  aws: {{targets: ["{url}"], credentials: {{aws: {{access_key: AK, secret_key: "${{KEY}}", service: sqs}}}}}}
  mac: {{targets: ["{url}"], credentials: {{hmac: {{secret: "${{KEY}}", over: [method, target, body_sha256]}}}}}}
  resting: {{targets: ["{url}"], rest: {{}}}}
  small: {{targets: ["{url}"], quotas: [{{quota: 2, per: 1h}}]}}
  public: {{targets: ["{url}"], allow: [public]}}
  inside: {{targets: ["{url}"], allow: [127.0.0.0/8]}}
routes:
  - {{name: dynamic, match: "/{{service}}/*", upstream: "{{service}}", strip_prefix: "/{{service}}"}}
  - {{name: hook, match: /hook, upstream: inside, webhook: {{provider: github, secrets: ["${{KEY}}"]}}}}
"""
        with gateway_process(
            config, tmp_path_factory.mktemp("external"), CLIENT_SECRET="p@ss", KEY="the key"
        ) as gateway:
            yield gateway, tokens


def test_tokens(site: tuple[GatewayProcess, RawTarget]) -> None:
    gateway, tokens = site
    with httpx.Client(base_url=gateway.url) as client:
        sent = {"authorization": "Bearer client's", "cookie": "a=b", "x-real-ip": "evil"}
        for _ in range(3):
            answer = client.get("/oauth/x", headers=sent)
            assert "authorization: Bearer t1\r\n" in answer.text
            assert "client's" not in answer.text and "cookie" not in answer.text and "evil" not in answer.text
            assert "x-version: 1" in answer.text.lower()
            assert "server" not in answer.headers
        asked = b"".join(tokens.requests)
        assert b"grant_type=client_credentials&scope=a+b" in asked
        assert b"authorization: basic bwu6ccu0mhnz" in asked.lower().replace(b"=", b"")
        assert client.get("/oauth/expired").status_code == 401
        assert "authorization: Bearer t2\r\n" in client.get("/oauth/x").text


def test_keys_and_signatures(site: tuple[GatewayProcess, RawTarget]) -> None:
    gateway, _ = site
    with httpx.Client(base_url=gateway.url) as client:
        assert "x-key: the key\r\n" in client.get("/key/x", headers={"x-key": "mine"}).text
        assert "AWS4-HMAC-SHA256 Credential=AK/" in client.post("/aws/x", content=b"data").text
        said = client.post("/mac/x?a=1", content=b"data").text
    expected = f"POST\n/x?a=1\n{hashlib.sha256(b'data').hexdigest()}".encode()
    assert f"x-signature: {hmac.new(b'the key', expected, 'sha256').hexdigest()}\r\n" in said


def test_pauses_and_quotas(site: tuple[GatewayProcess, RawTarget]) -> None:
    gateway, _ = site
    with httpx.Client(base_url=gateway.url) as client:
        assert client.get("/resting/x").status_code == 200
        assert client.get("/resting/busy").status_code == 429
        rested = client.get("/resting/x")
        assert (rested.status_code, rested.json()["type"]) == (503, "urn:spork:problem:upstream_resting")
        assert 25 <= int(rested.headers["retry-after"]) <= 30
        assert [client.get("/small/x").status_code for _ in range(3)] == [200, 200, 503]
        assert client.get("/small/x").json()["type"] == "urn:spork:problem:upstream_quota"


def test_addresses(site: tuple[GatewayProcess, RawTarget]) -> None:
    gateway, _ = site
    assert httpx.get(gateway.url + "/inside/x").status_code == 200
    assert httpx.get(gateway.url + "/public/x").status_code == 503


def test_webhooks(site: tuple[GatewayProcess, RawTarget]) -> None:
    gateway, _ = site
    good = {"x-hub-signature-256": "sha256=" + hmac.new(b"the key", b"{}", "sha256").hexdigest()}
    assert httpx.post(gateway.url + "/hook", content=b"{}", headers=good).status_code == 200
    refused = httpx.post(gateway.url + "/hook", content=b"{ }", headers=good)
    assert (refused.status_code, refused.json()["type"]) == (401, "urn:spork:problem:webhook_refused")


def test_no_secret_is_shown(site: tuple[GatewayProcess, RawTarget], tmp_path: Path) -> None:
    gateway, _ = site
    headers = {"authorization": f"Bearer {gateway.admin_token}"}
    shown = httpx.get(gateway.admin_url + "/admin/v1/config", headers=headers).text
    assert "the key" not in shown and "p@ss" not in shown
    assert "the key" not in (gateway.directory / "gateway.log").read_text()
