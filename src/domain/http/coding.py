"""Content codings as HTTP names them: what a body is coded in, what a client accepts, and the fields that say so.

RFC 9110 8.4.1 (codings), 12.5.3 (Accept-Encoding), 12.5.5 (Vary), 8.8.3.3 (a coded answer has another strong ETag).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from spork.domain.http.head import Header

#: Codings in the order in which a tie of the client's preferences is settled.
CODINGS: Final[tuple[str, ...]] = ("zstd", "br", "gzip")
#: What is text and mostly not compressed yet.
COMPRESSED_TYPES: Final[tuple[str, ...]] = (
    "application/json",
    "text/*",
    "application/javascript",
    "application/xml",
    "image/svg+xml",
)
#: Decoded bytes up to which a body may be of any ratio: so much harms nobody, and short texts repeat themselves.
HARMLESS: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class DecodePolicy:
    """Codings that request bodies may have, and how many decoded bytes one coded byte may become."""

    codings: tuple[str, ...] = ("gzip", "zstd", "br")
    ratio: int = 100


@dataclass(frozen=True, slots=True)
class CompressionPolicy:
    """Which answers are compressed. `minimum` in bytes; a type may end in `/*`; `secrets` also those with Set-Cookie."""

    codings: tuple[str, ...] = CODINGS
    minimum: int = 1024
    types: tuple[str, ...] = COMPRESSED_TYPES
    secrets: bool = False


def codings_of(headers: Iterable[Header]) -> tuple[str, ...]:
    """The codings of a body in the order they were applied; `identity` is none, `x-gzip` is gzip (RFC 9110 8.4.1.3)."""
    found: list[str] = []
    for name, value in headers:
        if name == b"content-encoding":
            for part in value.split(b","):
                word = part.strip().lower().decode("latin-1")
                if word and word != "identity":
                    found.append("gzip" if word == "x-gzip" else word)
    return tuple(found)


def quality(parameters: Sequence[bytes]) -> float:
    """The `q` among parameters (RFC 9110 12.4.2): 1 when absent, 0 when it cannot be read."""
    for parameter in parameters:
        name, _, value = parameter.partition(b"=")
        if name.strip().lower() == b"q":
            try:
                weight = float(value.strip())
            except ValueError:
                return 0.0
            return weight if 0.0 <= weight <= 1.0 else 0.0
    return 1.0


def negotiate(accepted: Iterable[bytes], offered: Sequence[str]) -> str:
    """The coding to use among `offered` for these Accept-Encoding values, "" for none.

    No field at all means no coding: the field is a client's only word that it can decode. Highest weight first, ties in
    the order of `offered`; identity wins where its weight is higher than every offered one's.
    """
    weights: dict[str, float] = {}
    for value in accepted:
        for part in value.split(b","):
            name, *parameters = part.split(b";")
            word = name.strip().lower().decode("latin-1")
            if word:
                weights["gzip" if word == "x-gzip" else word] = quality(parameters)
    anything = weights.get("*", 0.0)
    best, found = 0.0, ""
    for name_ in offered:
        weight = weights.get(name_, anything)
        if weight > best:
            best, found = weight, name_
    return "" if weights.get("identity", 0.0) > best else found


def merge_vary(headers: list[Header], names: Sequence[bytes]) -> list[Header]:
    """`headers` with one Vary that has what stood there and `names`; `*` stays as it is."""
    members: list[bytes] = []
    for name, value in headers:
        if name == b"vary":
            members += [member for part in value.split(b",") if (member := part.strip())]
    kept = [header for header in headers if header[0] != b"vary"]
    if b"*" in members:
        return [*kept, (b"vary", b"*")]
    known = {member.lower() for member in members}
    for member in names:
        if member not in known:
            known.add(member)
            members.append(b"-".join(word.capitalize() for word in member.split(b"-")))
    unique = dict.fromkeys(members)
    return [*kept, (b"vary", b", ".join(unique))]


def weakened(tag: bytes) -> bytes:
    """The entity tag of an answer whose bytes were changed: `W/"x"` (RFC 9110 8.8.1)."""
    return tag if tag[:2] == b"W/" or tag[:1] != b'"' else b"W/" + tag


def covers(types: Sequence[str], kind: str) -> bool:
    """Whether a media type (lower-case, without parameters) is among `types`; `+json` counts as application/json."""
    for wanted in types:
        if wanted == kind or wanted == "*/*" or (wanted.endswith("/*") and kind.startswith(wanted[:-1])):
            return True
        if wanted == "application/json" and kind.endswith("+json"):
            return True
    return False
