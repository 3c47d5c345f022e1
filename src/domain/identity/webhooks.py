"""Signatures of webhooks that come in: Stripe, GitHub and Standard Webhooks, each over the body's very bytes.

Stripe: `Stripe-Signature: t=UNIX,v1=HEX`, HMAC-SHA256 over `t.body`. GitHub: `X-Hub-Signature-256: sha256=HEX`, over the
body. Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,BASE64 ...`, over `id.timestamp.body`
with the decoded `whsec_` secret. Several secrets are accepted, so that one can be replaced by the next.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from spork.domain.http.head import Header

PROVIDERS: Final = ("stripe", "github", "standard")
_STANDARD_PREFIX: Final = "whsec_"


@dataclass(frozen=True, slots=True)
class WebhookRule:
    """Who sends, and what with: `secrets` in any order, `tolerance` in seconds for the schemes that sign a time."""

    provider: str
    secrets: tuple[str, ...] = field(repr=False)
    tolerance: float = 300.0
    maximum: int = 1024 * 1024


def refusal_of(rule: WebhookRule, headers: Sequence[Header], body: bytes, unix: float) -> str:
    """Why this webhook is not its sender's, as a slug for the log; "" when it is."""
    if rule.provider == "stripe":
        return _stripe(rule, headers, body, unix)
    if rule.provider == "github":
        return _github(rule, headers, body)
    return _standard(rule, headers, body, unix)


def standard_key(secret: str) -> bytes:
    """The key of a Standard Webhooks secret. Raises ValueError for what is no base64."""
    try:
        return base64.b64decode(secret.removeprefix(_STANDARD_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a secret of Standard Webhooks is whsec_ and base64") from error


def _one(headers: Sequence[Header], name: bytes) -> bytes | None:
    """The field's only value; None when it is missing or stands twice."""
    found = [value for key, value in headers if key == name]
    return found[0] if len(found) == 1 else None


def _fresh(stamp: bytes, unix: float, tolerance: float) -> bool:
    return stamp.isdigit() and len(stamp) <= 12 and abs(unix - int(stamp)) <= tolerance


def _matches(keys: Sequence[bytes], signed: bytes, given: Sequence[bytes]) -> bool:
    """Whether one of the MACs in `given` is that of one of the keys. Always compares all of them."""
    good = False
    for key in keys:
        expected = hmac.new(key, signed, hashlib.sha256).digest()
        for one in given:
            good = hmac.compare_digest(expected, one) or good
    return good


def _from_hex(text: bytes) -> bytes:
    try:
        return binascii.unhexlify(text)
    except (binascii.Error, ValueError):
        return b""


def _stripe(rule: WebhookRule, headers: Sequence[Header], body: bytes, unix: float) -> str:
    value = _one(headers, b"stripe-signature")
    if value is None:
        return "signature_missing"
    pairs = [part.strip().partition(b"=") for part in value.split(b",")[:20]]
    stamps = [text for name, _, text in pairs if name == b"t"]
    given = [_from_hex(text) for name, _, text in pairs if name == b"v1"]
    if len(stamps) != 1 or not given:
        return "signature_malformed"
    keys = [secret.encode() for secret in rule.secrets]
    if not _matches(keys, stamps[0] + b"." + body, given):
        return "signature_mismatch"
    return "" if _fresh(stamps[0], unix, rule.tolerance) else "timestamp_too_old"


def _github(rule: WebhookRule, headers: Sequence[Header], body: bytes) -> str:
    value = _one(headers, b"x-hub-signature-256")
    if value is None:
        return "signature_missing"
    if not value.startswith(b"sha256="):
        return "signature_malformed"
    keys = [secret.encode() for secret in rule.secrets]
    return "" if _matches(keys, body, [_from_hex(value[7:])]) else "signature_mismatch"


def _standard(rule: WebhookRule, headers: Sequence[Header], body: bytes, unix: float) -> str:
    identifier, stamp, value = (
        _one(headers, name) for name in (b"webhook-id", b"webhook-timestamp", b"webhook-signature")
    )
    if identifier is None or stamp is None or value is None:
        return "signature_missing"
    given: list[bytes] = []
    for part in value.split(b" ")[:20]:
        kind, comma, text = part.partition(b",")
        if kind == b"v1" and comma:
            try:
                given.append(base64.b64decode(text, validate=True))
            except binascii.Error:
                continue
    if not given:
        return "signature_malformed"
    keys = [standard_key(secret) for secret in rule.secrets]
    if not _matches(keys, identifier + b"." + stamp + b"." + body, given):
        return "signature_mismatch"
    return "" if _fresh(stamp, unix, rule.tolerance) else "timestamp_too_old"
