"""Who may call, put together for one gateway process: records, verifiers, guards, and what keeps trust current.

Part of the composition root, beside container.py. Building opens nothing; `running()` does, while its block lasts.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from spork.adapters.files.state_files import private_directory
from spork.adapters.memory.announcements import MemoryAnnouncements
from spork.adapters.memory.circuit_breaker import MemoryCircuitBreakers
from spork.adapters.memory.signatures import MemorySignatures
from spork.adapters.sqlalchemy.database import is_sqlite
from spork.adapters.sqlalchemy.identity import SqlRecords
from spork.adapters.sqlalchemy.migrations import pending, upgrade
from spork.adapters.sqlalchemy.sessions import SqlSessions
from spork.application.admin.callers import CallerControl
from spork.application.callers.consumers import Consumers
from spork.application.callers.failures import FailedAuthentication
from spork.application.callers.keys import KeyRing, Keys
from spork.application.callers.methods import ApiKeyHeader, BearerToken, ClientCertificate, Method
from spork.application.callers.ports import Announcements, BodySchema
from spork.application.callers.self_service import AuthDesk
from spork.application.callers.sessions import Sessions
from spork.application.callers.shared_secrets import BasicPassword, SignedRequest, TakenSignatures
from spork.application.callers.trust import RevocationSync
from spork.application.callers.verdicts import TokenCache
from spork.application.configuration.model import Configuration
from spork.application.configuration.name_spaces import name_spaces
from spork.application.guards.authorization import AuthorizationPolicy
from spork.application.guards.credentials import CredentialsPolicy, Sign
from spork.application.guards.csrf import CsrfPolicy
from spork.application.guards.decode import DecodingPolicy
from spork.application.guards.policy import Policy
from spork.application.guards.schema import SchemaPolicy
from spork.application.guards.screen import ScreenPolicy
from spork.application.guards.webhook import WebhookPolicy
from spork.application.kernel.clock import Clock
from spork.application.kernel.events import EventSink
from spork.composition.codings import codings
from spork.composition.lazily import LazyFetcher
from spork.composition.secrets import key_pepper, pepper_mark, signing_key
from spork.domain.http.addresses import AddressSet
from spork.domain.identity.revocation import RevocationSet
from spork.domain.identity.tokens import ClaimNames, Issuer, Refused, TokenOutcome, TokenVerifier
from spork.domain.limits.limit import RateLimiter
from spork.domain.security.threat_rules import Screen
from spork.domain.upstreams.circuit import BreakerPolicy

# What a configuration may do without is imported where it is built: each of these is a tenth of a second of start-up.
if TYPE_CHECKING:
    from spork.adapters.httpx.auth_service import HttpAuthService
    from spork.adapters.httpx.fetch import HttpCalls
    from spork.adapters.httpx.introspection import Authority
    from spork.adapters.jwt.signer import JwtIdentitySigner
    from spork.adapters.jwt.verifier import Published
    from spork.adapters.redis.store.connection import RedisConnection

log = logging.getLogger("spork.identity")

#: An authority is left alone after five failures in a row, and tried again two seconds later.
AUTHORITY_BREAKER = BreakerPolicy(window=10.0, min_requests=10, failure_ratio=0.5, consecutive=5, open_for=2.0)


class _NoIssuer:
    """The TokenVerifier of a configuration that trusts nobody's tokens."""

    def verify(self, token: bytes, now: float) -> TokenOutcome:
        return Refused("issuer_unknown")


class RecordsNotReady(RuntimeError):
    """The records cannot be served from; the text says what to do."""


@dataclass(frozen=True, slots=True)
class _Verifiers:
    """The verifiers of one configuration, by method name."""

    jwt: TokenCache
    introspection: tuple[TokenCache, ...]
    auth_service: TokenCache | None

    def all(self) -> tuple[TokenCache, ...]:
        last = (self.auth_service,) if self.auth_service is not None else ()
        return (self.jwt, *self.introspection, *last)


class CallerSide:
    """Everything about callers in this process. `policies()` are what it compiles for routes."""

    def __init__(
        self,
        configuration: Configuration,
        clock: Clock,
        engine: AsyncEngine,
        limiter: RateLimiter,
        events: EventSink | None = None,
        calls: HttpCalls | None = None,
    ) -> None:
        self._configuration = configuration
        self._clock = clock
        self._engine = engine
        self._limiter = limiter
        self._events = events
        self.calls = LazyFetcher(lambda: calls or _http_calls())
        self._redis: RedisConnection | None = None
        self.records = SqlRecords(engine, clock.unix)
        self.revoked = RevocationSet()
        self.consumers = Consumers(configuration.consumers, self.records, name_spaces(configuration))
        self.announcements = self._announcements()
        pepper = key_pepper(configuration.state_dir)
        self._pepper_mark = pepper_mark(pepper)
        self._csrf_key = hashlib.sha256(b"spork csrf " + pepper).digest()
        self.ring = KeyRing(self.records, pepper, self.revoked, self.consumers.named)
        self.trust = RevocationSync(
            self.records, self.records, self.announcements, self.revoked, self.ring, self.consumers, clock.unix
        )
        self.keys = Keys(self.records, pepper, self.trust.key_changed, revoke_everywhere=self.trust.revoke)
        self.sessions = Sessions(SqlSessions(engine), self.trust, clock.unix, self.keys.revoke)
        self.control = CallerControl(self.keys, self.sessions, self.consumers, self.trust, clock.unix)
        self.failures = FailedAuthentication(limiter)
        self._breakers = MemoryCircuitBreakers(random.Random().random)
        self._screen = Screen()
        #: Keys of issuers, kept over configurations: an issuer that is down when a setting changes keeps its keys.
        self._published: Published = {}
        self._verifiers: tuple[tuple[object, ...], _Verifiers] | None = None
        self._basic: BasicPassword | None = None
        self._signed = SignedRequest(self.consumers.named, self._signatures())
        self._signer: JwtIdentitySigner | None = None

    def _announcements(self) -> Announcements:
        if self._configuration.shared == "memory":
            return MemoryAnnouncements()
        from spork.adapters.redis.fleet.announcements import RedisAnnouncements
        from spork.adapters.redis.store.connection import connect

        self._redis = connect(self._configuration.shared, connections=4, operation=0.5)
        return RedisAnnouncements(self._redis.client, self._clock.unix)

    def _signatures(self) -> TakenSignatures:
        if self._redis is None:
            return MemorySignatures()
        from spork.adapters.redis.fleet.signatures import RedisSignatures

        return RedisSignatures(self._redis.client, MemorySignatures())

    # ------------------------------------------------------------------------------------------- what callers may ask

    def desk(self) -> AuthDesk:
        """The use cases behind `/auth`."""
        return AuthDesk(
            lambda: self.verifiers(self._configuration).all(),
            self.ring,
            self.sessions,
            self.failures,
            self._clock,
            self._auth_service,
        )

    def _auth_service(self) -> HttpAuthService | None:
        url = self._configuration.auth_service
        if not url:
            return None
        from spork.adapters.httpx.auth_service import HttpAuthService

        return HttpAuthService(url, self._authority("auth_service_login"))

    # ------------------------------------------------------------------------------------------------- what guards use

    @property
    def signer(self) -> JwtIdentitySigner:
        """Signs identities; its key is the configured one or made on first use."""
        if self._signer is None:
            from spork.adapters.jwt.signer import JwtIdentitySigner

            self._signer = JwtIdentitySigner(
                signing_key(self._configuration.signing_key, self._configuration.state_dir)
            )
        return self._signer

    def verifiers(self, configuration: Configuration) -> _Verifiers:
        """Verifiers for this configuration's issuers; the same ones as long as those do not change."""
        mark = (configuration.issuers, configuration.auth_service)
        if self._verifiers is None or self._verifiers[0] != mark:
            made = self._make_verifiers(configuration)
            for verdicts in made.all():
                self.trust.watch(verdicts)
            self._verifiers = (mark, made)
        return self._verifiers[1]

    def _make_verifiers(self, configuration: Configuration) -> _Verifiers:
        with_keys = [issuer for issuer in configuration.issuers if not issuer.introspection_url]
        asked = [issuer for issuer in configuration.issuers if issuer.introspection_url]
        service = configuration.auth_service
        return _Verifiers(
            self._remember(self._jwt(with_keys)),
            tuple(self._remember(self._introspection(issuer)) for issuer in asked),
            self._remember(self._judged_by(service)) if service else None,
        )

    def _jwt(self, issuers: Sequence[Issuer]) -> TokenVerifier:
        if not issuers:
            return _NoIssuer()
        from spork.adapters.jwt.verifier import JwtVerifier, trust

        verifier = JwtVerifier([trust(issuer, self.calls, _jwks_text(issuer), self._published) for issuer in issuers])
        places = {(issuer.jwks_url, issuer.issuer) for issuer in issuers}
        for place in self._published.keys() - places:
            del self._published[place]
        return verifier

    def _introspection(self, issuer: Issuer) -> TokenVerifier:
        from spork.adapters.httpx.introspection import IntrospectionVerifier

        return IntrospectionVerifier(issuer, self._authority(issuer.name, issuer.ca))

    def _judged_by(self, service: str) -> TokenVerifier:
        from spork.adapters.httpx.introspection import AuthServiceVerifier

        return AuthServiceVerifier(service, self._authority("auth_service"), ClaimNames())

    def _remember(self, verifier: TokenVerifier) -> TokenCache:
        return TokenCache(verifier, self.revoked, self.consumers.of)

    def _authority(self, name: str, ca: str = "") -> Authority:
        from spork.adapters.httpx.introspection import Authority

        circuit = self._breakers.circuit(name, AUTHORITY_BREAKER, self._clock.monotonic())
        return Authority(self.calls.made, circuit, self._clock.monotonic, ca)

    def methods(self, name: str, route: str, configuration: Configuration) -> list[Method]:
        """The method objects behind one name of `any_of` or `all_of`."""
        verifiers = self.verifiers(configuration)
        if name == "jwt":
            return [BearerToken("jwt", verifiers.jwt)]
        if name == "introspection":
            return [BearerToken("introspection", verdicts, costly=True) for verdicts in verifiers.introspection]
        if name == "auth_service":
            asked = verifiers.auth_service
            return [BearerToken("auth_service", asked, costly=True)] if asked is not None else []
        if name == "api_key":
            return [ApiKeyHeader(self.ring, route)]
        if name == "basic":
            return [self._basic_password()]
        if name == "signature":
            return [self._signed]
        if name == "mtls":
            header = configuration.mtls_header.encode("ascii")
            trusted = AddressSet(configuration.trusted_proxies)
            return [ClientCertificate(self.consumers.of_certificate, header, trusted, configuration.mtls_format)]
        return []

    def _basic_password(self) -> BasicPassword:
        if self._basic is None:
            from spork.adapters.argon2.passwords import Argon2Passwords

            self._basic = BasicPassword(self.consumers.named, Argon2Passwords())
        return self._basic

    # -------------------------------------------------------------------------------------------------------- policies

    def policies(self) -> tuple[Policy, ...]:
        """The policies of routes that need something of callers."""
        return (
            CsrfPolicy(self._csrf_key, self._events),
            CredentialsPolicy(self.methods, self._sign, self.failures, self.sessions, self._events),
            AuthorizationPolicy(self._events),
            WebhookPolicy(self._events),
            DecodingPolicy(codings()),
            ScreenPolicy(codings(), self._screen, self._events),
            SchemaPolicy(codings(), _body_schema),
        )

    def _sign(self) -> Sign:
        return self.signer.sign

    # --------------------------------------------------------------------------------------------------------- running

    def configured(self, configuration: Configuration) -> None:
        """A new configuration is in force."""
        self._configuration = configuration
        self.consumers.declare(configuration.consumers, name_spaces(configuration))
        self.trust.forget()
        current = self.verifiers(configuration).all()
        self.trust.keep_only(current)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Records ready, trust current, sessions written down, until the block ends."""
        await self.prepare_records()
        await self.trust.open()
        writing = asyncio.create_task(self._write_down())
        try:
            yield
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            with contextlib.suppress(Exception):
                await self.sessions.write_down()
            await self.trust.close()
            await self.calls.close()
            if self._redis is not None:
                await self._redis.close()

    async def prepare_records(self) -> None:
        """Upgrade an SQLite file; a PostgreSQL database must have been upgraded. Raises RecordsNotReady."""
        try:
            if is_sqlite(self._engine):
                private_directory(Path(self._configuration.state_dir))
                await upgrade(self._engine)
                missing: Sequence[str] = ()
            else:
                missing = await pending(self._engine)
        except (OSError, SQLAlchemyError) as error:
            where = self._engine.url.render_as_string(hide_password=True)
            reason = str(getattr(error, "orig", error)).partition("\n")[0]
            raise RecordsNotReady(f"the records at {where} cannot be opened: {reason}") from error
        if missing:
            raise RecordsNotReady(f"the records lack {', '.join(missing)}: run `spork records upgrade` first")
        if await self.records.fact("key-pepper", self._pepper_mark) != self._pepper_mark:
            raise RecordsNotReady(
                "API keys in these records were made with another pepper: "
                "set SPORK_KEY_PEPPER to the same value for every gateway that shares them"
            )

    async def _write_down(self) -> None:
        while True:
            await asyncio.sleep(5.0)
            try:
                await self.sessions.write_down()
            except Exception as error:
                log.warning("sessions were not written down: %s", error)


def _body_schema(file: str) -> BodySchema:
    from spork.adapters.jsonschema_rs.body_schema import JsonBodySchema

    return JsonBodySchema(Path(file).read_text())


def _http_calls() -> HttpCalls:
    from spork.adapters.httpx.fetch import HttpCalls

    return HttpCalls()


def _jwks_text(issuer: Issuer) -> str:
    return Path(issuer.jwks_file).read_text() if issuer.jwks_file else ""
