"""Who the client is behind proxies we trust, and how it asked.

`X-Forwarded-For` is believed from the right, only as far as each hop that vouches for the next one is trusted; all
to the left of the first untrusted hop may have been made up by it. Where there is none, the `for=` of `Forwarded`
(RFC 7239) is walked in the same way. Scheme and host are taken from the same place in their lists as the client's
address in its own, counted from the right; a proxy that replaces the list by one value is believed, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeVar

from spork.domain.http.authority import authority

_REMEMBERED: Final = 4096
_LONGEST_CHAIN: Final = 32


class TrustedProxies:
    """Peers whose forwarding headers are believed: addresses, CIDR blocks, and `unix` for peers on a unix socket, who have no
    address. Raises ValueError for anything else."""

    __slots__ = ("_networks", "_unix", "_verdicts")

    def __init__(self, cidrs: Iterable[str] = ()) -> None:
        written = tuple(cidrs)
        self._unix = "unix" in written
        self._networks: tuple[IPv4Network | IPv6Network, ...] = tuple(
            ip_network(cidr, strict=False) for cidr in written if cidr != "unix"
        )
        self._verdicts: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return bool(self._networks) or self._unix

    def trusts(self, address: str) -> bool:
        """Whether the textual address (no port) is inside one of the blocks; an IPv4-mapped one counts as IPv4."""
        if not address:
            return self._unix
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
    return _walk(peer, _listed(forwarded_for), trusted)[0]


class AskedBehindProxies:
    """What trusted proxies say of a request: the client's `address`, and `scheme` and `host` as the client asked, each
    empty where nothing is said. `peer` must be trusted; `headers` have lower-case names."""

    __slots__ = ("address", "host", "scheme")

    def __init__(self, peer: str, headers: Sequence[tuple[bytes, bytes]], trusted: TrustedProxies) -> None:
        said: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            if name in _SAID:
                said.setdefault(name, []).append(value)
        addresses = _listed(said.get(b"x-forwarded-for", ()))
        protos = _listed(said.get(b"x-forwarded-proto", ()))
        hosts = _listed(said.get(b"x-forwarded-host", ()))
        elements = forwarded_elements(b",".join(said[b"forwarded"])) if b"forwarded" in said else []
        if not addresses and elements:
            addresses = [element.get(b"for", b"") for element in elements]
        self.address, hops = _walk(peer, addresses, trusted)
        element = _from_right(elements, hops) or {}
        self.scheme = _SCHEMES.get((_from_right(protos, hops) or element.get(b"proto", b"")).lower(), "")
        self.host = authority(_from_right(hosts, hops) or element.get(b"host", b"")) or b""


#: The fields in which proxies say how they were asked.
_SAID: Final = frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded"))
_SCHEMES: Final = {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}
T = TypeVar("T")


def _listed(values: Iterable[bytes]) -> list[bytes]:
    """The last entries of a list that may stand in several lines."""
    lines = list(values)
    return [entry.strip(b' \t"') for entry in b",".join(lines).split(b",")[-_LONGEST_CHAIN:]] if lines else []


def _from_right(entries: Sequence[T], hops: int) -> T | None:
    """The entry at the client's place; the left-most where the list is shorter than the walk was long."""
    return entries[max(len(entries) - max(hops, 1), 0)] if entries else None


def _walk(peer: str, addresses: Sequence[bytes], trusted: TrustedProxies) -> tuple[str, int]:
    """The client, and how many entries from the right it stands (0: it is the peer)."""
    client = peer
    hops = 0
    for entry in reversed(addresses):
        address = _address(entry)
        if address is None:
            break
        client = address
        hops += 1
        if not trusted.trusts(client):
            break
    return client, hops


def forwarded_elements(value: bytes) -> list[dict[bytes, bytes]]:
    """The last elements of a `Forwarded` list, names in lower case, values without quotes (RFC 7239 4).

    From the first element on that breaks the grammar nothing to its left can be told apart, so those are left out.
    """
    elements: list[dict[bytes, bytes]] = []
    for text in reversed(_outside_quotes(value, _COMMA)[-_LONGEST_CHAIN:]):
        element: dict[bytes, bytes] = {}
        for pair in _outside_quotes(text, _SEMICOLON):
            name, equals, content = pair.strip(b" \t").partition(b"=")
            if not equals:
                continue
            if content[:1] == b'"':
                if len(content) < 2 or content[-1:] != b'"' or b'"' in content[1:-1].replace(b'\\"', b""):
                    return elements[::-1]
                content = content[1:-1].replace(b'\\"', b'"')
            element.setdefault(name.lower(), content)
        elements.append(element)
    return elements[::-1]


_COMMA: Final = 0x2C
_SEMICOLON: Final = 0x3B
_QUOTE: Final = 0x22
_BACKSLASH: Final = 0x5C


def _outside_quotes(text: bytes, separator: int) -> list[bytes]:
    """`text` split at each `separator` that stands in no quoted string."""
    pieces: list[bytes] = []
    start = 0
    quoted = False
    escaped = False
    for at, octet in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and octet == _BACKSLASH:
            escaped = True
        elif octet == _QUOTE:
            quoted = not quoted
        elif octet == separator and not quoted:
            pieces.append(text[start:at])
            start = at + 1
    pieces.append(text[start:])
    return pieces


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
        parsed = ip_address(text.decode("ascii"))
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return str(parsed)
