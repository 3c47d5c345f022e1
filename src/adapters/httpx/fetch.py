"""Small documents over HTTP: key sets, discovery documents, and the calls to authorities that judge tokens.

https only, http on loopback; no redirects, no proxies from the environment, at most 1 MiB, and a deadline over the
whole of it. Whatever goes wrong is one `FetchFailed`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

import httpx

from spork.application.callers.ports import FetchFailed

# Every call to an authority would be a line of its own.
logging.getLogger("httpx").setLevel(logging.WARNING)

#: Largest document taken, bytes.
MAX_DOCUMENT = 1024 * 1024
#: Longest time for one document, seconds.
PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class FetchedDocument:
    """An answer to a call. Header names are lower-case."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def check_address(url: str, plain: bool = False) -> None:
    """Raises FetchFailed unless `url` is https, or http to this very machine, or http where `plain` lets it in."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname and not parts.username:
        return
    if parts.scheme != "http" or not parts.hostname or parts.username:
        raise FetchFailed(f"{parts.scheme or 'no'} address: https is needed")
    if plain or parts.hostname == "localhost":
        return
    try:
        loopback = ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise FetchFailed("plain http is only taken on loopback")


@lru_cache
def _trust(ca: str | None, stamp: float = 0.0) -> ssl.SSLContext:
    """Certificate authorities: the system's, or those of one PEM file as it was at `stamp`. Costly to read, so read once."""
    return ssl.create_default_context(cafile=ca) if ca else httpx.create_ssl_context(trust_env=False)


class HttpCalls:
    """Implements DocumentFetch, and `call` for authorities. Open while the gateway runs; `close` at its end."""

    def __init__(self, patience: float = PATIENCE, ca: str | None = None, connections: int = 20) -> None:
        self._patience = patience
        self._connections = connections
        self._client = self._made(_trust(ca))
        #: Clients that trust other authorities, by file and when it was written.
        self._others: dict[tuple[str, float], httpx.AsyncClient] = {}

    def _made(self, trust: ssl.SSLContext) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            follow_redirects=False,
            trust_env=False,
            verify=trust,
            timeout=self._patience,
            limits=httpx.Limits(max_connections=self._connections, keepalive_expiry=30.0),
            headers={"user-agent": "spork", "accept-encoding": "identity"},
        )

    async def close(self) -> None:
        for client in (self._client, *self._others.values()):
            await client.aclose()

    async def _trusting(self, ca: str) -> httpx.AsyncClient:
        """The client that verifies by the authorities in `ca`. Raises FetchFailed for a file that cannot be used."""
        if not ca:
            return self._client
        try:
            stamp = os.stat(ca).st_mtime
            known = self._others.get((ca, stamp))
            if known is None:
                known = self._others[ca, stamp] = self._made(_trust(ca, stamp))
                for old in [key for key in self._others if key[0] == ca and key[1] != stamp]:
                    await self._others.pop(old).aclose()
        except OSError as error:  # an ssl.SSLError, too
            raise FetchFailed(f"the CA file {ca} cannot be used") from error
        return known

    async def fetch(self, url: str, ca: str = "", plain: bool = False) -> bytes:
        check_address(url, plain)
        reply = await self.call("GET", url, headers={"accept": "application/json"}, ca=ca)
        if reply.status != 200:
            raise FetchFailed(f"answered {reply.status}")
        return reply.body

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        basic: tuple[str, str] | None = None,
        patience: float | None = None,
        ca: str = "",
    ) -> FetchedDocument:
        """One call and its whole answer, of whatever status. Raises FetchFailed."""
        client = await self._trusting(ca)
        try:
            async with asyncio.timeout(patience or self._patience):
                request = client.build_request(method, url, headers=dict(headers or {}), content=body)
                response = await client.send(request, auth=basic or httpx.USE_CLIENT_DEFAULT, stream=True)
                try:
                    return FetchedDocument(response.status_code, _headers(response), await _bounded(response))
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise FetchFailed("took too long") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError) as error:
            raise FetchFailed(type(error).__name__) from error


async def _bounded(response: httpx.Response) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in response.aiter_raw():
        size += len(piece)
        if size > MAX_DOCUMENT:
            raise FetchFailed("is larger than 1 MiB")
        pieces.append(piece)
    return b"".join(pieces)


def _headers(response: httpx.Response) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.lower(), value) for name, value in response.headers.raw)
