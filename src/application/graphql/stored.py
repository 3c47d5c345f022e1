"""Documents that clients registered by asking (automatic persisted queries): the port behind which a store stands."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol


class DocumentStore(Protocol):
    """Texts by their digest, shared by everybody who serves. A store that is away knows nothing, and is never an error."""

    def get(self, scope: str, digest: str) -> str | Awaitable[str | None] | None:
        """The text, or None."""

    def put(self, scope: str, digest: str, text: str, ttl: float, most: int) -> None:
        """Keep `text` for `ttl` seconds, and of the scope's no more than `most`, those used last. Best effort; does not wait."""
