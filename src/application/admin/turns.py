"""Turns: whoever writes to an object is the only one in the fleet who does, and learns when it was last written to.

A write that names the revision its author saw is a compare-and-set only if nobody writes between the comparison and
the act. So each write takes the object's turn first, on every gateway of the fleet, and gives it back when it is done.
With the turn comes the object's *version*: it moves with each write that changed the object, wherever it was made.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

log = logging.getLogger("spork.operations")

#: Seconds after which the turn of a gateway that vanished ends. No action takes as long.
LEASE: Final = 60.0
#: Seconds a write waits for its turn, and between two tries.
PATIENCE: Final = 10.0
_PAUSE: Final = 0.02
#: Objects whose version one process remembers.
_KEPT: Final = 20_000


class StoreGone(Exception):
    """What keeps turns does not answer."""


class Busy(Exception):
    """Somebody else had the turn for as long as one waits."""


@dataclass(slots=True)
class Turn:
    """The right to write to an object. `version` moves with each change of it, `age` says how many seconds ago it did.

    The holder sets `changed` before it gives the turn back.
    """

    object: str
    token: str
    version: int = 0
    age: float = 0.0
    changed: bool = False


class Turns(Protocol):
    """Where a fleet, or the workers of a gateway, take turns. Raises StoreGone."""

    async def take(self, object: str, lease: float) -> Turn | None:
        """The turn, or None while somebody else has it."""

    async def give_back(self, turn: Turn) -> int:
        """The turn is over; the object's version, a new one if the turn changed it."""


class ProcessTurns:
    """Turns of one process alone."""

    def __init__(self, unix: Callable[[], float]) -> None:
        self._unix = unix
        self._held: dict[str, str] = {}
        self._versions: OrderedDict[str, tuple[int, float]] = OrderedDict()

    async def take(self, object: str, lease: float) -> Turn | None:
        if object in self._held:
            return None
        token = self._held[object] = secrets.token_hex(8)
        version, at = self._versions.get(object, (0, 0.0))
        return Turn(object, token, version, max(0.0, self._unix() - at))

    async def give_back(self, turn: Turn) -> int:
        if self._held.get(turn.object) == turn.token:
            del self._held[turn.object]
        if turn.changed:
            self._versions.pop(turn.object, None)
            self._versions[turn.object] = (turn.version + 1, self._unix())
            if len(self._versions) > _KEPT:
                self._versions.popitem(last=False)
        return self._versions.get(turn.object, (0, 0.0))[0]


@asynccontextmanager
async def turn_of(turns: Turns, object: str, patience: float = PATIENCE) -> AsyncIterator[Turn]:
    """Holds the turn of an object while the block lasts; afterwards its version is the new one. Raises Busy, StoreGone."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while (turn := await turns.take(object, LEASE)) is None:
        if loop.time() >= deadline:
            raise Busy(object)
        await asyncio.sleep(_PAUSE)
    try:
        yield turn
    finally:
        try:
            turn.version = await turns.give_back(turn)
        except StoreGone as error:
            log.warning("the turn of %s ends by itself: %s", object, error)
