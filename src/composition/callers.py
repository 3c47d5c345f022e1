"""Callers of one gateway process: consumers, keys, sessions, tokens and their revocation, and the policies that ask."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dependency_injector import containers, providers
from sqlalchemy.ext.asyncio import AsyncEngine

from spork.adapters.memory.announcements import MemoryAnnouncements
from spork.adapters.memory.signatures import MemorySignatures
from spork.adapters.sqlalchemy.identity import SqlRecords
from spork.adapters.sqlalchemy.sessions import SqlSessions
from spork.application.admin.callers import CallerControl
from spork.application.callers.consumers import Consumers
from spork.application.callers.failures import FailedAuthentication
from spork.application.callers.keys import KeyRing, Keys
from spork.application.callers.ports import Announcements, BodySchema
from spork.application.callers.self_service import AuthDesk
from spork.application.callers.sessions import Sessions
from spork.application.callers.trust import RevocationSync
from spork.application.configuration.model import Configuration
from spork.application.configuration.name_spaces import name_spaces
from spork.application.exchange.exchange import Current, Snapshot
from spork.application.guards.authorization import AuthorizationPolicy
from spork.application.guards.credentials import CredentialsPolicy
from spork.application.guards.csrf import CsrfPolicy
from spork.application.guards.decode import DecodingPolicy
from spork.application.guards.external import Deciders, ExternalAuthorization, ExternalDecisions
from spork.application.guards.policy import Policy
from spork.application.guards.schema import SchemaPolicy
from spork.application.guards.screen import ScreenPolicy
from spork.application.guards.webhook import WebhookPolicy
from spork.application.kernel.clock import Clock
from spork.application.kernel.events import EventSink
from spork.application.kernel.tasks import end
from spork.composition.codings import codings
from spork.composition.lazily import LazyFetcher
from spork.composition.records import prepare_records
from spork.composition.secrets import key_pepper, pepper_mark, signing_key
from spork.composition.stores import background_connection, store_kind
from spork.composition.verifiers import AuthMethods, Authorities, Verifiers
from spork.domain.identity.revocation import RevocationSet
from spork.domain.security.threat_rules import Screen
from spork.plugins.hosting import PluginHost

# What a configuration may do without is imported where it is built: each of these is a tenth of a second of start-up.
if TYPE_CHECKING:
    from spork.adapters.httpx.fetch import HttpCalls
    from spork.adapters.jwt.signer import JwtIdentitySigner
    from spork.adapters.redis.fleet.signatures import RedisSignatures
    from spork.adapters.redis.store.connection import RedisConnection

log = logging.getLogger("spork.identity")

#: Seconds between two writings of when sessions were last used.
WRITE_EVERY = 5.0


def _http_calls() -> HttpCalls:
    from spork.adapters.httpx.fetch import HttpCalls

    return HttpCalls()


def _fleet_announcements(connection: RedisConnection, clock: Clock) -> Announcements:
    from spork.adapters.redis.fleet.announcements import RedisAnnouncements

    return RedisAnnouncements(connection.client, clock.unix)


def _fleet_signatures(connection: RedisConnection) -> RedisSignatures:
    from spork.adapters.redis.fleet.signatures import RedisSignatures

    return RedisSignatures(connection.client, MemorySignatures())


def _deciders(calls: LazyFetcher, clock: Clock) -> Deciders:
    """What asks services about requests; circuits and connections outlast configurations."""
    from spork.adapters.httpx.external_policy import HttpDeciders

    return HttpDeciders(Authorities(calls, clock).named)


def _signer(configured: str, state_dir: str) -> JwtIdentitySigner:
    from spork.adapters.jwt.signer import JwtIdentitySigner

    return JwtIdentitySigner(signing_key(configured, state_dir))


def _consumers(configuration: Configuration, records: SqlRecords) -> Consumers:
    return Consumers(configuration.consumers, records, name_spaces(configuration))


def _body_schema(file: str) -> BodySchema:
    from spork.adapters.jsonschema_rs.body_schema import JsonBodySchema

    return JsonBodySchema(Path(file).read_text())


def _desk(
    current: Current,
    verifiers: Verifiers,
    authorities: Authorities,
    ring: KeyRing,
    sessions: Sessions,
    failures: FailedAuthentication,
    clock: Clock,
) -> AuthDesk:
    def in_force() -> Configuration:
        return current.snapshot.configuration

    return AuthDesk(
        lambda: verifiers.of(in_force()).all(),
        ring,
        sessions,
        failures,
        clock,
        lambda: authorities.login_service(in_force()),
    )


def _policies(
    pepper: bytes,
    methods: AuthMethods,
    signer: Callable[[], JwtIdentitySigner],
    failures: FailedAuthentication,
    sessions: Sessions,
    events: EventSink | None,
    deciders: Callable[[], Deciders],
    decisions: ExternalDecisions,
) -> tuple[Policy, ...]:
    """The policies of routes that need something of callers. `signer` makes its key on first use, `deciders` what asks
    services about requests."""
    return (
        CsrfPolicy(hashlib.sha256(b"spork csrf " + pepper).digest(), events),
        CredentialsPolicy(methods.named, lambda: signer().sign, failures, sessions, events),
        AuthorizationPolicy(events),
        ExternalAuthorization(deciders, decisions, events),
        WebhookPolicy(events),
        DecodingPolicy(codings()),
        ScreenPolicy(codings(), Screen(), events),
        SchemaPolicy(codings(), _body_schema),
    )


class CallersInForce:
    """Follows the configuration in force: its consumers are known, its issuers trusted, no others."""

    def __init__(self, consumers: Consumers, trust: RevocationSync, verifiers: Verifiers) -> None:
        self._consumers = consumers
        self._trust = trust
        self._verifiers = verifiers

    def swapped(self, before: Snapshot, after: Snapshot) -> None:
        """Another configuration is in force."""
        configuration = after.configuration
        self._consumers.declare(configuration.consumers, name_spaces(configuration))
        self._trust.forget()
        self._trust.keep_only(self._verifiers.of(configuration).all())


@contextlib.asynccontextmanager
async def _running(
    engine: AsyncEngine,
    records: SqlRecords,
    state_dir: str,
    pepper: bytes,
    trust: RevocationSync,
    sessions: Sessions,
    calls: LazyFetcher,
    external_calls: LazyFetcher,
    connection: RedisConnection | None,
) -> AsyncIterator[None]:
    """Records ready, trust current, sessions written down, until the block ends. Raises RecordsNotReady."""
    await prepare_records(engine, records, state_dir, pepper_mark(pepper))
    await trust.open()
    writing = asyncio.create_task(_write_down(sessions))
    try:
        yield
    finally:
        await end([writing])
        with contextlib.suppress(Exception):
            await sessions.write_down()
        await trust.close()
        await calls.close()
        await external_calls.close()
        if connection is not None:
            await connection.close()


async def _write_down(sessions: Sessions) -> None:
    while True:
        await asyncio.sleep(WRITE_EVERY)
        try:
            await sessions.write_down()
        except Exception as error:
            log.warning("sessions were not written down: %s", error)


class CallersContainer(containers.DeclarativeContainer):
    """`policies` are what routes get of it, `control` what operators do, `desk` what callers ask for themselves."""

    configuration: providers.Dependency[Configuration] = providers.Dependency()
    clock: providers.Dependency[Any] = providers.Dependency()
    current: providers.Dependency[Current] = providers.Dependency()
    engine: providers.Dependency[AsyncEngine] = providers.Dependency()
    limiter: providers.Dependency[Any] = providers.Dependency()
    events: providers.Dependency[Any] = providers.Dependency()
    plugins: providers.Dependency[PluginHost | None] = providers.Dependency(default=None)

    kind = providers.Callable(store_kind, configuration.provided.shared)
    nothing: providers.Object[None] = providers.Object(None)
    connection = providers.Selector(
        kind, memory=nothing, redis=providers.Singleton(background_connection, configuration.provided.shared)
    )
    calls = providers.Singleton(LazyFetcher, _http_calls)
    #: Of their own, so that slow policies do not take the connections that tokens are checked over.
    external_calls = providers.Singleton(LazyFetcher, _http_calls)
    deciders = providers.Singleton(_deciders, external_calls, clock)
    external_decisions = providers.Singleton(ExternalDecisions)
    pepper = providers.Singleton(key_pepper, configuration.provided.state_dir)
    records = providers.Singleton(SqlRecords, engine, clock.provided.unix)
    revoked = providers.Singleton(RevocationSet)
    consumers = providers.Singleton(_consumers, configuration, records)
    announcements = providers.Selector(
        kind,
        memory=providers.Singleton(MemoryAnnouncements),
        redis=providers.Singleton(_fleet_announcements, connection, clock),
    )
    signatures = providers.Selector(
        kind,
        memory=providers.Singleton(MemorySignatures),
        redis=providers.Singleton(_fleet_signatures, connection),
    )
    #: Apart from signatures, so that neither pushes the other out.
    proofs = providers.Selector(
        kind,
        memory=providers.Singleton(MemorySignatures),
        redis=providers.Singleton(_fleet_signatures, connection),
    )
    ring = providers.Singleton(KeyRing, records, pepper, revoked, consumers.provided.named)
    trust = providers.Singleton(
        RevocationSync, records, records, announcements, revoked, ring, consumers, clock.provided.unix
    )
    keys = providers.Singleton(
        Keys, records, pepper, trust.provided.key_changed, revoke_everywhere=trust.provided.revoke
    )
    sessions = providers.Singleton(
        Sessions, providers.Singleton(SqlSessions, engine), trust, clock.provided.unix, keys.provided.revoke
    )
    control = providers.Singleton(CallerControl, keys, sessions, consumers, trust, clock.provided.unix)
    failures = providers.Singleton(FailedAuthentication, limiter)
    signer = providers.Singleton(_signer, configuration.provided.signing_key, configuration.provided.state_dir)
    authorities = providers.Singleton(Authorities, calls, clock)
    verifiers = providers.Singleton(Verifiers, calls, authorities, revoked, consumers, trust)
    methods = providers.Singleton(AuthMethods, verifiers, ring, consumers, signatures, proofs, plugins)
    policies = providers.Callable(
        _policies,
        pepper,
        methods,
        signer.provider,
        failures,
        sessions,
        events,
        deciders.provider,
        external_decisions,
    )
    desk = providers.Singleton(_desk, current, verifiers, authorities, ring, sessions, failures, clock)
    in_force = providers.Singleton(CallersInForce, consumers, trust, verifiers)
    running = providers.Callable(
        _running,
        engine,
        records,
        configuration.provided.state_dir,
        pepper,
        trust,
        sessions,
        calls,
        external_calls,
        connection,
    )
