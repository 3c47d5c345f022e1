"""Tags: names under which stored answers are purged together (RFC 9875, and the older header fields of caches).

A tag is kept as a short digest of its kind and name: groups belong to their origin (RFC 9875 2), the others to the gateway.
"""

from __future__ import annotations

import hashlib
from typing import Final

from spork.domain.http.caching.facts import ResponseFacts
from spork.domain.http.caching.structured import parse_strings

#: The most tags of one answer that are looked at (RFC 9875 asks for 128 at least).
MOST: Final = 128
EVERYTHING: Final = b"everything"


def tag(kind: str, *names: bytes) -> bytes:
    """Twelve octets that stand for a tag."""
    hashed = hashlib.blake2b(kind.encode("ascii"), digest_size=12)
    for name in names:
        hashed.update(b"\0" + name)
    return hashed.digest()


def named(name: bytes) -> bytes:
    """The tag an operator purges by name."""
    return tag("tag", name)


def of_route(route: str) -> bytes:
    return tag("route", route.encode())


def of_url(host: bytes, path_and_query: bytes) -> bytes:
    return tag("url", host, path_and_query)


def of_consumer(consumer: bytes) -> bytes:
    return tag("consumer", consumer)


def of_group(scheme: str, host: bytes, group: bytes) -> bytes:
    return tag("group", scheme.encode("ascii"), host, group)


def response_tags(facts: ResponseFacts, scheme: str, host: bytes) -> list[bytes]:
    """The tags a response names: its groups, which an operator may purge by name too, and its surrogate keys."""
    found: list[bytes] = []
    for group in groups(facts.values(b"cache-groups")):
        found += (of_group(scheme, host, group), named(group))
    names: list[bytes] = []
    for value in (*facts.values(b"surrogate-key"), *facts.values(b"xkey")):
        names += value.split()
    for value in facts.values(b"cache-tag"):
        names += [name for part in value.split(b",") if (name := part.strip())]
    found += [named(name) for name in names]
    return list(dict.fromkeys(found))[: 2 * MOST]


def groups(values: list[bytes]) -> list[bytes]:
    """The groups of Cache-Groups or Cache-Group-Invalidation; none when the field is malformed."""
    return (parse_strings(b", ".join(values)) or [])[:MOST] if values else []
