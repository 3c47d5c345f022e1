"""Whose word about the client is believed: trusted proxies and the walk along X-Forwarded-For."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from domain.http import RequestHead


class ClientFinder:
    """Finds the client's address behind trusted proxies; who is trusted is remembered per peer."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(text) for text in trusted]
        self._verdicts: dict[str, bool] = {}

    def believes(self, peer: str) -> bool:
        """Whether `peer` is a proxy whose X-Forwarded-* is believed."""
        if not self._networks:
            return False
        verdict = self._verdicts.get(peer)
        if verdict is None:
            if len(self._verdicts) >= 65536:
                self._verdicts.clear()
            verdict = self._verdicts[peer] = self._trusted(peer)
        return verdict

    def find(self, head: RequestHead) -> tuple[str, str]:
        """(client address, scheme) of a request whose peer is trusted: the first untrusted address from the right."""
        scheme = head.header(b"x-forwarded-proto")
        client = head.peer
        chain = b",".join(value for name, value in head.headers if name == b"x-forwarded-for")
        for entry in reversed(chain.split(b",")):
            address = _address(entry)
            if not address:
                break
            client = address
            if not self._trusted(address):
                break
        return client, scheme.decode() if scheme in (b"http", b"https") else head.scheme

    def _trusted(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks if network.version == parsed.version)


def _address(entry: bytes) -> str:
    """One element of X-Forwarded-For as a plain address, "" when it is none."""
    text = entry.strip().decode("ascii", "replace")
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""
