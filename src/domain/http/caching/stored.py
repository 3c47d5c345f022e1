"""A stored response: what is kept of an answer, and how old it is (RFC 9111 4.2.3)."""

from __future__ import annotations

from typing import Any, Final

from spork.domain.http.caching.dates import format_date
from spork.domain.http.caching.facts import ResponseFacts
from spork.domain.http.caching.storing import Store, stored_fields
from spork.domain.http.head import Header

#: What an entry costs beside its body and fields, bytes.
OVERHEAD: Final = 1024


class StoredResponse:
    """One stored answer. Immutable but for `delivery`, `checked` and `soft_at`, which belong to the process that holds it.

    Times are Unix seconds. `born` is when the origin made it, as far as its age tells; it is fresh until `fresh_until`.
    `variant` are the normalised request values of the fields in `vary`. `tags` are digests; `began` is where the journal of
    purges stood when its fill began, so a purge after that covers it.
    """

    __slots__ = (
        "began",
        "body",
        "born",
        "checked",
        "delivery",
        "delivery_plan",
        "etag",
        "fresh_until",
        "headers",
        "last_modified",
        "length",
        "may_be_stale",
        "size",
        "soft_at",
        "stale_if_error",
        "stale_while_revalidate",
        "status",
        "stored_at",
        "tags",
        "validate_always",
        "variant",
        "vary",
    )

    def __init__(
        self,
        status: int,
        headers: tuple[Header, ...],
        body: bytes,
        *,
        born: float,
        stored_at: float,
        fresh_until: float,
        stale_while_revalidate: float = 0.0,
        stale_if_error: float = 0.0,
        may_be_stale: bool = True,
        validate_always: bool = False,
        vary: tuple[bytes, ...] = (),
        variant: tuple[bytes, ...] = (),
        tags: tuple[bytes, ...] = (),
        etag: bytes = b"",
        last_modified: bytes = b"",
        began: float = 0,
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.length = len(body)
        #: Bytes it is counted with.
        self.size = OVERHEAD + self.length + sum([len(name) + len(value) for name, value in headers])
        self.born = born
        self.stored_at = stored_at
        self.fresh_until = fresh_until
        self.stale_while_revalidate = stale_while_revalidate
        self.stale_if_error = stale_if_error
        self.may_be_stale = may_be_stale
        self.validate_always = validate_always
        self.vary = vary
        self.variant = variant
        self.tags = tags
        self.etag = etag
        self.last_modified = last_modified
        self.began = began
        #: Where the journal of purges stood when this entry was last compared with it.
        self.checked = -1
        #: When it was purged softly: stale from then on, but allowed in its stale windows.
        self.soft_at: float | None = None
        self.delivery: list[Header] | None = None
        self.delivery_plan: object = None

    def __repr__(self) -> str:
        return f"<StoredResponse {self.status} {self.length} bytes until {self.fresh_until:.0f}>"

    @property
    def kept_until(self) -> float:
        """After this moment it is of no use, unless it can be validated."""
        return self.fresh_until + max(self.stale_while_revalidate, self.stale_if_error)

    def age(self, now: float) -> int:
        """Seconds since the origin made it (RFC 9111 4.2.3)."""
        return max(0, int(now - self.born))

    def with_body(self, body: bytes) -> StoredResponse:
        """The same answer once its body is whole; its length is stated for certain."""
        headers = self.headers
        if not any(name == b"content-length" for name, _ in headers) and self.status not in (204, 304):
            headers = (*headers, (b"content-length", b"%d" % len(body)))
        return self._copy(headers=headers, body=body)

    def for_variant(self, vary: tuple[bytes, ...], variant: tuple[bytes, ...]) -> StoredResponse:
        """The same answer for another request that it was validated for."""
        return self._copy(vary=vary, variant=variant)

    def _copy(self, **changes: Any) -> StoredResponse:
        values: dict[str, Any] = {
            name: getattr(self, name)
            for name in (
                "body", "born", "stored_at", "fresh_until", "stale_while_revalidate", "stale_if_error", "may_be_stale",
                "validate_always", "vary", "variant", "tags", "etag", "last_modified", "began",
            )
        }  # fmt: skip
        values["headers"] = self.headers
        values.update(changes)
        return StoredResponse(self.status, values.pop("headers"), values.pop("body"), **values)


def store(
    status: int,
    headers: list[Header],
    facts: ResponseFacts,
    decision: Store,
    asked_at: float,
    answered_at: float,
    *,
    variant: tuple[bytes, ...] = (),
    tags: tuple[bytes, ...] = (),
    began: float = 0,
    body: bytes = b"",
) -> StoredResponse:
    """The entry of an answer that was asked for at `asked_at` and whose head arrived at `answered_at` (Unix seconds)."""
    kept = stored_fields(headers, decision.drop)
    if not facts.has_date:
        kept = [header for header in kept if header[0] != b"date"]
        kept.append((b"date", format_date(answered_at)))
    # RFC 9111 4.2.3: apparent age, and the Age received corrected by the delay; the larger one counts.
    apparent = max(0.0, answered_at - facts.date)
    corrected = facts.age + (answered_at - asked_at)
    # A Date says whole seconds: an answer made in this second is not a part of one old.
    initial = max(apparent if apparent >= 1.0 else 0.0, corrected)
    born = answered_at - initial
    return StoredResponse(
        status,
        tuple(kept),
        body,
        born=born,
        stored_at=answered_at,
        fresh_until=born + decision.lifetime,
        stale_while_revalidate=decision.stale_while_revalidate,
        stale_if_error=decision.stale_if_error,
        may_be_stale=decision.may_be_stale,
        validate_always=decision.validate_always,
        vary=facts.vary,
        variant=variant,
        tags=tags,
        etag=facts.etag,
        last_modified=facts.last_modified,
        began=began,
    )
