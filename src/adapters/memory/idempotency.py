"""Idempotency keys of one process, the oldest forgotten beyond a bound of number and of bytes."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from spork.application.guards.idempotency import Begun, InFlight, KeptAnswer, Mismatch

#: Bytes that all answers kept may take; beyond, the oldest are forgotten.
MOST_BYTES = 64 << 20


@dataclass(slots=True)
class _KeptAnswer:
    fingerprint: str
    token: str
    until: float
    answer: KeptAnswer | None = None


class MemoryIdempotency:
    """`spork.application.guards.idempotency.IdempotencyStore` in process. `monotonic` answers seconds."""

    def __init__(self, monotonic: Callable[[], float], most: int = 10_000, most_bytes: int = MOST_BYTES) -> None:
        self._monotonic = monotonic
        self._most = most
        self._most_bytes = most_bytes
        #: Bytes of the answers kept.
        self.kept_bytes = 0
        self._entries: OrderedDict[str, _KeptAnswer] = OrderedDict()

    async def begin(self, key: str, fingerprint: str, lease: float) -> Begun | InFlight | Mismatch | KeptAnswer:
        now = self._monotonic()
        known = self._entries.get(key)
        if known is not None and known.until > now:
            if known.fingerprint != fingerprint:
                return Mismatch()
            return known.answer or InFlight()
        token = secrets.token_hex(8)
        self._forget(key)
        self._entries[key] = _KeptAnswer(fingerprint, token, now + lease)
        self._entries.move_to_end(key)
        while len(self._entries) > self._most:
            self._forget(next(iter(self._entries)))
        return Begun(token)

    async def settle(self, key: str, token: str, answer: KeptAnswer | None, keep: float) -> None:
        known = self._entries.get(key)
        if known is None or known.token != token:
            return
        if answer is None or size_of(answer) > self._most_bytes:
            self._forget(key)
            return
        known.answer, known.until = answer, self._monotonic() + keep
        self.kept_bytes += size_of(answer)
        for other in list(self._entries):
            if self.kept_bytes <= self._most_bytes:
                break
            if other != key and self._entries[other].answer is not None:
                self._forget(other)

    def _forget(self, key: str) -> None:
        known = self._entries.pop(key, None)
        if known is not None and known.answer is not None:
            self.kept_bytes -= size_of(known.answer)


def size_of(answer: KeptAnswer) -> int:
    """Bytes that a kept answer takes, about."""
    return len(answer.body) + sum(len(name) + len(value) + 100 for name, value in answer.headers) + 500
