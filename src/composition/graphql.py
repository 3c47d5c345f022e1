"""GraphQL in one gateway process, put together: documents known and stored, schemas, and the policy of routes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dependency_injector import containers, providers

from spork.adapters.files.documents import read_manifest
from spork.adapters.memory.documents import MemoryDocuments
from spork.adapters.msgspec.json_values import MsgspecJson
from spork.application.configuration.model import Configuration
from spork.application.graphql.documents import DocumentCache
from spork.application.graphql.operations import OperationCounters
from spork.application.graphql.registered import NOTHING, Registered
from spork.application.graphql.stored import DocumentStore
from spork.application.guards.graphql import GraphQLPolicies
from spork.application.guards.policy import Policy
from spork.application.kernel.clock import Clock
from spork.composition.codings import codings
from spork.composition.stores import redis_connection, store_kind
from spork.domain.graphql.policy import GraphQLPolicy
from spork.domain.graphql.schema import Schema
from spork.domain.limits.limit import RateLimiter

if TYPE_CHECKING:
    from spork.adapters.redis.store.connection import RedisConnection


class ConfiguredSources:
    """Reads schemas and manifests from the files that a policy names. Raises ValueError, OSError."""

    def __init__(self) -> None:
        self._schemas: dict[tuple[str, object], Schema] = {}

    def schema(self, policy: GraphQLPolicy) -> Schema | None:
        if not policy.schema:
            return None
        from spork.adapters.graphql_core.schema import compile_schema

        text = Path(policy.schema).read_text(encoding="utf-8")
        key = (text, policy.fields)
        if key not in self._schemas:
            if len(self._schemas) > 20:
                self._schemas.clear()
            self._schemas[key] = compile_schema(text, policy.fields)
        return self._schemas[key]

    def registered(self, policy: GraphQLPolicy) -> Registered:
        return Registered(read_manifest(policy.manifest)) if policy.manifest else NOTHING


def _store(redis: RedisConnection | None, clock: Clock) -> DocumentStore:
    """Where persisted queries are kept: with the fleet, or in this process."""
    if redis is None:
        return MemoryDocuments(clock.monotonic)
    from spork.adapters.redis.fleet.documents import RedisDocuments

    return RedisDocuments(redis.client)


def _policies(
    documents: DocumentCache, limiter: RateLimiter, store: DocumentStore, counters: OperationCounters
) -> tuple[Policy, ...]:
    sources = ConfiguredSources()
    return (GraphQLPolicies(codings(), MsgspecJson(), documents, limiter, store, sources, counters),)


@contextlib.asynccontextmanager
async def _running(connection: RedisConnection | None) -> AsyncIterator[None]:
    try:
        yield
    finally:
        if connection is not None:
            await connection.close()


class GraphQLContainer(containers.DeclarativeContainer):
    """`policies` are what routes get; `documents` those that this process has read."""

    configuration: providers.Dependency[Configuration] = providers.Dependency()
    clock: providers.Dependency[Any] = providers.Dependency()
    limiter: providers.Dependency[RateLimiter] = providers.Dependency()

    kind = providers.Callable(store_kind, configuration.provided.shared)
    nothing: providers.Object[None] = providers.Object(None)
    connection = providers.Selector(
        kind, memory=nothing, redis=providers.Singleton(redis_connection, configuration.provided.shared)
    )
    documents = providers.Singleton(DocumentCache)
    store = providers.Singleton(_store, connection, clock)
    counters = providers.Singleton(OperationCounters, documents)
    policies = providers.Callable(_policies, documents, limiter, store, counters)
    running = providers.Callable(_running, connection)
