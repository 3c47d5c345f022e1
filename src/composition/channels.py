"""Channels of one gateway process: the broker, the ways in, and their life."""

from __future__ import annotations

import contextlib
import random
import uuid
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from dependency_injector import containers, providers

from spork.adapters.memory.broker import MemoryBroker
from spork.application.channels.ports import Broker
from spork.application.channels.service import Channels
from spork.application.configuration.model import Configuration
from spork.application.exchange.exchange import Snapshot
from spork.application.kernel.clock import Clock
from spork.application.live.registry import LiveExchanges
from spork.domain.channels.settings import ChannelSettings

# A gateway that shares nothing does not import a Redis client.
if TYPE_CHECKING:
    from spork.adapters.redis.channels.broker import RedisBroker
    from spork.adapters.redis.store.connection import RedisConnection

#: Seconds that publishing may take, and more than a read waits for events.
OPERATION = 0.5


def _shared(configuration: Configuration) -> str:
    """`fleet` where events are shared with the fleet, else `process`."""
    return "fleet" if configuration.shared != "memory" and configuration.channels is not None else "process"


def _settings(configuration: Configuration) -> ChannelSettings:
    return configuration.channels or ChannelSettings()


def _connection(url: str) -> RedisConnection:
    from spork.adapters.redis.store.connection import connect

    return connect(url, operation=OPERATION)


def _memory(settings: ChannelSettings, clock: Clock) -> MemoryBroker:
    return MemoryBroker(settings.history, clock.unix)


def _redis(connection: RedisConnection, settings: ChannelSettings, node: str, clock: Clock) -> RedisBroker:
    from spork.adapters.redis.channels.broker import RedisBroker

    return RedisBroker(connection.client, settings.history, node, clock.unix)


def _service(broker: Broker, live: LiveExchanges, clock: Clock, chance: random.Random, node: str) -> Channels:
    return Channels(broker, live, clock, chance, lambda: str(uuid.uuid4()), node)


class ChannelsInForce:
    """Follows the configuration in force."""

    def __init__(self, service: Channels) -> None:
        self._service = service

    def swapped(self, before: Snapshot, after: Snapshot) -> None:
        """Another configuration is in force."""
        self._service.configured(after.configuration.channels)


@contextlib.asynccontextmanager
async def _running(service: Channels, connection: RedisConnection | None) -> AsyncIterator[None]:
    """Follow the fleet until the block ends."""
    await service.open()
    try:
        yield
    finally:
        await service.close()
        if connection is not None:
            await connection.close()


class ChannelsContainer(containers.DeclarativeContainer):
    """`service` answers the routes of channels."""

    configuration: providers.Dependency[Configuration] = providers.Dependency()
    clock: providers.Dependency[Any] = providers.Dependency()
    chance: providers.Dependency[Any] = providers.Dependency()
    live: providers.Dependency[LiveExchanges] = providers.Dependency()
    node: providers.Dependency[str] = providers.Dependency()

    shared = providers.Callable(_shared, configuration)
    settings = providers.Callable(_settings, configuration)
    nothing: providers.Object[None] = providers.Object(None)
    connection = providers.Selector(
        shared, process=nothing, fleet=providers.Singleton(_connection, configuration.provided.shared)
    )
    broker = providers.Selector(
        shared,
        process=providers.Singleton(_memory, settings, clock),
        fleet=providers.Singleton(_redis, connection, settings, node, clock),
    )
    service = providers.Singleton(_service, broker, live, clock, chance, node)
    in_force = providers.Singleton(ChannelsInForce, service)
    running = providers.Callable(_running, service, connection)
