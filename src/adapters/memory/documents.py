"""Automatic persisted queries of one process: those used last, each for its time."""

from __future__ import annotations

from collections.abc import Callable


class MemoryDocuments:
    """`spork.application.graphql.stored.DocumentStore` in process. `monotonic` answers seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        #: By scope: text and when it ends, by digest, the one used longest ago first.
        self._scopes: dict[str, dict[str, tuple[str, float, float]]] = {}

    def get(self, scope: str, digest: str) -> str | None:
        texts = self._scopes.get(scope)
        found = None if texts is None else texts.pop(digest, None)
        if texts is None or found is None or found[1] <= self._monotonic():
            return None
        text, _, ttl = found
        texts[digest] = (text, self._monotonic() + ttl, ttl)
        return text

    def put(self, scope: str, digest: str, text: str, ttl: float, most: int) -> None:
        texts = self._scopes.setdefault(scope, {})
        texts.pop(digest, None)
        texts[digest] = (text, self._monotonic() + ttl, ttl)
        while len(texts) > most:
            del texts[next(iter(texts))]

    def count(self) -> int:
        """How many are kept."""
        return sum(map(len, self._scopes.values()))
