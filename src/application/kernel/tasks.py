"""Ending background work for certain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
Soon: TypeAlias = T | Awaitable[T]


async def now_or_later(answer: T | Awaitable[T]) -> T:
    """Wait for what has to be waited for."""
    if isinstance(answer, Awaitable):
        return await answer
    return answer


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel `tasks` and wait until they are over.

    Cancels again what is not: client libraries are known to swallow a cancellation that arrives in a bad moment.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.1)
