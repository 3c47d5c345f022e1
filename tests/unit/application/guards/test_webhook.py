"""The guard of webhooks: the body as it came is judged, and goes on."""

from __future__ import annotations

import gzip
import hashlib
import hmac
from collections.abc import Awaitable
from typing import Any

import pytest

from spork.adapters.yaml.load import loads
from spork.application.guards.webhook import WebhookGuard
from spork.domain.identity.webhooks import WebhookRule
from tests.exchanges import Body, exchange


async def settled(verdict: Any) -> Any:
    return await verdict if isinstance(verdict, Awaitable) else verdict


def github(body: bytes) -> dict[str, str]:
    return {"x-hub-signature-256": "sha256=" + hmac.new(b"s", body, hashlib.sha256).hexdigest()}


@pytest.mark.parametrize("body", [b'{"a":1}', b"", gzip.compress(b"{}", mtime=0)], ids=["json", "empty", "coded"])
@pytest.mark.parametrize("pieces", [1, 2])
async def test_the_body_goes_on_as_it_came(body: bytes, pieces: int) -> None:
    guard = WebhookGuard(WebhookRule("github", ("s",)), None)
    at = len(body) // pieces
    one = exchange("POST", headers=github(body), body=Body(body[:at], body[at:]))
    assert await settled(guard.admit(one)) is None
    assert (one.body.whole() or b"") == body
    bad = exchange("POST", headers=github(body + b"x"), body=Body(body[:at], body[at:]))
    assert (await settled(guard.admit(bad))).reason == "webhook_refused"


async def test_larger_ones() -> None:
    guard = WebhookGuard(WebhookRule("github", ("s",), maximum=10), None)
    for pieces in ([b"x" * 11], [b"x" * 6, b"x" * 6]):
        one = exchange("POST", headers=github(b"x" * 11), body=Body(*pieces))
        assert (await settled(guard.admit(one))).reason == "body_too_large"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{provider: github, secrets: []}", "secret"),
        ("{provider: github, secrets: ['']}", "secret"),
        ("{provider: standard, secrets: ['whsec_???']}", "base64"),
        ("{provider: paypal, secrets: [a]}", "paypal"),
    ],
)
def test_what_cannot_be_configured(written: str, said: str) -> None:
    loaded = loads(f"""
upstreams: {{u: {{targets: [http://127.0.0.1:1]}}}}
routes: [{{match: /hook, upstream: u, webhook: {written}}}]
""")
    assert any(said in problem.message for problem in loaded.problems)
