"""Cache keys: what makes two requests ask for the same thing, before Vary (RFC 9111 2)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from spork.domain.http.caching.policy import QueryKey

#: Section (route and its rules), scheme, host, path, query, and whose cache it is.
CacheKey = tuple[bytes, str, bytes, bytes, bytes, bytes]
_EVERYTHING: Final = QueryKey()


def query_part(query: bytes | None, rule: QueryKey) -> bytes:
    """What of the query is part of the key: with its `?`, so that an empty query is told apart from none."""
    if query is None or rule.ignore:
        return b""
    if rule is _EVERYTHING or rule == _EVERYTHING:
        return b"?" + query
    pairs = query.split(b"&")
    if rule.only is not None:
        # Order never matters among the parameters that are named: the rest of the query is not looked at.
        kept = sorted(pair for pair in pairs if _named(pair, rule.only))
    else:
        kept = [pair for pair in pairs if not _named(pair, rule.exceptions)]
    return b"?" + b"&".join(kept) if kept else b""


def _named(pair: bytes, names: Iterable[bytes]) -> bool:
    name = pair.partition(b"=")[0]
    return any(name.startswith(wanted[:-1]) if wanted[-1:] == b"*" else name == wanted for wanted in names)


def digest(key: CacheKey, *more: bytes) -> str:
    """A name for a shared store that shows nothing of the key (credentials may be part of it)."""
    section, scheme, *rest = key
    hashed = hashlib.sha256(scheme.encode("ascii"))
    for part in (section, *rest, *more):
        hashed.update(len(part).to_bytes(4, "big"))
        hashed.update(part)
    return hashed.hexdigest()[:40]
