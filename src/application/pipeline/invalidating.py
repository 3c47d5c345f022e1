"""What an unsafe request changed, by its answer: tags to purge (RFC 9111 4.4, RFC 9875 3)."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urljoin, urlsplit

from spork.application.exchange.exchange import Exchange
from spork.domain.http.caching import tags
from spork.domain.http.caching.keys import query_part
from spork.domain.http.caching.policy import CachePolicy
from spork.domain.http.head import Header, canonical_path

_PLACES = frozenset((b"location", b"content-location"))


def invalidated_by(exchange: Exchange, policy: CachePolicy | None, headers: Sequence[Header]) -> list[bytes]:
    """The request's own URL, the places of the same origin its answer names, and the groups it says to invalidate."""
    head = exchange.head
    changed = url_tags(head.host, head.path, head.query, policy)
    base = f"{head.scheme}://{head.host.decode('ascii')}{head.target.decode('latin-1')}"
    groups: list[bytes] = []
    for name, value in headers:
        if name in _PLACES:
            changed += _place(base, value, exchange, policy)
        elif name == b"cache-group-invalidation":
            groups.append(value)
    for group in tags.groups(groups):
        changed.append(tags.of_group(head.scheme, head.host, group))
    return changed


def url_tags(host: bytes, path: bytes, query: bytes | None, policy: CachePolicy | None) -> list[bytes]:
    """The tags of a URL: as it stands, and as the route's key sees it."""
    found = [tags.of_url(host, path if query is None else path + b"?" + query)]
    if policy is not None:
        found.append(tags.of_url(host, path + query_part(query, policy.query)))
    return list(dict.fromkeys(found))


def _place(base: str, value: bytes, exchange: Exchange, policy: CachePolicy | None) -> list[bytes]:
    """The tags of a place an answer names; none for another origin, which this one may not speak for."""
    try:
        parts = urlsplit(urljoin(base, value.decode("ascii")))
        path = canonical_path((parts.path or "/").encode("ascii"))
    except (ValueError, UnicodeError):
        return []
    head = exchange.head
    if parts.scheme != head.scheme or parts.netloc.lower().encode("ascii") != head.host or not isinstance(path, bytes):
        return []
    return url_tags(head.host, path, parts.query.encode("ascii") if parts.query else None, policy)
