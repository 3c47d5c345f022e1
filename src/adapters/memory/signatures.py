"""Signatures that this process has taken."""

from __future__ import annotations


class MemorySignatures:
    """`spork.application.guards.shared_secrets.TakenSignatures` in process.

    What is over is forgotten when `most` are held, and then again each time twice as many are as were left: each costs
    a few steps, however many there are.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._least = self._most = most
        self._taken: dict[bytes, float] = {}

    def __repr__(self) -> str:
        return f"MemorySignatures({len(self._taken)})"

    def take(self, signature: bytes, now: float, keep: float) -> bool:
        if self._taken.get(signature, 0.0) > now:
            return False
        if len(self._taken) >= self._most:
            self._taken = {known: until for known, until in self._taken.items() if until > now}
            self._most = max(self._least, 2 * len(self._taken))
        self._taken[signature] = now + keep
        return True
