"""Which addresses a gateway may be told to send traffic to by somebody who is not its operator.

Refused always: link-local, cloud metadata, multicast, unspecified and reserved addresses, and every way to write such an
address inside another one (IPv4-mapped, NAT64, 6to4, Teredo). Refused unless a network on the allow-list holds it:
loopback and private ranges. Everything else, the public Internet, is taken. A name is taken only when *every* address
that it resolves to is; and it is the vetted address that gets connected to, so that a later answer of the name's server
changes nothing (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Where clouds keep their metadata and credentials outside the link-local range.
METADATA: frozenset[Address] = frozenset(
    ipaddress.ip_address(text) for text in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")
)
METADATA_NAMES = ("metadata.google.internal", "metadata.goog", "metadata", "instance-data")

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE = ipaddress.ip_network("::/96")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\Z")


@dataclass(frozen=True, slots=True)
class AddressRefused:
    """Why an address is not taken: a stable slug, and one sentence that says what to do."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Origin:
    """A service's URL taken apart, its host not vetted yet. `address` is set when the host is a literal address."""

    url: str
    scheme: str
    host: str
    port: int
    path: str
    address: Address | None


def parse_origin(url: str) -> Origin | AddressRefused:
    """The parts of `http(s)://host[:port][/path]`. Whatever an address parser and a resolver could read differently is
    refused: user names, fragments, and host names made of numbers (`127.1`, `2130706433`, `0x7f.1`)."""
    if len(url) > 2048 or any(c <= " " or c > "~" or c == "\\" for c in url):
        return AddressRefused("malformed", "The URL holds characters that have no place in it.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return AddressRefused("malformed", "This is not a URL.")
    if parts.scheme not in ("http", "https"):
        return AddressRefused(
            "scheme", f"Only http and https services can be registered, not {parts.scheme or 'this'}."
        )
    if "@" in parts.netloc:
        return AddressRefused("userinfo", "The URL must not carry a user name.")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        return AddressRefused("malformed", "The URL must not carry a query or a fragment.")
    host = (parts.hostname or "").rstrip(".")
    if port is None:
        port = 443 if parts.scheme == "https" else 80
    if port == 0:
        return AddressRefused("malformed", "Port 0 is no port.")
    address = _literal(host)
    if address is None and not _is_name(host):
        return AddressRefused("malformed", f"{host or 'An empty host'} is neither a name nor an address.")
    return Origin(url, parts.scheme, host, port, parts.path.rstrip("/"), address)


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_name(host: str) -> bool:
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.match(label) for label in labels):
        return False
    last = labels[-1].lower()
    return not (last.isdigit() or re.match(r"0x[0-9a-f]*\Z", last))


def vet(origin: Origin, resolved: Sequence[str], allowed: Sequence[str]) -> Address | AddressRefused:
    """The address to connect to. `resolved` are the addresses a name has now (nothing for a literal address);
    `allowed` are networks (CIDR) of the operator's."""
    if origin.host.lower() in METADATA_NAMES:
        return AddressRefused("metadata", "This name belongs to a cloud's metadata service.")
    candidates = [origin.address] if origin.address is not None else [_literal(text) for text in resolved]
    if not candidates:
        return AddressRefused("unresolved", f"{origin.host} does not resolve to any address.")
    networks = [ipaddress.ip_network(text, strict=False) for text in allowed]
    chosen: Address | None = None
    for candidate in candidates:
        if candidate is None:
            return AddressRefused("unresolved", f"{origin.host} resolves to something that is no address.")
        refused = _refusal(candidate, networks)
        if refused is not None:
            return refused
        chosen = chosen or candidate
    assert chosen is not None
    return chosen


def _refusal(address: Address, allowed: Sequence[Network]) -> AddressRefused | None:
    if getattr(address, "scope_id", None):
        return AddressRefused("link_local", "Addresses with a zone are not taken.")
    for seen in (address, *_inside(address)):
        kind = _never(seen)
        if kind:
            return AddressRefused(kind, f"{_WORDS[kind]} addresses are never taken.")
    for seen in (*_inside(address), address):
        if any(seen.version == network.version and seen in network for network in allowed):
            continue
        if seen.is_loopback:
            return AddressRefused("loopback", "Loopback addresses are taken only from networks in registration.allow.")
        if not seen.is_global and seen not in _NAT64:
            return AddressRefused("private", "Private addresses are taken only from networks in registration.allow.")
    return None


_WORDS = {
    "metadata": "Metadata service",
    "link_local": "Link-local",
    "multicast": "Multicast",
    "unspecified": "Unspecified",
    "reserved": "Reserved",
}


def _never(address: Address) -> str:
    if address in METADATA or address == ipaddress.ip_address("169.254.169.254"):
        return "metadata"
    if address.is_link_local:
        return "link_local"
    if address.is_multicast:
        return "multicast"
    if address.is_unspecified or (address.version == 4 and int(address) >> 24 == 0):
        return "unspecified"
    if address.version == 4 and (address.is_reserved or int(address) == 0xFFFFFFFF):
        return "reserved"
    return ""


def _inside(address: Address) -> list[Address]:
    """IPv4 addresses that an IPv6 address stands for, by any of the known embeddings."""
    if address.version == 4:
        return []
    assert isinstance(address, ipaddress.IPv6Address)
    inside: list[Address] = []
    if address.ipv4_mapped is not None:
        inside.append(address.ipv4_mapped)
    if address.sixtofour is not None:
        inside.append(address.sixtofour)
    if address.teredo is not None:
        inside.extend(address.teredo)
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        inside.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return inside


def may_connect(address: str, allow: Sequence[str]) -> bool:
    """Whether an upstream whose targets are restricted to `allow` (networks, or `public`) may be connected to at `address`."""
    literal = _literal(address)
    if literal is None:
        return False
    networks = [ipaddress.ip_network(text, strict=False) for text in allow if text != "public"]
    if any(literal.version == network.version and literal in network for network in networks):
        return True
    return "public" in allow and _refusal(literal, networks) is None
