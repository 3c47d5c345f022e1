"""Who calls: consumers, the plans they are on, and API keys.

An API key is `spk_<id>_<secret>`: a public id to look it up by, and a secret with at least 160 random bits that ends
in a checksum (CRC-32, so that a secret scanner can tell a key from noise and a typing error needs no look-up). Only
HMAC-SHA-256(pepper, secret) is kept. Rotation gives a key a second secret; the older one stays good until its
`not_after`. There are never more than two.
"""

from __future__ import annotations

import binascii
import hmac
import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from spork.domain.identity.tokens import Principal
from spork.domain.limits.limit import Limit


@dataclass(frozen=True, slots=True)
class Plan:
    """A named bundle: `limits` are rates, `quotas` are long ones (day, month). Empty means unlimited."""

    name: str
    limits: tuple[Limit, ...] = ()
    quotas: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenClaim:
    """A claim of one issuer's tokens that means a consumer: the claim at `claim` (dotted) is, or contains, `value`."""

    issuer: str
    claim: str
    value: str


@dataclass(frozen=True, slots=True)
class Consumer:
    """A caller known by name; `subjects` are token subjects or certificate names that mean it (see `subjects.py`),
    `certificates` names of client certificates only, `claims` claims of tokens.

    `basic_password_hash` is an argon2 hash. `signature_secret` is the shared key of its HTTP message signatures.
    """

    name: str
    plan: str = ""
    subjects: tuple[str, ...] = ()
    owner: str = ""
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    basic_password_hash: str = ""
    signature_secret: str = ""
    tenant: str = ""
    certificates: tuple[str, ...] = ()
    claims: tuple[TokenClaim, ...] = ()
    #: (API, version) that `default: pinned` means for it.
    versions: tuple[tuple[str, str], ...] = ()


# --------------------------------------------------------------------------------------------------------- the key text

_PREFIX: Final = "spk_"
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LENGTH: Final = 12
_SECRET_LENGTH: Final = 32  # 30 would carry 178 bits; 32 carry 190
_CHECK_LENGTH: Final = 6
#: Random bytes `mint` needs for an id and for a secret.
ID_BYTES: Final = 9
SECRET_BYTES: Final = 24
_LENGTH: Final = len(_PREFIX) + _ID_LENGTH + 1 + _SECRET_LENGTH + _CHECK_LENGTH


def base62(value: int, length: int) -> str:
    """The last `length` digits of a number to the base 62."""
    digits = []
    for _ in range(length):
        value, digit = divmod(value, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def _checksum(text: str) -> str:
    return base62(binascii.crc32(text.encode("ascii")), _CHECK_LENGTH)


@dataclass(frozen=True, slots=True)
class KeyText:
    """A key as its owner holds it: shown once, never stored."""

    id: str
    secret: str

    def __str__(self) -> str:
        return f"{_PREFIX}{self.id}_{self.secret}"

    def __repr__(self) -> str:
        return f"KeyText({self.id}, ***)"


def mint_id(chance: bytes) -> str:
    """A key id from `ID_BYTES` random bytes."""
    return base62(int.from_bytes(chance, "big"), _ID_LENGTH)


def mint(key_id: str, chance: bytes) -> KeyText:
    """A key text from `SECRET_BYTES` random bytes."""
    if len(chance) < SECRET_BYTES:
        raise ValueError(f"a secret takes {SECRET_BYTES} random bytes")
    secret = base62(int.from_bytes(chance, "big"), _SECRET_LENGTH)
    return KeyText(key_id, secret + _checksum(f"{key_id}_{secret}"))


def read_key(text: bytes) -> KeyText | None:
    """The id and secret of a key text; None when it cannot be one (shape or checksum)."""
    if len(text) != _LENGTH or not text.startswith(b"spk_") or text[16:17] != b"_" or not text.isascii():
        return None
    key_id, secret = text[4:16].decode("ascii"), text[17:].decode("ascii")
    if not key_id.isalnum() or _checksum(f"{key_id}_{secret[:_SECRET_LENGTH]}") != secret[_SECRET_LENGTH:]:
        return None
    return KeyText(key_id, secret)


def secret_digest(pepper: bytes, secret: str | bytes) -> bytes:
    """What is kept of a secret: HMAC-SHA-256(pepper, secret), 32 bytes."""
    return hmac.digest(pepper, secret.encode("ascii") if isinstance(secret, str) else secret, "sha256")


# -------------------------------------------------------------------------------------------------------- records


class KeyState(Enum):
    ACTIVE = "active"
    ROTATING = "rotating"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class KeySecret:
    """One secret of a key, as its digest. `not_after` in Unix seconds, None while it has no end of its own."""

    digest: bytes
    created_at: float
    not_after: float | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key's record. `secrets` newest first, one or two. Times in Unix seconds.

    Empty `routes` or `cidrs` mean any. `scopes` and `roles` are the key's own; a consumer's are added to them.
    """

    id: str
    consumer: str
    secrets: tuple[KeySecret, ...]
    created_at: float
    owner: str = ""
    plan: str = ""
    tenant: str = ""
    scopes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    routes: frozenset[str] = frozenset()
    cidrs: tuple[str, ...] = ()
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None

    def state(self, now: float) -> KeyState:
        if self.revoked_at is not None and self.revoked_at <= now:
            return KeyState.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return KeyState.EXPIRED
        live = [s for s in self.secrets if s.not_after is None or now < s.not_after]
        return KeyState.ROTATING if len(live) > 1 else (KeyState.ACTIVE if live else KeyState.EXPIRED)


#: Compared against when there is no such key, so that an unknown id costs what a wrong secret costs.
NO_SECRETS: Final = (KeySecret(b"\0" * 32, 0.0, 0.0),)


def good_until(secrets: tuple[KeySecret, ...], digest: bytes, now: float) -> float:
    """Until when the secret of this `digest` is good (Unix seconds, infinity for no end); 0.0 when it is not good now.

    Always two comparisons in constant time, whatever is given.
    """
    first, second = secrets[0], secrets[-1]
    one = hmac.compare_digest(first.digest, digest)
    two = hmac.compare_digest(second.digest, digest)
    until = max(_end(first) if one else 0.0, _end(second) if two else 0.0)
    return until if now < until else 0.0


def _end(secret: KeySecret) -> float:
    return math.inf if secret.not_after is None else secret.not_after


def rotate(key: ApiKey, digest: bytes, now: float, overlap: float) -> ApiKey:
    """The key with a new secret; the one it had stays good for `overlap` seconds, an older one ends now."""
    current = key.secrets[0]
    until = now + overlap if current.not_after is None else min(current.not_after, now + overlap)
    kept = (replace(current, not_after=until),) if overlap > 0 else ()
    return replace(key, secrets=(KeySecret(digest, now), *kept))


def revoke(key: ApiKey, now: float) -> ApiKey:
    """The key, good for nothing from `now` on. What was revoked stays revoked at the earlier time."""
    return key if key.revoked_at is not None else replace(key, revoked_at=now)


def key_principal(key: ApiKey, consumer: Consumer | None) -> Principal:
    """Who calls with this key. The consumer's roles and scopes are added; the key's own plan wins."""
    return Principal(
        subject=key.consumer,
        method="api_key",
        consumer=key.consumer,
        plan=key.plan or (consumer.plan if consumer else ""),
        tenant=key.tenant or (consumer.tenant if consumer else ""),
        key_id=key.id,
        roles=key.roles | frozenset(consumer.roles if consumer else ()),
        scopes=key.scopes | frozenset(consumer.scopes if consumer else ()),
        issued_at=key.secrets[0].created_at if key.secrets else key.created_at,
        expires_at=key.expires_at or 0.0,
    )


def consumer_principal(consumer: Consumer, method: str, subject: str = "") -> Principal:
    """Who calls when a consumer proved itself directly: password, signature or certificate."""
    return Principal(
        subject=subject or consumer.name,
        method=method,
        consumer=consumer.name,
        plan=consumer.plan,
        tenant=consumer.tenant,
        roles=frozenset(consumer.roles),
        scopes=frozenset(consumer.scopes),
    )


def with_consumer(principal: Principal, consumer: Consumer | None) -> Principal:
    """A token's principal as the consumer it belongs to. What the verified token itself says is never overruled."""
    if consumer is None:
        return principal
    return replace(
        principal,
        consumer=consumer.name,
        plan=principal.plan or consumer.plan,
        tenant=principal.tenant or consumer.tenant,
        roles=principal.roles | frozenset(consumer.roles),
        scopes=principal.scopes | frozenset(consumer.scopes),
    )
