"""Methods of proving who calls with a secret that both sides know: passwords (HTTP Basic) and signed requests."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import secrets
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from spork.application.callers.methods import AMBIGUOUS, NOT_PRESENTED, credentials_of, only
from spork.application.callers.ports import Passwords
from spork.application.exchange.bodies import held, hold
from spork.domain.identity.consumers import Consumer, consumer_principal
from spork.domain.identity.signatures import (
    OLDEST,
    SignatureInput,
    Unsigned,
    check_input,
    digest_holds,
    mac,
    parse_input,
    read_signature,
    signature_base,
)
from spork.domain.identity.tokens import CredentialOutcome, Refused, Unverifiable, Verified, identity_headers

if TYPE_CHECKING:
    from spork.application.exchange.exchange import Exchange

ConsumerNamed = Callable[[str], Consumer | None]

#: Seconds a password that was found right is remembered, as a keyed digest.
REMEMBER = 60.0
#: Passwords being hashed at a time: hashing is slow on purpose, and must not become a way to occupy the gateway.
AT_ONCE = 2
#: Callers waiting for their turn; more than that are told to come back.
WAITING = 64

_WRONG = Refused("password_mismatch")
_REPLAYED = Refused("signature_replayed")
_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_MOST_REMEMBERED = 10_000


class BasicPassword:
    """HTTP Basic (RFC 7617) against the consumer's argon2 hash. An unknown name costs what a wrong password costs."""

    name = "basic"
    challenge = 'Basic charset="UTF-8"'
    consumes = frozenset((b"authorization",))
    costly = True
    guessable = True

    def __init__(self, consumer_named: ConsumerNamed, passwords: Passwords) -> None:
        self._consumer_named = consumer_named
        self._passwords = passwords
        self._pepper = secrets.token_bytes(32)
        self._right: dict[bytes, tuple[str, float, Verified]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._nobody = passwords.hash(secrets.token_bytes(16))

    def authenticate(self, exchange: Exchange) -> CredentialOutcome | Awaitable[CredentialOutcome]:
        encoded = credentials_of(exchange.head.headers, b"basic ")
        if encoded is None:
            return NOT_PRESENTED
        try:
            name, colon, password = base64.b64decode(encoded, validate=True).partition(b":")
            named = name.decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            return AMBIGUOUS
        if not colon or len(password) > 1024:
            return AMBIGUOUS
        consumer = self._consumer_named(named)
        stored = consumer.basic_password_hash if consumer is not None else ""
        mark = hmac.digest(self._pepper, sha256(name).digest() + password, "sha256")
        right = self._right.get(mark)
        if right is not None and right[0] == stored and exchange.unix < right[1]:
            return right[2]
        return self._hash(consumer, stored, password, mark, exchange.unix)

    async def _hash(
        self, consumer: Consumer | None, stored: str, password: bytes, mark: bytes, now: float
    ) -> CredentialOutcome:
        if self._waiting >= WAITING:
            return Unverifiable("too_many_passwords")
        self._waiting += 1
        try:
            async with self._turns:
                matches = await asyncio.to_thread(self._passwords.matches, stored or self._nobody, password)
        finally:
            self._waiting -= 1
        if consumer is None or not stored or not matches:
            return _WRONG
        principal = consumer_principal(consumer, "basic")
        verdict = Verified(principal, identity_headers(principal))
        if len(self._right) >= _MOST_REMEMBERED:
            self._right.clear()
        self._right[mark] = (stored, now + REMEMBER, verdict)
        return verdict


class TakenSignatures(Protocol):
    """Signatures of requests that were let through."""

    def take(self, signature: bytes, now: float, keep: float) -> bool | Awaitable[bool]:
        """True for the first to come with `signature` in `keep` seconds. `now` in Unix seconds."""


class SignedRequest:
    """An HTTP message signature (RFC 9421, HMAC-SHA-256) with the consumer's shared secret; `keyid` is its name.

    A request that changes something is taken once: the same signature again within its lifetime is a replay. `taken`
    remembers them, for this process or for the fleet.
    """

    name = "signature"
    challenge = ""
    consumes = frozenset((b"signature", b"signature-input"))
    costly = False
    guessable = True

    def __init__(self, consumer_named: ConsumerNamed, taken: TakenSignatures, maximum: int = 1024 * 1024) -> None:
        self._consumer_named = consumer_named
        self._taken = taken
        self._maximum = maximum

    def authenticate(self, exchange: Exchange) -> CredentialOutcome | Awaitable[CredentialOutcome]:
        headers = exchange.head.headers
        field, signature = only(headers, b"signature-input"), only(headers, b"signature")
        if field is None and signature is None:
            return NOT_PRESENTED
        if not field or not signature:
            return AMBIGUOUS
        try:
            signed = parse_input(field)
            given = read_signature(signature, signed.label)
            verdict = self._judge(exchange, signed, given)
        except Unsigned as unsigned:
            return Refused(str(unsigned))
        if not isinstance(verdict, Verified):
            return verdict
        if exchange.head.method in _SAFE:
            return self._read(exchange, verdict)
        first = self._taken.take(given, exchange.unix, 2 * OLDEST)
        if isinstance(first, Awaitable):
            return self._once(first, exchange, verdict)
        return self._read(exchange, verdict) if first else _REPLAYED

    async def _once(self, asked: Awaitable[bool], exchange: Exchange, verdict: Verified) -> CredentialOutcome:
        if not await asked:
            return _REPLAYED
        outcome = self._read(exchange, verdict)
        return await outcome if isinstance(outcome, Awaitable) else outcome

    def _read(self, exchange: Exchange, verdict: Verified) -> CredentialOutcome | Awaitable[CredentialOutcome]:
        """The signature is good; so must be the digest of the body, if there is one."""
        if exchange.body.length == 0:
            return verdict
        whole = held(exchange)
        return self._later(exchange, verdict) if whole is None else _body(exchange, whole, verdict)

    def _judge(self, exchange: Exchange, signed: SignatureInput, given: bytes) -> Verified | Refused:
        now = exchange.unix
        key_id = check_input(signed, exchange.head, exchange.body.length != 0, now)
        consumer = self._consumer_named(key_id)
        secret = consumer.signature_secret.encode() if consumer is not None else b""
        expected = mac(secret or b"\0" * 32, signature_base(signed, exchange.head))
        matches = hmac.compare_digest(expected, given)
        if consumer is None or not secret or not matches:
            return Refused("signature_mismatch")
        principal = consumer_principal(consumer, "signature")
        return Verified(principal, identity_headers(principal))

    async def _later(self, exchange: Exchange, verdict: Verified) -> CredentialOutcome:
        whole = await hold(exchange, self._maximum)
        return Refused("signed_body_too_large") if whole is None else _body(exchange, whole, verdict)


def _body(exchange: Exchange, whole: bytes, verdict: Verified) -> CredentialOutcome:
    return verdict if digest_holds(exchange.head.headers, whole) else Refused("digest_mismatch")
