"""Live exchanges as operators see them: this process's, or those of the whole fleet where it shares a Redis."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from dependency_injector import containers, providers

from spork.application.configuration.model import Configuration
from spork.application.live.registry import LiveExchanges
from spork.composition.stores import background_connection, store_kind

# A gateway that shares nothing does not import a Redis client.
if TYPE_CHECKING:
    from spork.adapters.redis.fleet.live import RedisLive
    from spork.adapters.redis.store.connection import RedisConnection


def _of_fleet(connection: RedisConnection, live: LiveExchanges, node: str) -> RedisLive:
    from spork.adapters.redis.fleet.live import RedisLive

    return RedisLive(connection.client, live, node)


@contextlib.asynccontextmanager
async def _running(fleet: RedisLive | None, connection: RedisConnection | None) -> AsyncIterator[None]:
    """Answer other nodes until the block ends."""
    if fleet is not None:
        await fleet.open()
    try:
        yield
    finally:
        if fleet is not None:
            await fleet.shut()
        if connection is not None:
            await connection.close()


class LiveContainer(containers.DeclarativeContainer):
    """`control` lists live exchanges and ends them."""

    configuration: providers.Dependency[Configuration] = providers.Dependency()
    live: providers.Dependency[LiveExchanges] = providers.Dependency()
    node: providers.Dependency[str] = providers.Dependency()

    kind = providers.Callable(store_kind, configuration.provided.shared)
    nothing: providers.Object[None] = providers.Object(None)
    connection = providers.Selector(
        kind, memory=nothing, redis=providers.Singleton(background_connection, configuration.provided.shared)
    )
    fleet = providers.Selector(kind, memory=nothing, redis=providers.Singleton(_of_fleet, connection, live, node))
    control = providers.Selector(kind, memory=live, redis=fleet)
    running = providers.Callable(_running, fleet, connection)
