"""The PROXY protocol, versions 1 and 2: what a load balancer says in front of a connection of whom it is for.

Written in the first bytes, before TLS and HTTP (haproxy.org, proxy-protocol.txt, of 2020). Whoever expects it must not
guess: a connection from a trusted peer has it, one from anybody else has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

#: What a header of version 2 begins with.
SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
#: Octets that tell the versions apart; every header has at least as many.
FIRST: Final = len(SIGNATURE)
#: Octets of version 2 up to its addresses, the longest line of version 1, and the most that version 2 may add.
HEAD_2: Final = 16
LINE_1: Final = 107
MOST_2: Final = 4096

_TLV_SSL: Final = 0x20
_CLIENT_SSL: Final = 0x01


@dataclass(frozen=True, slots=True)
class Origin:
    """Who a connection is for: textual address, port, and whether the client came to the balancer by TLS (version 2 only)."""

    address: str
    port: int
    secure: bool = False


class NotProxied(ValueError):
    """The bytes are no PROXY header; str() says why."""


def line_origin(line: bytes) -> Origin | None:
    """Whom a line of version 1 names, CR LF included; None for UNKNOWN: the peer itself. Raises NotProxied."""
    if not line.endswith(b"\r\n") or len(line) > LINE_1:
        raise NotProxied("the line does not end")
    words = line[:-2].split(b" ")
    if words[0] != b"PROXY" or len(words) < 2:
        raise NotProxied("no PROXY line")
    if words[1] == b"UNKNOWN":
        return None
    if words[1] not in (b"TCP4", b"TCP6") or len(words) != 6:
        raise NotProxied("neither TCP4 nor TCP6 with two addresses and ports")
    family = IPv4Address if words[1] == b"TCP4" else IPv6Address
    if b"%" in line:
        raise NotProxied("an address with a zone")
    try:
        source, _ = (family(word.decode("ascii")) for word in words[2:4])
    except ValueError as error:
        raise NotProxied("an address of another kind") from error
    ports = words[4:]
    if any(not port.isdigit() or len(port) > 5 or int(port) > 65535 for port in ports):
        raise NotProxied("no port")
    return Origin(_plain(source), int(ports[0]))


def length_of(head: bytes) -> int:
    """Octets that follow the first `HEAD_2` of version 2. Raises NotProxied."""
    if len(head) != HEAD_2 or not head.startswith(SIGNATURE):
        raise NotProxied("no signature of version 2")
    if head[12] not in (0x20, 0x21):
        raise NotProxied("another version or command")
    length = int.from_bytes(head[14:16], "big")
    if length > MOST_2:
        raise NotProxied("more than may follow")
    return length


def block_origin(head: bytes, rest: bytes) -> Origin | None:
    """Whom a header of version 2 names; None for LOCAL and for unknown addresses: the peer itself. Raises NotProxied."""
    if len(rest) != length_of(head):
        raise NotProxied("cut short")
    if head[12] == 0x20:
        return None
    family = head[13]
    if family == 0x00:
        return None
    size = {0x11: 4, 0x21: 16}.get(family)
    if size is None:
        raise NotProxied("neither TCP over IPv4 nor over IPv6")
    if len(rest) < 2 * size + 4:
        raise NotProxied("addresses are cut short")
    source: IPv4Address | IPv6Address
    source = IPv4Address(rest[:4]) if size == 4 else IPv6Address(rest[:16])
    port = int.from_bytes(rest[2 * size : 2 * size + 2], "big")
    return Origin(_plain(source), port, _by_tls(rest[2 * size + 4 :]))


def _plain(address: IPv4Address | IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(address if mapped is None else mapped)


def _by_tls(extensions: bytes) -> bool:
    """Whether an extension says that the client spoke TLS to the balancer. Raises NotProxied for one that is cut short."""
    secure = False
    while extensions:
        if len(extensions) < 3:
            raise NotProxied("an extension is cut short")
        size = int.from_bytes(extensions[1:3], "big")
        value = extensions[3 : 3 + size]
        if len(value) != size:
            raise NotProxied("an extension is cut short")
        if extensions[0] == _TLV_SSL:
            if size < 5:
                raise NotProxied("an extension is cut short")
            secure = bool(value[0] & _CLIENT_SSL)
        extensions = extensions[3 + size :]
    return secure
