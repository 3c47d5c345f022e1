"""Claims of a verified caller as request headers of the operator's own names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from spork.domain.http.head import GATEWAY_OWNED, HOP_BY_HOP, Header
from spork.domain.identity.tokens import claim_at, percent_encoded

#: Headers that no claim may be: what says who speaks to whom, how long a body is, or is the gateway's own.
RESERVED: Final = frozenset(
    (b"host", b"content-length", b"content-type", b"cookie", b"authorization", b"expect", b"via")
) | frozenset(HOP_BY_HOP | GATEWAY_OWNED)


def is_free(name: str) -> bool:
    """Whether a header of this name may be told to targets by somebody other than the gateway."""
    return name.lower().encode("ascii") not in RESERVED and not name.lower().startswith(("x-user-", "x-consumer-"))


def claim_headers(claims: Mapping[str, object], wanted: Sequence[tuple[bytes, str]]) -> list[Header]:
    """A header for each (name, dotted path of a claim) that the claims have as text, number, truth or a list of these.

    Encoded as `X-User-*` are: lists joined by commas, `%` and commas inside an element percent-encoded.
    """
    found: list[Header] = []
    for name, path in wanted:
        value = claim_at(claims, path)
        if isinstance(value, list | tuple):
            parts = [_text(item) for item in value]
            if parts and all(part is not None for part in parts):
                found.append((name, b",".join(percent_encoded(part or "", b",") for part in parts)))
        else:
            text = _text(value)
            if text is not None:
                found.append((name, percent_encoded(text)))
    return found


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) else None
