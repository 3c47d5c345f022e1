"""Which store a part of the gateway keeps its state in: this process, or the Redis that a fleet shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

# A gateway that shares nothing does not import a Redis client.
if TYPE_CHECKING:
    from spork.adapters.redis.store.connection import RedisConnection

#: What only background work asks of Redis may take this long, seconds.
BACKGROUND_SECONDS = 0.5


def store_kind(shared: str) -> str:
    """`memory` or `redis`, for `providers.Selector`. `shared` is the configuration's."""
    return "memory" if shared == "memory" else "redis"


def redis_connection(url: str) -> RedisConnection:
    """A connection for the request path: a slow answer is worse than none."""
    from spork.adapters.redis.store.connection import connect

    return connect(url)


def background_connection(url: str, connections: int = 4, operation: float = BACKGROUND_SECONDS) -> RedisConnection:
    """A connection for work beside the requests. `operation` is the longest that one command may take, in seconds."""
    from spork.adapters.redis.store.connection import connect

    return connect(url, connections=connections, operation=operation)
