"""Who the client is behind proxies we trust, and what we tell the target about it.

`X-Forwarded-For` is believed from the right, only as far as each hop that vouches for the next one is trusted; all
to the left of the first untrusted hop may have been made up by it. RFC 7239 gives the standard spelling of the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from domain.authority import authority
from domain.http import Header, Headers

_REMEMBERED = 4096
_LONGEST_CHAIN = 32


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


def forwarding_headers(peer: str, scheme: str, host: bytes, incoming: Headers, trusted: TrustedProxies) -> Headers:
    """What a target is told of the client: X-Forwarded-For, -Proto, -Host, -Port, X-Real-IP and Forwarded.

    `peer` is the socket's address, `scheme` and `host` those of this hop, `incoming` the request's headers. A trusted
    peer's account is extended and its scheme and host believed; any other's is dropped.
    """
    if not trusted.trusts(peer):
        return _first_hop(peer, scheme, host)
    chain = [value for name, value in incoming if name == b"x-forwarded-for"]
    elements = [value for name, value in incoming if name == b"forwarded"]
    told_scheme = _last(incoming, b"x-forwarded-proto").lower()
    told_host = authority(_last(incoming, b"x-forwarded-host"))
    scheme = told_scheme.decode() if told_scheme in (b"http", b"https") else scheme
    host = told_host or host
    client = client_address(peer, chain, trusted)
    return (
        (b"x-forwarded-for", b", ".join((*chain, peer.encode()))),
        *_described(client, scheme, host),
        (b"forwarded", b", ".join((*elements, forwarded_element(peer, scheme, host)))),
    )


@lru_cache(maxsize=_REMEMBERED)
def _first_hop(peer: str, scheme: str, host: bytes) -> Headers:
    """The headers for a client that stands directly before us: the same for all its requests to one host."""
    return (
        (b"x-forwarded-for", peer.encode()),
        *_described(peer, scheme, host),
        (b"forwarded", forwarded_element(peer, scheme, host)),
    )


def _described(client: str, scheme: str, host: bytes) -> tuple[Header, ...]:
    tail = host.rpartition(b":")[2]
    port = tail if tail.isdigit() and tail != host else (b"443" if scheme == "https" else b"80")
    return (
        (b"x-forwarded-proto", scheme.encode()),
        (b"x-forwarded-host", host),
        (b"x-forwarded-port", port),
        (b"x-real-ip", client.encode()),
    )


def _last(headers: Headers, name: bytes) -> bytes:
    """The last list member of the last `name`, the one the hop before us wrote; b"" when there is none."""
    found = b""
    for key, value in headers:
        if key == name:
            found = value
    return found.rpartition(b",")[2].strip()


def forwarded_element(client: str, scheme: str, host: bytes) -> bytes:
    """One `forwarded-element` (RFC 7239 4): IPv6 bracketed, and quoted wherever a value is no token."""
    node = f'"[{client}]"' if ":" in client else client or "unknown"
    named = host if b":" not in host and b"[" not in host else b'"' + host + b'"'
    element = b"for=" + node.encode() + b";proto=" + scheme.encode()
    return element + b";host=" + named if host else element
