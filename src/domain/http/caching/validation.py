"""Conditional requests: ours to targets, clients' to us, and what a 304 changes (RFC 9111 4.3, RFC 9110 13)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from spork.domain.http.caching.dates import parse_date
from spork.domain.http.caching.facts import ResponseFacts
from spork.domain.http.caching.stored import StoredResponse, store
from spork.domain.http.caching.storing import Store, stored_fields
from spork.domain.http.head import Header, Headers

#: Request fields that make a request conditional.
CONDITIONS: Final = frozenset(
    (b"if-none-match", b"if-modified-since", b"if-match", b"if-unmodified-since", b"if-range")
)
#: Those that only an origin can judge for certain.
FOR_THE_ORIGIN: Final = frozenset((b"if-match", b"if-unmodified-since"))
#: Fields of a 304 that do not replace the stored ones: they describe the body, which is kept as it was sent.
_OF_THE_BODY: Final = frozenset(
    (
        b"content-length",
        b"content-encoding",
        b"content-range",
        b"content-md5",
        b"etag",
        b"content-digest",
        b"repr-digest",
    )
)
#: Fields of our 304 to a client (RFC 9110 15.4.5); what describes content is left out.
_OF_A_304: Final = frozenset(
    (b"content-length", b"content-type", b"content-encoding", b"content-language", b"content-range")
)


def conditions(chosen: StoredResponse, variants: Sequence[StoredResponse]) -> list[Header]:
    """The fields that ask a target whether one of `variants` still holds; empty when none has a validator."""
    etags = list(dict.fromkeys(entry.etag for entry in (chosen, *variants) if entry.etag))
    asked: list[Header] = []
    if etags:
        asked.append((b"if-none-match", b", ".join(etags)))
    if chosen.last_modified:
        asked.append((b"if-modified-since", chosen.last_modified))
    return asked


def validated(
    facts: ResponseFacts, chosen: StoredResponse, variants: Sequence[StoredResponse]
) -> StoredResponse | None:
    """The entry that a 304 speaks of (RFC 9111 4.3.3): by its validator, or `chosen` when it names none."""
    if facts.etag:
        for entry in (chosen, *variants):
            if entry.etag and weak(entry.etag) == weak(facts.etag):
                return entry
        # A target that is known by dates alone may learn to name its answers.
        return chosen if not chosen.etag else None
    if facts.last_modified and chosen.last_modified and facts.last_modified != chosen.last_modified:
        return next((entry for entry in variants if entry.last_modified == facts.last_modified), None)
    return chosen


def freshened_headers(entry: StoredResponse, received: Sequence[Header]) -> list[Header]:
    """The stored fields with those of a 304 in their place (RFC 9111 3.2)."""
    news = [header for header in stored_fields(received) if header[0] not in _OF_THE_BODY]
    named = {name for name, _ in news}
    kept = [header for header in entry.headers if header[0] not in named]
    if not any(name == b"etag" for name, _ in kept):
        news += [header for header in received if header[0] == b"etag"]
    return kept + news


def freshened(
    entry: StoredResponse,
    headers: list[Header],
    facts: ResponseFacts,
    decision: Store,
    asked_at: float,
    answered_at: float,
    *,
    variant: tuple[bytes, ...],
    tags: tuple[bytes, ...],
    began: float,
) -> StoredResponse:
    """`entry` after a 304; `headers` are its freshened ones and `facts` what those say."""
    return store(
        entry.status,
        headers,
        facts,
        decision,
        asked_at,
        answered_at,
        variant=variant,
        tags=tags,
        began=began,
        body=entry.body,
    )


def weak(etag: bytes) -> bytes:
    """The opaque part of an entity tag, for the weak comparison (RFC 9110 8.8.3.2)."""
    return etag[2:] if etag[:2] == b"W/" else etag


def not_modified(entry: StoredResponse, headers: Headers, now: float) -> bool:
    """Whether the client's own condition makes this a 304 (RFC 9111 4.3.2): If-None-Match beats If-Modified-Since."""
    if entry.status not in (200, 203):
        return False
    tags = [value for name, value in headers if name == b"if-none-match"]
    if tags:
        return _listed(entry.etag, tags)
    since = next((value for name, value in headers if name == b"if-modified-since"), None)
    if since is None:
        return False
    date = parse_date(since, now)
    if date is None:
        return False
    changed = parse_date(entry.last_modified, now) if entry.last_modified else None
    if changed is None:
        # RFC 9111 4.3.2: without Last-Modified its Date stands in, else the time it was received.
        dated = next((value for name, value in entry.headers if name == b"date"), b"")
        changed = parse_date(dated, now)
    return (entry.stored_at if changed is None else changed) <= date


def not_modified_fields(headers: Iterable[Header]) -> list[Header]:
    """The fields of a 304 made from a stored answer's."""
    return [header for header in headers if header[0] not in _OF_A_304]


def _listed(etag: bytes, values: Iterable[bytes]) -> bool:
    for value in values:
        if value.strip() == b"*":
            return True
        if etag and any(weak(each) == weak(etag) for each in split_etags(value)):
            return True
    return False


def split_etags(value: bytes) -> list[bytes]:
    """The entity tags of a list; commas inside the quotes belong to a tag."""
    tags: list[bytes] = []
    start = 0
    quoted = False
    for at, octet in enumerate(value):
        if octet == 0x22:
            quoted = not quoted
        elif octet == 0x2C and not quoted:
            tags.append(value[start:at].strip())
            start = at + 1
    tags.append(value[start:].strip())
    return [tag for tag in tags if tag]
