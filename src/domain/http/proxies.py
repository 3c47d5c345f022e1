"""Who the client is behind proxies we trust.

`X-Forwarded-For` is believed from the right, only as far as each hop that vouches for the next one is trusted; all
to the left of the first untrusted hop may have been made up by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

_REMEMBERED: Final = 4096
_LONGEST_CHAIN: Final = 32


class TrustedProxies:
    """Peers whose forwarding headers are believed: addresses and CIDR blocks. Raises ValueError for anything else."""

    __slots__ = ("_networks", "_verdicts")

    def __init__(self, cidrs: Iterable[str] = ()) -> None:
        self._networks: tuple[IPv4Network | IPv6Network, ...] = tuple(ip_network(cidr, strict=False) for cidr in cidrs)
        self._verdicts: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return bool(self._networks)

    def trusts(self, address: str) -> bool:
        """Whether the textual address (no port) is inside one of the blocks; an IPv4-mapped one counts as IPv4."""
        if not self._networks:
            return False
        verdict = self._verdicts.get(address)
        if verdict is None:
            verdict = self._judge(address)
            if len(self._verdicts) >= _REMEMBERED:
                self._verdicts.clear()
            self._verdicts[address] = verdict
        return verdict

    def _judge(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed.version == network.version and parsed in network for network in self._networks)


def client_address(peer: str, forwarded_for: Sequence[bytes], trusted: TrustedProxies) -> str:
    """The address of the first hop, from the right, that no trusted hop stands behind; `peer` when it is not trusted.

    `forwarded_for`: the X-Forwarded-For values in order. An entry that is no address ends the walk at the hop that
    reported it; when all are trusted the left-most is the client.
    """
    if not forwarded_for or not trusted.trusts(peer):
        return peer
    client = peer
    for hop in reversed(b",".join(forwarded_for).split(b",")[-_LONGEST_CHAIN:]):
        address = _address(hop)
        if address is None:
            return client
        client = address
        if not trusted.trusts(client):
            return client
    return client


def _address(hop: bytes) -> str | None:
    """The address of one X-Forwarded-For entry: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`."""
    text = hop.strip(b" \t")
    if text[:1] == b"[":
        text = text[1:].partition(b"]")[0]
    elif text.count(b":") == 1:
        text = text.partition(b":")[0]
    if b"%" in text:
        return None
    try:
        return str(ip_address(text.decode("ascii")))
    except ValueError:
        return None
