"""Idempotency keys of one process, the oldest forgotten beyond a bound."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from spork.application.guards.idempotency import Begun, InFlight, KeptAnswer, Mismatch


@dataclass(slots=True)
class _KeptAnswer:
    fingerprint: str
    token: str
    until: float
    answer: KeptAnswer | None = None


class MemoryIdempotency:
    """`spork.application.guards.idempotency.IdempotencyStore` in process. `monotonic` answers seconds."""

    def __init__(self, monotonic: Callable[[], float], most: int = 10_000) -> None:
        self._monotonic = monotonic
        self._most = most
        self._entries: OrderedDict[str, _KeptAnswer] = OrderedDict()

    async def begin(self, key: str, fingerprint: str, lease: float) -> Begun | InFlight | Mismatch | KeptAnswer:
        now = self._monotonic()
        known = self._entries.get(key)
        if known is not None and known.until > now:
            if known.fingerprint != fingerprint:
                return Mismatch()
            return known.answer or InFlight()
        token = secrets.token_hex(8)
        self._entries[key] = _KeptAnswer(fingerprint, token, now + lease)
        self._entries.move_to_end(key)
        while len(self._entries) > self._most:
            self._entries.popitem(last=False)
        return Begun(token)

    async def settle(self, key: str, token: str, answer: KeptAnswer | None, keep: float) -> None:
        known = self._entries.get(key)
        if known is None or known.token != token:
            return
        if answer is None:
            del self._entries[key]
        else:
            known.answer, known.until = answer, self._monotonic() + keep
