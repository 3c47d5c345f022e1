"""Long computations in turns: work written as a generator of short steps, between which the event loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, TypeVar

T = TypeVar("T")

#: After how many seconds a turn ends with the step that is under way: with steps below a millisecond, in two at most.
TURN = 0.001


async def in_turns(steps: Generator[Any, None, T], monotonic: Callable[[], float], turn: float = TURN) -> T:
    """Run `steps` to their end, at most about `turn` seconds at once; what they return."""
    while True:
        until = monotonic() + turn
        try:
            while monotonic() < until:
                next(steps)
        except StopIteration as done:
            result: T = done.value
            return result
        await asyncio.sleep(0)
