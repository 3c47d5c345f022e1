"""What a document is called: the SHA-256 of its text (GraphQL over HTTP, persisted documents)."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

PREFIX: Final = "sha256:"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def digest_of(text: str) -> str:
    """64 hexadecimal digits. Raises ValueError for a text that no UTF-8 can carry."""
    return sha256(text.encode("utf-8")).hexdigest()


def is_digest(text: str) -> bool:
    """Whether `text` could be one."""
    return _DIGEST.fullmatch(text) is not None


def plain_id(document_id: str) -> str:
    """A document id as it is looked up: the digits of `sha256:` ones, any other as it is. Raises ValueError for one whose prefix
    is reserved, or whose digits are none."""
    prefix, colon, digits = document_id.partition(":")
    if not colon or prefix.startswith("x-"):
        return document_id
    if prefix != "sha256" or not is_digest(digits):
        raise ValueError("a document id is sha256: and 64 lower-case hexadecimal digits, x-..., or has no colon")
    return digits
