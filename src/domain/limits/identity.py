"""For whom a limit counts: texts that name a caller, the same on every replica."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from hashlib import blake2b
from typing import Final

#: The longest identity kept as it is, in characters.
LONGEST: Final = 96


@lru_cache(maxsize=65536)
def network_of(address: str) -> str:
    """The address a client is counted under: IPv4 as it is, IPv6 by its /64 (a subscriber has at least that many).

    An IPv4 address mapped into IPv6 is the IPv4 address. What is no address (a unix socket's peer) counts as itself.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))


def bounded(identity: str) -> str:
    """An identity of bounded length: what a client may choose freely must not decide how much is remembered of it."""
    if len(identity) <= LONGEST:
        return identity
    return f"{identity[:24]}…{blake2b(identity.encode('utf-8', 'replace'), digest_size=16).hexdigest()}"


def masked(identity: str) -> str:
    """A secret-looking identity as operators may see it: the first four and the last two characters, of a
    short one only the last two."""
    return f"{identity[:4]}…{identity[-2:]}" if len(identity) > 8 else f"…{identity[-2:]}"
