"""Whose word about the client is believed: trusted proxies and what they say of how they were asked."""

from __future__ import annotations

from collections.abc import Sequence

from spork.domain.http.head import RequestHead
from spork.domain.http.proxies import AskedBehindProxies, TrustedProxies


class ClientAddress:
    """Finds the client's address behind trusted proxies; who is trusted is remembered per peer."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._trusted = TrustedProxies(trusted)
        #: Whether a peer is a proxy whose X-Forwarded-* and Forwarded are believed.
        self.trusts = self._trusted.trusts

    def resolve(self, head: RequestHead) -> AskedBehindProxies:
        """What the proxies behind a trusted peer say of a request."""
        return AskedBehindProxies(head.peer, head.headers, self._trusted)
