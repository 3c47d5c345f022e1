"""Which of a key's variants a request selects (RFC 9111 4.1), with the values normalised that clients write in many ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from spork.domain.http.caching.stored import StoredResponse
from spork.domain.http.head import Header

#: Content codings that are told apart; a client may name any others without making a variant.
CODINGS: Final = (b"br", b"deflate", b"gzip", b"zstd")
#: The most variants kept of one key.
MOST: Final = 16


def variant_of(
    names: Sequence[bytes], headers: Sequence[Header], languages: tuple[bytes, ...] = ()
) -> tuple[bytes, ...]:
    """The normalised values a request has for the fields in `names`; b"" where it has none is told apart from an empty one."""
    return tuple(_value(name, headers, languages) for name in names)


def _value(name: bytes, headers: Sequence[Header], languages: tuple[bytes, ...]) -> bytes:
    lines = [value for key, value in headers if key == name]
    if name == b"accept-encoding":
        return b",".join(accepted_codings(lines))
    if not lines:
        return b""
    if name == b"accept-language" and languages:
        return b"=" + best_language(b",".join(lines), languages)
    return b"=" + b", ".join(part.strip(b" \t") for line in lines for part in line.split(b","))


def accepted_codings(lines: Sequence[bytes]) -> list[bytes]:
    """The codings a client accepts, sorted; q=0 and unknown ones left out, `*` means all known (RFC 9110 12.5.3)."""
    accepted: set[bytes] = set()
    refused: set[bytes] = set()
    for part in b",".join(lines).split(b","):
        coding, _, parameters = part.partition(b";")
        coding = coding.strip().lower().removeprefix(b"x-")
        if quality(parameters) > 0:
            accepted.add(coding)
        else:
            refused.add(coding)
    if b"*" in accepted:
        accepted.update(set(CODINGS) - refused)
    found: list[bytes] = [coding for coding in CODINGS if coding in accepted]
    if b"identity" in refused or (b"*" in refused and b"identity" not in accepted):
        found.append(b"!identity")
    return found


def quality(parameters: bytes) -> float:
    """The weight among a member's parameters, 1 when there is none; 0 when it is no number (RFC 9110 12.4.2)."""
    for parameter in parameters.split(b";"):
        name, _, value = parameter.partition(b"=")
        if name.strip().lower() == b"q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def best_language(value: bytes, languages: tuple[bytes, ...]) -> bytes:
    """The configured language the client likes best, by RFC 4647 3.4 lookup; b"" when it asks for none of them."""
    ranked: list[tuple[float, int, bytes]] = []
    for position, part in enumerate(value.split(b",")):
        tag, _, parameters = part.partition(b";")
        weight = quality(parameters)
        if weight > 0:
            ranked.append((-weight, position, tag.strip().lower()))
    for _, _, tag in sorted(ranked):
        if tag == b"*":
            return languages[0]
        while tag:
            if tag in languages:
                return tag
            tag = tag.rpartition(b"-")[0]
    return b""


def select(
    variants: Sequence[StoredResponse], headers: Sequence[Header], languages: tuple[bytes, ...] = ()
) -> StoredResponse | None:
    """The most recent variant that fits the request, or None. `variants` stand with the newest first."""
    for entry in variants:
        if not entry.vary or fits(entry, variant_of(entry.vary, headers, languages)):
            return entry
    return None


def fits(entry: StoredResponse, variant: tuple[bytes, ...]) -> bool:
    """Whether a request with these normalised values selects `entry`.

    A coded body also fits a client that accepts its coding and fewer others: the target preferred it among more.
    """
    if entry.variant == variant:
        return True
    if b"accept-encoding" not in entry.vary:
        return False
    at = entry.vary.index(b"accept-encoding")
    if entry.variant[:at] + entry.variant[at + 1 :] != variant[:at] + variant[at + 1 :]:
        return False
    offered, accepted = set(entry.variant[at].split(b",")), set(variant[at].split(b","))
    coding = next((value.lower() for name, value in entry.headers if name == b"content-encoding"), b"")
    return bool(coding) and coding in accepted and accepted <= offered
