"""Which text a request means: its own, a registered one, or one that was persisted before."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from spork.application.graphql.registered import Registered
from spork.application.graphql.stored import DocumentStore
from spork.domain.graphql.identity import digest_of
from spork.domain.graphql.judging import MALFORMED, Refusal
from spork.domain.graphql.requests import Asked

_UNKNOWN: Final = Refusal("graphql_document_unknown", "PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound")
_UNSUPPORTED: Final = Refusal("graphql_document_unknown", "PERSISTED_QUERY_NOT_SUPPORTED", "PersistedQueryNotSupported")
_DISAGREE: Final = Refusal(
    MALFORMED, "BAD_REQUEST", "The request is not well-formed: the document and its id disagree."
)
_UNREADABLE: Final = Refusal(MALFORMED, "BAD_REQUEST", "The request is not well-formed: the document is no text.")


class Resolved:
    """A text, its digest, and whether somebody vouched for it: it was registered, or persisted by a request that was let through."""

    __slots__ = ("asked", "digest", "text", "vouched")

    def __init__(self, asked: Asked, text: str, digest: str, vouched: bool) -> None:
        self.asked = asked
        self.text = text
        self.digest = digest
        self.vouched = vouched


async def resolve(asked: Asked, registered: Registered, store: DocumentStore | None, scope: str) -> Resolved | Refusal:
    """The text that `asked` means. `store` None: there are no automatic persisted queries."""
    text = asked.text
    if asked.document_id:
        known = registered.by_id.get(asked.document_id)
        if known is None:
            return _UNKNOWN
        if text and text != known:
            return _DISAGREE
        return Resolved(asked, known, digest_of(known), True)
    if text:
        try:
            digest = digest_of(text)
        except ValueError:
            return _UNREADABLE
        if asked.persisted and asked.persisted != digest:
            return _DISAGREE
        return Resolved(asked, text, digest, digest in registered.digests)
    found = registered.by_id.get(asked.persisted)
    if found is None:
        if store is None:
            return _UNSUPPORTED
        stored = store.get(scope, asked.persisted)
        found = await stored if isinstance(stored, Awaitable) else stored
    if found is None or digest_of(found) != asked.persisted:
        return _UNKNOWN
    return Resolved(asked, found, asked.persisted, True)
