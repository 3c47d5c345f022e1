"""A real OpenID provider (oidc-provider): discovery, a token from a sign-in, a rotated key, a revoked token.

Needs node and `tests/system/oidc/node_modules` (`npm ci` in that directory, which .ci/run does).
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest

from tests import servers
from tests.servers import GatewayProcess, gateway_process
from tests.system.test_auth import bearer, echo, ready

HERE = Path(__file__).parent / "oidc"
VERIFIER = "a-code-verifier-of-at-least-forty-three-characters"

CONFIG = """
access_log: off
expose: [health, ready, auth]
issuers:
  provider: {{issuer: "{issuer}", discovery: true, audiences: [api], algorithms: [RS256], type: at+jwt}}
upstreams: {{echo: {{targets: ["{target}"]}}}}
routes:
  - {{name: api, match: /api/*, upstream: echo, auth: {{any_of: [jwt], scopes: ["users:read"]}}}}
"""


@dataclass
class Provider:
    url: str

    def rotate(self) -> None:
        assert httpx.post(f"{self.url}/rotate", trust_env=False).text == "rotated"

    def sign_in(self, login: str) -> str:
        """The authorization code flow with PKCE, the forms filled in as a user would: an access token."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
        with httpx.Client(base_url=self.url, trust_env=False) as browser:
            answer = browser.get(
                "/auth",
                params={
                    "client_id": "web", "response_type": "code", "scope": "openid users:read", "resource": "urn:api",
                    "redirect_uri": "http://127.0.0.1:9/callback", "code_challenge": challenge,
                    "code_challenge_method": "S256",
                },
            )  # fmt: skip
            for _ in range(12):
                if answer.is_redirect:
                    where = answer.headers["location"]
                    if where.startswith("http://127.0.0.1:9/callback"):
                        return self._exchange(browser, parse_qs(urlsplit(where).query)["code"][0])
                    answer = browser.get(where)
                    continue
                action = re.search(r'action="([^"]+)"', answer.text)
                prompt = re.search(r'name="prompt" value="([^"]+)"', answer.text)
                assert action, answer.text
                assert prompt, answer.text
                answer = browser.post(action[1], data={"prompt": prompt[1], "login": login, "password": "any"})
        raise AssertionError("the sign-in came to no end")

    def _exchange(self, browser: httpx.Client, code: str) -> str:
        answer = browser.post(
            "/token",
            auth=("web", "web-secret"),
            data={
                "grant_type": "authorization_code", "code": code, "redirect_uri": "http://127.0.0.1:9/callback",
                "code_verifier": VERIFIER, "resource": "urn:api",
            },
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    node = shutil.which("node")
    if node is None or not (HERE / "node_modules" / "oidc-provider").exists():
        servers.missing("node with oidc-provider (npm ci in tests/system/oidc)")
    assert node is not None
    port = servers.free_port()
    process = subprocess.Popen(
        [node, str(HERE / "provider.mjs"), str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        servers.wait_until(lambda: servers.listening(port), 30, "oidc-provider")
        yield Provider(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def gateway(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with ExitStack() as stack:
        target = stack.enter_context(echo())
        config = CONFIG.format(issuer=provider.url, target=target.url)
        found = stack.enter_context(gateway_process(config, tmp_path_factory.mktemp("oidc")))
        ready(found)
        yield found


def status(gateway: GatewayProcess, raw: str) -> int:
    return httpx.get(gateway.url + "/api/x", headers=bearer(raw), trust_env=False).status_code


def test_a_token_from_a_sign_in_is_taken(provider: Provider, gateway: GatewayProcess) -> None:
    answer = httpx.get(gateway.url + "/api/x", headers=bearer(provider.sign_in("alice")), trust_env=False)
    assert answer.status_code == 200, answer.text
    seen = answer.json()["headers"]
    assert (seen["x-user-id"], seen["x-user-issuer"], seen["x-user-scopes"]) == ("alice", "provider", "users:read")


def test_a_key_is_rotated_without_one_refusal(provider: Provider, gateway: GatewayProcess) -> None:
    before = provider.sign_in("bob")
    assert status(gateway, before) == 200
    provider.rotate()
    after = provider.sign_in("bob")
    kids = {jwt.get_unverified_header(raw)["kid"] for raw in (before, after)}
    assert len(kids) == 2
    assert [status(gateway, raw) for raw in (before, after, before, after)] == [200] * 4


def test_a_revoked_token_is_refused(provider: Provider, gateway: GatewayProcess) -> None:
    raw, other = provider.sign_in("carol"), provider.sign_in("carol")
    assert (status(gateway, raw), status(gateway, other)) == (200, 200)
    revoked = httpx.post(gateway.url + "/auth/revoke", data={"token": raw}, headers=bearer(raw), trust_env=False)
    assert revoked.status_code == 200, revoked.text
    assert (status(gateway, raw), status(gateway, other)) == (401, 200)


def test_a_token_of_another_provider_is_refused(gateway: GatewayProcess) -> None:
    from tests import tokens

    assert status(gateway, tokens.token().decode()) == 401
