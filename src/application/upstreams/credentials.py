"""Credentials put on requests to external APIs, right before each try; tokens fetched once and renewed before they end.

A token is kept until 30 seconds or a fifth of its life before its end, whichever is sooner, and renewed by one request
while others wait. When it cannot be renewed the old one serves on while it is good. A 401 of the API throws it away.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from spork.application.kernel.faults import FaultError
from spork.application.upstreams.transport import UpstreamRequest
from spork.domain.http.head import Header
from spork.domain.outcomes import Fault, FaultKind, Side
from spork.domain.upstreams.credentials import (
    CLIENTS_CREDENTIALS,
    AwsCredential,
    Credential,
    FieldCredential,
    HmacCredential,
    OAuthCredential,
    sign_aws,
    sign_hmac,
)

log = logging.getLogger("spork.credentials")

#: Exchanged tokens kept, one per caller's token.
MOST_TOKENS: Final = 10_000
#: Seconds between two tries to get a token that cannot be had.
_PAUSE: Final = 1.0


class TokenUnavailable(Exception):
    """The authorization server gave no token; str() says why, without secrets."""


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """`value` as it stands behind Bearer; `lifetime` in seconds."""

    value: bytes = field(repr=False)
    lifetime: float = 3600.0


class TokenEndpoint(Protocol):
    """Asks authorization servers."""

    async def issue(self, credential: OAuthCredential, subject: bytes) -> IssuedToken:
        """A token; `subject` is the caller's own for an exchange, else empty. Raises TokenUnavailable."""


class _Kept:
    """One token, or the want of one."""

    __slots__ = ("ends", "lock", "not_before", "renew", "value")

    def __init__(self) -> None:
        self.value = b""
        self.ends = 0.0
        self.renew = 0.0
        self.not_before = 0.0
        self.lock = asyncio.Lock()


class Tokens:
    """The tokens of one OAuth credential, by the caller's token for an exchange."""

    def __init__(self, credential: OAuthCredential, endpoint: TokenEndpoint, monotonic: Callable[[], float]) -> None:
        self._credential = credential
        self._endpoint = endpoint
        self._monotonic = monotonic
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    def ready(self, subject: bytes) -> bytes | None:
        """The token if there is one that need not be renewed yet."""
        kept = self._kept.get(_key(subject))
        return kept.value if kept is not None and self._monotonic() < kept.renew else None

    async def wait(self, subject: bytes) -> bytes:
        """The token, fetched if need be. Raises TokenUnavailable."""
        kept = self._find(_key(subject))
        if kept.value and kept.lock.locked() and self._monotonic() < kept.ends:
            return kept.value  # somebody renews it already
        async with kept.lock:
            now = self._monotonic()
            if now < kept.renew:
                return kept.value
            if now >= kept.not_before:
                try:
                    issued = await self._endpoint.issue(self._credential, subject)
                except TokenUnavailable as error:
                    kept.not_before = self._monotonic() + _PAUSE
                    log.warning("no token from %s: %s", self._credential.token_url, error)
                    if not kept.value or self._monotonic() >= kept.ends:
                        raise
                else:
                    now = self._monotonic()
                    kept.value, kept.ends = issued.value, now + issued.lifetime
                    kept.renew = kept.ends - min(30.0, issued.lifetime / 5)
            if not kept.value or self._monotonic() >= kept.ends:
                raise TokenUnavailable("asked a moment ago in vain")
            return kept.value

    def forget(self, value: bytes) -> None:
        """The API refused this token."""
        for kept in self._kept.values():
            if kept.value == value:
                kept.value, kept.renew, kept.ends = b"", 0.0, 0.0

    def _find(self, key: bytes) -> _Kept:
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= MOST_TOKENS:
                self._kept.popitem(last=False)
            kept = self._kept[key] = _Kept()
        else:
            self._kept.move_to_end(key)
        return kept


def _key(subject: bytes) -> bytes:
    return hashlib.sha256(subject).digest() if subject else b""


class UpstreamCredentials:
    """Puts the credentials of one upstream on its requests."""

    def __init__(
        self,
        credential: Credential,
        endpoint: TokenEndpoint,
        monotonic: Callable[[], float],
        unix: Callable[[], float],
    ) -> None:
        self._credential = credential
        self._unix = unix
        self._tokens = Tokens(credential, endpoint, monotonic) if isinstance(credential, OAuthCredential) else None
        #: Whether bodies have to be at hand whole.
        self.signs_body = isinstance(credential, AwsCredential | HmacCredential)

    def apply(self, request: UpstreamRequest, clients: Sequence[Header]) -> Awaitable[None] | None:
        """Change the request's fields; an awaitable while a token is fetched. `clients` are the fields that the client sent.
        Raises FaultError when there is no credential to show."""
        credential = self._credential
        kept = [header for header in request.headers if header[0] not in CLIENTS_CREDENTIALS]
        if isinstance(credential, FieldCredential):
            request.headers = [*(h for h in kept if h[0] != credential.name), (credential.name, credential.value)]
            return None
        if isinstance(credential, OAuthCredential):
            return self._bearer(request, kept, clients)
        body = request.body
        whole = b"" if body is None else body if isinstance(body, bytes) else None
        if isinstance(credential, AwsCredential):
            kept = [header for header in kept if not header[0].startswith(b"x-amz-")]
            added = sign_aws(credential, request.method, request.target, kept, whole, self._unix())
        elif whole is None:
            raise _unavailable("a body too large to be signed")
        else:
            added = sign_hmac(credential, request.method, request.target, kept, whole, self._unix())
        ours = {name for name, _ in added}
        request.headers = [*(header for header in kept if header[0] not in ours), *added]
        return None

    def refused(self, request: UpstreamRequest) -> None:
        """The API answered 401: a token is good no longer."""
        if self._tokens is not None:
            value = next((value for name, value in request.headers if name == b"authorization"), b"")
            self._tokens.forget(value.removeprefix(b"Bearer "))

    def _bearer(
        self, request: UpstreamRequest, kept: list[Header], clients: Sequence[Header]
    ) -> Awaitable[None] | None:
        assert self._tokens is not None
        assert isinstance(self._credential, OAuthCredential)
        subject = b""
        if self._credential.exchange:
            subject = next(
                (value[7:] for name, value in clients if name == b"authorization" and value[:7] == b"Bearer "), b""
            )
            if not subject:
                raise _unavailable("the caller has no token to exchange")
        token = self._tokens.ready(subject)
        if token is None:
            return self._fetched(request, kept, subject)
        request.headers = [*kept, (b"authorization", b"Bearer " + token)]
        return None

    async def _fetched(self, request: UpstreamRequest, kept: list[Header], subject: bytes) -> None:
        assert self._tokens is not None
        try:
            token = await self._tokens.wait(subject)
        except TokenUnavailable as error:
            raise _unavailable(str(error)) from error
        request.headers = [*kept, (b"authorization", b"Bearer " + token)]


def _unavailable(note: str) -> FaultError:
    return FaultError(Fault(FaultKind.CREDENTIALS_UNAVAILABLE, Side.GATEWAY, note=note))


class CredentialStore:
    """The credentials of every upstream, kept as long as their declaration stays the same."""

    def __init__(self, endpoint: TokenEndpoint, monotonic: Callable[[], float], unix: Callable[[], float]) -> None:
        self._endpoint = endpoint
        self._monotonic = monotonic
        self._unix = unix
        self._made: dict[Credential, UpstreamCredentials] = {}

    def of(self, credential: Credential) -> UpstreamCredentials:
        made = self._made.get(credential)
        if made is None:
            if len(self._made) >= 1000:  # rotated secrets of many reloads
                self._made.clear()
            made = self._made[credential] = UpstreamCredentials(credential, self._endpoint, self._monotonic, self._unix)
        return made
