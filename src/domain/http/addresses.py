"""Sets of IP addresses: allow and deny lists, key restrictions, trusted peers."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache


@lru_cache(maxsize=4096)
def parse_address(text: str) -> tuple[int, int] | None:
    """(version, value) of a textual address, an IPv4-mapped IPv6 address as the IPv4 it is; None when it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.version, int(address)


class AddressSet:
    """Addresses given as networks (`10.0.0.0/8`, `2001:db8::/32`, a single address), and `unix` for peers on a unix socket, who
    have none: "".

    Membership costs one probe per distinct prefix length, however many networks there are.
    Raises ValueError for a text that is no network.
    """

    __slots__ = ("_networks", "_unix", "texts")

    def __init__(self, networks: Iterable[str]) -> None:
        self.texts = tuple(networks)
        by_shift: dict[tuple[int, int], set[int]] = {}
        self._unix = "unix" in self.texts
        for text in self.texts:
            if text == "unix":
                continue
            network = ipaddress.ip_network(text, strict=False)
            shift = network.max_prefixlen - network.prefixlen
            by_shift.setdefault((network.version, shift), set()).add(int(network.network_address) >> shift)
        self._networks = tuple((version, shift, frozenset(values)) for (version, shift), values in by_shift.items())

    def __contains__(self, address: str) -> bool:
        parsed = parse_address(address)
        if parsed is None:
            return self._unix and not address
        version, value = parsed
        return any(v == version and value >> shift in values for v, shift, values in self._networks)

    def __bool__(self) -> bool:
        return bool(self._networks) or self._unix

    def __repr__(self) -> str:
        return f"AddressSet({', '.join(self.texts)})"
