"""The authority of a request: `uri-host [":" port]` (RFC 9110 7.2, RFC 3986 3.2.2), and which ones are served.

Narrower than the grammar where the grammar is only ever used to confuse: no userinfo, no percent-encoding, no
sub-delims, no empty labels. Names are compared as strings, never as patterns.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address
from typing import Final

_NAME: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_LONGEST_NAME: Final = 255


def authority(raw: bytes) -> bytes | None:
    """The normal form (lower case, no root dot, no empty port) of a Host or authority, or None if it is none."""
    if raw[:1] == b"[":
        host, bracket, rest = raw.partition(b"]")
        if not bracket or not _is_ipv6(host[1:]):
            return None
        host += b"]"
        if not rest:
            return host.lower()
        if rest[:1] != b":":
            return None
        port = rest[1:]
    else:
        host, _, port = raw.partition(b":")
        if host[-1:] == b".":
            host = host[:-1]
        if not host or len(host) > _LONGEST_NAME or host.translate(None, _NAME):
            return None
        if host[:1] == b"." or host[-1:] == b"." or b".." in host:
            return None
    if not port:
        return host.lower()
    if not port.isdigit() or len(port) > 5 or int(port) > 65535:
        return None
    return host.lower() + b":" + port


def _is_ipv6(text: bytes) -> bool:
    if b"%" in text:  # a zone is meaningless to anyone but the sender (RFC 6874)
        return False
    try:
        IPv6Address(text.decode("ascii"))
    except ValueError:
        return False
    return True


def without_port(host: bytes) -> bytes:
    """The host of a normal-form authority."""
    if host[-1:] == b"]":
        return host
    name, colon, _ = host.rpartition(b":")
    return name if colon else host


class HostList:
    """Accepted authorities: equal names, `*.suffix` for any name below it, with a port only where one is written.

    Empty accepts any.
    """

    __slots__ = ("_exact", "_suffixes")

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        written = [host.lower().encode("ascii", "replace") for host in hosts]
        self._exact = frozenset(host for host in written if not host.startswith(b"*."))
        self._suffixes = tuple(host[1:] for host in written if host.startswith(b"*."))

    def accepts(self, host: bytes) -> bool:
        """Whether a normal-form authority is on the list."""
        if not self._exact and not self._suffixes:
            return True
        name = without_port(host)
        if host in self._exact or name in self._exact:
            return True
        return any(candidate.endswith(suffix) for suffix in self._suffixes for candidate in (host, name))
