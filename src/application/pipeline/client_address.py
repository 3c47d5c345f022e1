"""Whose word about the client is believed: trusted proxies and the walk along X-Forwarded-For."""

from __future__ import annotations

from collections.abc import Sequence

from spork.domain.http.head import RequestHead
from spork.domain.http.proxies import TrustedProxies, client_address


class ClientAddress:
    """Finds the client's address behind trusted proxies; who is trusted is remembered per peer."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._trusted = TrustedProxies(trusted)
        #: Whether a peer is a proxy whose X-Forwarded-* is believed.
        self.trusts = self._trusted.trusts

    def resolve(self, head: RequestHead) -> tuple[str, str]:
        """(client address, scheme) of a request whose peer is trusted: the first untrusted address from the right."""
        scheme = head.header(b"x-forwarded-proto")
        chain = [value for name, value in head.headers if name == b"x-forwarded-for"]
        client = client_address(head.peer, chain, self._trusted)
        return client, scheme.decode() if scheme in (b"http", b"https") else head.scheme
