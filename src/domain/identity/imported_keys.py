"""API keys that were somebody else's before: known by the SHA-256 of their text, and found by an id made from that.

The id is keyed (HMAC with the pepper), so that it can be shown without helping anybody to guess a short text.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final

from spork.domain.identity.consumers import KeyText, base62

#: How ids of imported keys begin; no id that is made here has a dash in it.
PREFIX: Final = "ext-"
#: Characters of a text that may be a key: a shorter one can be guessed.
SHORTEST: Final = 16
LONGEST: Final = 512
_ID_LENGTH: Final = 16
_VISIBLE: Final = frozenset(range(0x21, 0x7F))


def may_be_key(text: bytes) -> bool:
    """Whether a text could be an imported key: printable ASCII without spaces, of a sensible length."""
    return SHORTEST <= len(text) <= LONGEST and _VISIBLE.issuperset(text)


def imported_key(pepper: bytes, digest: bytes) -> KeyText:
    """The id and secret by which the key whose text has this SHA-256 is kept."""
    marked = hmac.digest(pepper, b"imported key " + digest, "sha256")
    return KeyText(PREFIX + base62(int.from_bytes(marked[:12], "big"), _ID_LENGTH), digest.hex())


def digest_of(text: str) -> bytes:
    """The SHA-256 of a key's text. Raises ValueError for one that could not be a key."""
    raw = text.encode("utf-8")
    if not may_be_key(raw):
        raise ValueError(f"a key's text is {SHORTEST} to {LONGEST} printable characters without spaces")
    if raw.startswith(b"spk_"):
        raise ValueError("a text that begins with spk_ is a key of a gateway: bring it with its export")
    return sha256(raw).digest()


def digest_from(text: str) -> bytes:
    """The SHA-256 that `text` says in hex. Raises ValueError."""
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise ValueError("sha256 is 64 hex digits")
    return digest
