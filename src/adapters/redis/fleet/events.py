"""Events to a Redis stream, one entry each, the stream trimmed to a bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from spork.application.telemetry.event_delivery import CloudEvent, HubGone, encode

#: Entries a stream keeps, about.
KEPT = 10_000


class RedisHub:
    """`application.event_delivery.Hub`: XADD with the fields `type` and `event` (structured CloudEvents JSON).

    `redis` is a `redis.asyncio` client, closed with this.
    """

    def __init__(self, redis: Any, stream: str = "spork:events") -> None:
        self._redis = redis
        self._stream = stream

    async def deliver(self, events: Sequence[CloudEvent]) -> None:
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                for event in events:
                    fields = {"type": event["type"], "event": encode(event)}
                    pipe.xadd(self._stream, fields, maxlen=KEPT, approximate=True)
                await pipe.execute()
        except (RedisError, OSError, TimeoutError) as error:
            raise HubGone(str(error)) from error

    async def close(self) -> None:
        await self._redis.aclose()
