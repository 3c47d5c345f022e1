"""Signatures of webhooks: published examples, rotation, time, and everything that is not quite one."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.domain.http.head import Header
from spork.domain.identity.webhooks import PROVIDERS, WebhookRule, refusal_of

NOW = 1_800_000_000.0
KEY = base64.b64encode(b"k" * 24).decode()
SECRETS = {"stripe": ("whsec_new", "whsec_old"), "github": ("new", "old"), "standard": (f"whsec_{KEY}", KEY)}


def rule(provider: str) -> WebhookRule:
    return WebhookRule(provider, SECRETS[provider])


def signed(provider: str, body: bytes, secret: str, at: float = NOW) -> list[Header]:
    """As the provider would sign."""
    stamp = b"%d" % at
    if provider == "stripe":
        mac = hmac.new(secret.encode(), stamp + b"." + body, hashlib.sha256).hexdigest().encode()
        return [(b"stripe-signature", b"t=%b,v1=%b,v0=ignored" % (stamp, mac))]
    if provider == "github":
        mac = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()
        return [(b"x-hub-signature-256", b"sha256=" + mac)]
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, b"msg_1." + stamp + b"." + body, hashlib.sha256).digest()
    value = b"v1a,other v1," + base64.b64encode(digest)
    return [(b"webhook-id", b"msg_1"), (b"webhook-timestamp", stamp), (b"webhook-signature", value)]


def test_the_example_of_github_s_documentation() -> None:
    headers = [(b"x-hub-signature-256", b"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")]
    one = WebhookRule("github", ("It's a Secret to Everybody",))
    assert refusal_of(one, headers, b"Hello, World!", NOW) == ""


def test_the_example_of_standard_webhooks() -> None:
    body = b'{"test": 2432232314}'
    headers = [
        (b"webhook-id", b"msg_p5jXN8AQM9LWM0D4loKWxJek"),
        (b"webhook-timestamp", b"1614265330"),
        (b"webhook-signature", b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ]
    one = WebhookRule("standard", ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",))
    assert refusal_of(one, headers, body, 1614265330.0) == ""


@pytest.mark.parametrize("provider", PROVIDERS)
@given(body=st.binary(max_size=60), flip=st.integers(0, 59))
def test_what_was_signed_holds_and_nothing_else(provider: str, body: bytes, flip: int) -> None:
    for secret in SECRETS[provider]:
        headers = signed(provider, body, secret)
        assert refusal_of(rule(provider), headers, body, NOW) == ""
        if flip < len(body):
            other = body[:flip] + bytes((body[flip] ^ 1,)) + body[flip + 1 :]
            assert refusal_of(rule(provider), headers, other, NOW) == "signature_mismatch"
    assert refusal_of(rule(provider), signed(provider, body, base64.b64encode(b"z" * 24).decode()), body, NOW) != ""


@pytest.mark.parametrize("provider", ["stripe", "standard"])
@pytest.mark.parametrize(("age", "taken"), [(0, True), (300, True), (301, False), (-300, True), (-301, False)])
def test_times(provider: str, age: float, taken: bool) -> None:
    headers = signed(provider, b"x", SECRETS[provider][0], NOW - age)
    assert (refusal_of(rule(provider), headers, b"x", NOW) == "") is taken


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_field_that_is_missing_or_stands_twice_is_no_signature(provider: str) -> None:
    headers = signed(provider, b"x", SECRETS[provider][0])
    for at in range(len(headers)):
        assert refusal_of(rule(provider), headers[:at] + headers[at + 1 :], b"x", NOW) == "signature_missing"
        assert refusal_of(rule(provider), [*headers, headers[at]], b"x", NOW) == "signature_missing"


@pytest.mark.parametrize(
    ("provider", "name", "value"),
    [
        ("stripe", b"stripe-signature", b""),
        ("stripe", b"stripe-signature", b"t=1,t=2,v1=00"),
        ("stripe", b"stripe-signature", b"v1=00"),
        ("stripe", b"stripe-signature", b"t=1800000000,v1=zz"),
        ("github", b"x-hub-signature-256", b"sha1=00"),
        ("github", b"x-hub-signature-256", b"sha256="),
        ("github", b"x-hub-signature-256", b"sha256=zz"),
        ("standard", b"webhook-signature", b"v2,AAAA"),
        ("standard", b"webhook-signature", b"v1,???"),
        ("standard", b"webhook-timestamp", b"-1"),
    ],
)
def test_malformed_ones(provider: str, name: bytes, value: bytes) -> None:
    headers = [(n, value if n == name else v) for n, v in signed(provider, b"x", SECRETS[provider][0])]
    assert refusal_of(rule(provider), headers, b"x", NOW) != ""
