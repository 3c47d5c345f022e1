"""Cache-Control directives, and the targeted fields that stand in for it (RFC 9111 5.2, RFC 9213).

A directive's text inside another's quoted string is no directive. Numbers are 1*DIGIT; more than 2^31 is 2^31. A lifetime that
is anything else (quoted, negative, a fraction) counts as 0: stale (RFC 9111 4.2.1). Of two lifetimes the shorter one counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from spork.domain.http.caching.structured import parse_dictionary

#: The largest number of seconds that is told apart (RFC 9111 1.2.2).
LONGEST: Final = 2**31
_LIFETIMES: Final = frozenset((b"max-age", b"s-maxage", b"stale-while-revalidate", b"stale-if-error"))


def delta_seconds(value: bytes) -> int | None:
    """Seconds of a `delta-seconds` (RFC 9111 1.2.2), or None when it is none."""
    return min(int(value), LONGEST) if value.isdigit() and value.isascii() else None


class Directives:
    """The directives of one message, read once. Lifetimes in whole seconds, None when absent.

    `present` is False when the message carried none at all. `no_cache_fields` and `private_fields` are lower-case names.
    """

    __slots__ = (
        "max_age",
        "max_stale",
        "min_fresh",
        "must_revalidate",
        "must_understand",
        "no_cache",
        "no_cache_fields",
        "no_store",
        "only_if_cached",
        "present",
        "private",
        "private_fields",
        "proxy_revalidate",
        "public",
        "s_maxage",
        "stale_if_error",
        "stale_while_revalidate",
    )

    def __init__(self, pairs: dict[bytes, bytes | None]) -> None:
        self.present = bool(pairs)
        self.no_store = b"no-store" in pairs
        self.no_cache, self.no_cache_fields = _with_fields(pairs, b"no-cache")
        self.private, self.private_fields = _with_fields(pairs, b"private")
        self.public = b"public" in pairs
        self.must_revalidate = b"must-revalidate" in pairs
        self.proxy_revalidate = b"proxy-revalidate" in pairs
        self.must_understand = b"must-understand" in pairs
        self.only_if_cached = b"only-if-cached" in pairs
        self.max_age = _lifetime(pairs, b"max-age")
        self.s_maxage = _lifetime(pairs, b"s-maxage")
        self.stale_while_revalidate = _window(pairs, b"stale-while-revalidate")
        self.stale_if_error = _window(pairs, b"stale-if-error")
        self.min_fresh = _window(pairs, b"min-fresh")
        #: Without a value: any staleness will do.
        self.max_stale = LONGEST if pairs.get(b"max-stale", b"") is None else _window(pairs, b"max-stale")

    def __repr__(self) -> str:
        said = {name: value for name in self.__slots__ if (value := getattr(self, name))}
        return f"<Directives {said}>"


def parse_directives(values: Iterable[bytes]) -> dict[bytes, bytes | None]:
    """Name (lower-case) to value of every directive in the lines of a Cache-Control field. A quoted value keeps its quotes."""
    joined = b",".join(values)
    members = _split(joined) if b'"' in joined else joined.split(b",")
    pairs: dict[bytes, bytes | None] = {}
    for member in members:
        name, equals, value = member.strip(b" \t").partition(b"=")
        if not name:
            continue
        name = name.lower()
        given = value if equals else None
        pairs[name] = _shorter(pairs[name], given) if name in pairs and name in _LIFETIMES else given
    return pairs


def read_cache_control(values: Iterable[bytes]) -> Directives:
    """The directives of a Cache-Control field's lines."""
    return Directives(parse_directives(values))


def read_targeted(values: Iterable[bytes]) -> Directives | None:
    """The directives of a targeted field (RFC 9213 2.1), a Structured Fields dictionary; None when it is to be ignored."""
    members = parse_dictionary(b",".join(values))
    if not members:
        return None
    pairs: dict[bytes, bytes | None] = {}
    for name, value in members.items():
        if value is True:
            pairs[name] = None
        elif isinstance(value, int) and value is not False:
            pairs[name] = b"%d" % value
        elif isinstance(value, bytes):
            pairs[name] = b'"' + value + b'"'
    # A lifetime of another type than Integer says nothing at all (RFC 9213 2.1).
    for name in _LIFETIMES:
        if name in pairs and not isinstance(members[name], int):
            del pairs[name]
    return Directives(pairs)


def _shorter(one: bytes | None, other: bytes | None) -> bytes | None:
    if one is None or other is None:
        return None
    first, second = delta_seconds(one), delta_seconds(other)
    if first is None or second is None:
        return one if first is None else other
    return one if first <= second else other


def _lifetime(pairs: dict[bytes, bytes | None], name: bytes) -> int | None:
    if name not in pairs:
        return None
    return delta_seconds(pairs[name] or b"") or 0


def _window(pairs: dict[bytes, bytes | None], name: bytes) -> int | None:
    return delta_seconds(pairs.get(name) or b"")


def _with_fields(pairs: dict[bytes, bytes | None], name: bytes) -> tuple[bool, frozenset[bytes]]:
    """Whether the directive stands for the whole message, and the fields it names when it does not."""
    if name not in pairs:
        return False, frozenset()
    value = pairs[name]
    if value is None:
        return True, frozenset()
    named = frozenset(field for part in value.strip(b'"').split(b",") if (field := part.strip(b" \t").lower()))
    return not named, named


def _split(joined: bytes) -> list[bytes]:
    """The members of a list whose quoted strings may hold commas."""
    members: list[bytes] = []
    start = at = 0
    quoted = False
    while at < len(joined):
        octet = joined[at]
        if quoted:
            if octet == 0x5C:
                at += 1
            elif octet == 0x22:
                quoted = False
        elif octet == 0x22:
            quoted = True
        elif octet == 0x2C:
            members.append(joined[start:at])
            start = at + 1
        at += 1
    members.append(joined[start:])
    return members
