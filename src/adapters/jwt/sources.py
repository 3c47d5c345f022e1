"""Where verification keys come from: written down, or published by an issuer and fetched.

Published keys are used while they are refreshed and while their issuer is down: a key set is only ever replaced by a
newer good one. One refresh at a time; a token that names a key we do not know asks for one, at most every 30 s.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Protocol

from spork.adapters.jwt.keys import NO_KEYS, KeyRefused, KeySet, read_key_set
from spork.adapters.jwt.structure import Malformed, json_object
from spork.application.callers.ports import DocumentFetch, FetchFailed

_log = logging.getLogger("spork.identity")

#: Seconds between refreshes asked for by unknown key ids.
UNKNOWN_KID_INTERVAL = 30.0
#: Seconds after which published keys are looked at again, in the background.
REFRESH_AFTER = 300.0
#: Seconds between attempts while there is no key at all.
FIRST_INTERVAL = 2.0


class KeySource(Protocol):
    """The keys of one issuer."""

    def current(self, now: float) -> KeySet | None:
        """The keys as they are known, None before the first were had. May start a refresh; never waits for it."""

    def refresh(self, now: float, kid: object) -> Awaitable[KeySet | None] | None:
        """A refresh because `kid` is not known; None when it is too early for one."""


class StaticKeys:
    """Keys written in configuration: they change only with it."""

    def __init__(self, keys: KeySet) -> None:
        self._keys = keys

    def current(self, now: float) -> KeySet:
        return self._keys

    def refresh(self, now: float, kid: object) -> None:
        return None


class PublishedKeys:
    """Keys fetched from a JWKS address, or from where the issuer's discovery document says they are.

    `issuer` must equal the discovery document's `issuer` exactly (OpenID Connect Discovery 4.3).
    """

    def __init__(
        self, fetch: DocumentFetch, *, jwks_url: str = "", issuer: str = "", ca: str = "", plain: bool = False
    ) -> None:
        """`ca` and `plain` as in `DocumentFetch.fetch`."""
        self._ca = ca
        self._plain = plain
        self._fetch = fetch
        self._jwks_url = jwks_url
        self._issuer = issuer
        self._keys: KeySet | None = None
        self._flight: asyncio.Task[KeySet | None] | None = None
        self._had_at = float("-inf")
        self._tried_at = float("-inf")
        self._asked_at = float("-inf")
        self.failure = ""

    def __repr__(self) -> str:
        where = self._jwks_url or self._issuer
        return f"PublishedKeys({where}, {len(self._keys) if self._keys is not None else 'no'} keys)"

    def current(self, now: float) -> KeySet | None:
        if (
            self._keys is not None
            and now - self._had_at >= REFRESH_AFTER
            and now - self._tried_at >= UNKNOWN_KID_INTERVAL
        ):
            self._start(now)
        return self._keys

    def refresh(self, now: float, kid: object) -> Awaitable[KeySet | None] | None:
        if self._flight is not None:
            return asyncio.shield(self._flight)
        if self._keys is None:
            return asyncio.shield(self._start(now)) if now - self._tried_at >= FIRST_INTERVAL else None
        if now - self._asked_at < UNKNOWN_KID_INTERVAL:
            return None
        self._asked_at = now
        return asyncio.shield(self._start(now))

    def _start(self, now: float) -> asyncio.Task[KeySet | None]:
        if self._flight is None:
            self._tried_at = now
            self._flight = asyncio.get_running_loop().create_task(self._renew(now))
        return self._flight

    async def _renew(self, now: float) -> KeySet | None:
        """A newer key set if it can be had; else the one we have."""
        try:
            url = self._jwks_url or await self._discover()
            keys = read_key_set(await self._fetch.fetch(url, self._ca, self._plain))
            if not len(keys):
                raise KeyRefused("the key set has no usable key: " + "; ".join(keys.left_out))
            self._keys, self._had_at, self.failure = keys, now, ""
        except (FetchFailed, KeyRefused, Malformed) as error:
            self.failure = str(error)
            _log.warning("keys of %s were not refreshed: %s", self._issuer or self._jwks_url, error)
        finally:
            self._flight = None
        return self._keys

    async def _discover(self) -> str:
        url = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        document = json_object(await self._fetch.fetch(url, self._ca, self._plain), "discovery_malformed")
        if document.get("issuer") != self._issuer:
            raise KeyRefused("the discovery document names another issuer")
        jwks_url = document.get("jwks_uri")
        if not isinstance(jwks_url, str):
            raise KeyRefused("the discovery document has no jwks_uri")
        return jwks_url


__all__ = ["NO_KEYS", "KeySource", "PublishedKeys", "StaticKeys"]
