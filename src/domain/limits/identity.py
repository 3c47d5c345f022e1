"""For whom a limit counts: texts that name a caller, the same on every replica."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from hashlib import blake2b
from typing import Final

#: The longest identity kept as it is, in characters.
LONGEST: Final = 96
#: Begins an identity that is given by its digest. No text of a client has it.
DISGUISE: Final = "\0"


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
    if DISGUISE in identity:
        identity = identity.replace(DISGUISE, "\ufffd")
    if len(identity) <= LONGEST:
        return identity
    return f"{identity[:24]}…{digest(identity)}"


def digest(identity: str) -> str:
    """What stands for an identity where its text must not."""
    return blake2b(identity.encode("utf-8", "replace"), digest_size=16).hexdigest()


def disguised(identity: str) -> str:
    """An identity that a shared store knows as the same one, and nobody can read."""
    return identity if identity.startswith(DISGUISE) else DISGUISE + digest(identity)


def store_name(identity: str) -> str:
    """What an identity, disguised or not, is called in a shared store."""
    return identity[1:] if identity.startswith(DISGUISE) else digest(identity)


def masked(identity: str) -> str:
    """A secret-looking identity as operators may see it: the first four and the last two characters, of a
    short one only the last two."""
    return f"{identity[:4]}…{identity[-2:]}" if len(identity) > 8 else f"…{identity[-2:]}"
