"""The shape of a compact JWS, read strictly before any cryptography (RFC 7515 7.1, RFC 8725 3).

Three segments of unpadded, canonical base64url; header and payload are one JSON object each, no name twice, no number
that is not finite, UTF-8 only. What does not fit is refused with a slug; nothing here trusts a byte of the token.
"""

from __future__ import annotations

import binascii
import json
from dataclasses import dataclass

from spork.domain.http.strict_json import members_once, no_constant

#: Longest token taken, bytes.
MAX_TOKEN = 8 * 1024

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_TO_URL = bytes.maketrans(b"+/", b"-_")


class Malformed(Exception):
    """Not a well-formed token; `reason` is a slug."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Token:
    """A token taken apart. `signed` is what the signature is over. The payload stays raw until the signature holds."""

    header: dict[str, object]
    payload: bytes
    signed: bytes
    signature: bytes


def take_apart(token: bytes) -> Token:
    """The parts of a compact JWS. Raises Malformed; `not_a_jwt` when it does not even look like one."""
    if len(token) > MAX_TOKEN:
        raise Malformed("too_long")
    segments = token.split(b".")
    if len(segments) != 3:
        raise Malformed("not_a_jwt")
    header = json_object(decode(segments[0], "header_malformed"), "header_malformed")
    payload = decode(segments[1], "payload_malformed")
    signature = decode(segments[2], "signature_malformed")
    if not signature:
        raise Malformed("signature_missing")
    return Token(header, payload, segments[0] + b"." + segments[1], signature)


def decode(segment: bytes, reason: str) -> bytes:
    """Strict base64url without padding (RFC 7515 2): one text per value, so trailing bits must be zero."""
    if segment.translate(None, _ALPHABET) or len(segment) % 4 == 1:
        raise Malformed(reason)
    standard = segment.translate(_TO_STANDARD) + b"=" * (-len(segment) % 4)
    decoded = binascii.a2b_base64(standard, strict_mode=True) if standard else b""
    if binascii.b2a_base64(decoded, newline=False).rstrip(b"=").translate(_TO_URL) != segment:
        raise Malformed(reason)
    return decoded


def json_object(raw: bytes, reason: str) -> dict[str, object]:
    """One JSON object, read strictly. Raises Malformed."""
    try:
        value = json.loads(
            raw.decode("utf-8"), object_pairs_hook=members_once, parse_constant=no_constant, parse_float=float
        )
    except (ValueError, RecursionError) as error:
        raise Malformed(reason) from error
    if not isinstance(value, dict):
        raise Malformed(reason)
    return value
