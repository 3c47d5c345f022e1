"""What a response says about its own caching, read once from its header fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from spork.domain.http.caching.dates import parse_date
from spork.domain.http.caching.directives import Directives, delta_seconds, read_cache_control, read_targeted
from spork.domain.http.head import Header

#: Targeted fields this cache obeys, the most specific first (RFC 9213 2.2).
TARGETED: Final = (b"spork-cache-control", b"cdn-cache-control")
#: Fields that only speak to this cache: taken off towards clients.
FOR_US: Final = frozenset((b"spork-cache-control", b"surrogate-key", b"cache-tag", b"xkey"))

_READ: Final = frozenset(
    (
        b"cache-control", b"expires", b"date", b"age", b"vary", b"etag", b"last-modified", b"set-cookie", b"set-cookie2",
        b"content-encoding", b"content-length", b"cache-groups", b"cache-group-invalidation", b"location", b"content-location",
        *TARGETED, *FOR_US,
    )
)  # fmt: skip


class ResponseFacts:
    """A response's caching fields. `directives` are those of the first targeted field that is valid, else of Cache-Control.

    `date` is the target's, or `now` without one. `vary` holds lower-case names; `vary_all` says that `*` was among them.
    """

    __slots__ = (
        "age",
        "content_encoding",
        "date",
        "directives",
        "etag",
        "expires",
        "expires_given",
        "fields",
        "has_date",
        "last_modified",
        "length",
        "sets_cookie",
        "targeted",
        "vary",
        "vary_all",
    )

    def __init__(self, headers: Sequence[Header], now: float) -> None:
        fields: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            if name in _READ:
                fields.setdefault(name, []).append(value)
        self.fields = fields
        self.directives, self.targeted = _directives(fields)
        dated = fields.get(b"date")
        date = None if dated is None else parse_date(dated[0], now)
        self.has_date = date is not None
        self.date = now if date is None else date
        expires = fields.get(b"expires")
        self.expires_given = expires is not None
        self.expires = _expires(expires, now)
        self.age = _age(fields.get(b"age"))
        self.etag = fields[b"etag"][0] if b"etag" in fields else b""
        self.last_modified = fields[b"last-modified"][0] if b"last-modified" in fields else b""
        self.sets_cookie = b"set-cookie" in fields or b"set-cookie2" in fields
        self.content_encoding = fields[b"content-encoding"][0].lower() if b"content-encoding" in fields else b""
        length = fields.get(b"content-length")
        self.length = None if length is None else delta_seconds(length[0])
        self.vary, self.vary_all = _vary(fields.get(b"vary"))

    def values(self, name: bytes) -> list[bytes]:
        """The values of one of the fields that are read here."""
        return self.fields.get(name, [])


def _directives(fields: dict[bytes, list[bytes]]) -> tuple[Directives, bool]:
    for name in TARGETED:
        if name in fields:
            found = read_targeted(fields[name])
            if found is not None:
                return found, True
    return read_cache_control(fields.get(b"cache-control", ())), False


def _expires(values: list[bytes] | None, now: float) -> float | None:
    """The earliest date given; None for a field that is absent or invalid, which means expired (RFC 9111 5.3)."""
    if values is None:
        return None
    dates = [parse_date(value, now) for value in values]
    found = [date for date in dates if date is not None]
    return min(found) if len(found) == len(dates) else None


def _age(values: list[bytes] | None) -> float:
    """The first of several Age values; one that is no number is ignored (RFC 9111 5.1)."""
    if not values:
        return 0.0
    return float(delta_seconds(values[0].partition(b",")[0].strip()) or 0)


def _vary(values: list[bytes] | None) -> tuple[tuple[bytes, ...], bool]:
    if values is None:
        return (), False
    names = {name for value in values for part in value.split(b",") if (name := part.strip(b" \t").lower())}
    return tuple(sorted(names - {b"*"})), b"*" in names
