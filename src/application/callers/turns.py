"""Whose turn it is to ask an authority: a few questions at a time for each client address, the others wait behind their own.

Without this one client with many bad tokens would stand in every place of the queue, and other callers' good tokens behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from spork.domain.limits.identity import network_of

#: Questions of one address (IPv6: one /64) that are asked at a time, and that may wait for it.
AT_ONCE: Final = 4
WAITING: Final = 128


class TooManyQuestions(Exception):
    """This address has as many questions waiting as it may have."""


class _Line:
    """The questions of one address."""

    __slots__ = ("places", "size")

    def __init__(self, at_once: int) -> None:
        self.places = asyncio.Semaphore(at_once)
        self.size = 0


class ClientTurns:
    """One per process. Holds only addresses that are asking just now."""

    def __init__(self, at_once: int = AT_ONCE, waiting: int = WAITING) -> None:
        self._at_once = at_once
        self._waiting = waiting
        self._lines: dict[str, _Line] = {}

    def __repr__(self) -> str:
        return f"ClientTurns({len(self._lines)} addresses asking)"

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """One of the address's places, as soon as one is free. Raises TooManyQuestions."""
        address = network_of(client)
        line = self._lines.get(address)
        if line is None:
            line = self._lines[address] = _Line(self._at_once)
        if line.size >= self._at_once + self._waiting:
            raise TooManyQuestions(address)
        line.size += 1
        try:
            async with line.places:
                yield
        finally:
            line.size -= 1
            if not line.size:
                self._lines.pop(address, None)
