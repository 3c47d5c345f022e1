"""Parts of the graph that are imported and built when something is first asked of them.

Part of the composition root. An HTTP client costs a tenth of a second of start-up, and most configurations never send
anything with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spork.application.upstreams.credentials import IssuedToken, TokenEndpoint
from spork.application.upstreams.transport import UpstreamRequest, UpstreamResponse
from spork.domain.upstreams.credentials import OAuthCredential
from spork.domain.upstreams.health import ProbePolicy
from spork.domain.upstreams.model import Target


class LazyAdapter:
    """Holds what `make` makes, from the first use on. `close` closes what there is."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._made: Any = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._made!r})"

    @property
    def made(self) -> Any:
        """Whatever it stands for."""
        if self._made is None:
            self._made = self._make()
        return self._made

    async def close(self) -> None:
        if self._made is not None:
            await self._made.close()


class LazyTransport(LazyAdapter):
    """A transport (`UpstreamTransport`) that is made for the first request it sends."""

    async def send(self, target: Target, request: UpstreamRequest) -> UpstreamResponse:
        answer: UpstreamResponse = await self.made.send(target, request)
        return answer


class LazyProber(LazyAdapter):
    """A prober (`application.probe.Prober`) that is made for the first probe."""

    async def ask(self, target: Target, policy: ProbePolicy) -> int:
        status: int = await self.made.ask(target, policy)
        return status


class LazyFetcher(LazyAdapter):
    """A fetcher of documents (`application.identity.DocumentFetch`) that is made for the first one."""

    async def fetch(self, url: str, ca: str = "", plain: bool = False) -> bytes:
        document: bytes = await self.made.fetch(url, ca, plain)
        return document


class LazyTokenEndpoint:
    """A `TokenEndpoint` that is made for the first token."""

    def __init__(self) -> None:
        self._made: TokenEndpoint | None = None

    async def issue(self, credential: OAuthCredential, subject: bytes) -> IssuedToken:
        if self._made is None:
            from spork.adapters.httpx.token_endpoint import HttpTokenEndpoint

            self._made = HttpTokenEndpoint()
        return await self._made.issue(credential, subject)
