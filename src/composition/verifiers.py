"""Who verifies what callers bring: a verifier per trusted issuer and authority, and the methods that routes name."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spork.adapters.memory.circuit_breaker import MemoryCircuitBreakers
from spork.application.callers.bound import BoundToken, Senders, ShownThumbprint
from spork.application.callers.consumers import Consumers
from spork.application.callers.keys import KeyRing
from spork.application.callers.methods import ApiKeyHeader, BearerToken, ClientCertificate, Method
from spork.application.callers.shared_secrets import BasicPassword, SignedRequest, TakenSignatures
from spork.application.callers.trust import RevocationSync
from spork.application.callers.turns import ClientTurns
from spork.application.callers.verdicts import TokenCache
from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.kernel.clock import Clock
from spork.composition.lazily import LazyFetcher
from spork.domain.http.addresses import AddressSet
from spork.domain.identity.revocation import RevocationSet
from spork.domain.identity.sender import Proof
from spork.domain.identity.tokens import ClaimNames, Issuer, Refused, TokenOutcome, TokenVerifier
from spork.domain.upstreams.circuit import BreakerPolicy
from spork.plugins.hosting import PluginHost

# What a configuration may do without is imported where it is built: each of these is a tenth of a second of start-up.
if TYPE_CHECKING:
    from spork.adapters.httpx.auth_service import HttpAuthService
    from spork.adapters.httpx.introspection import Authority
    from spork.adapters.jwt.verifier import Published

#: An authority is left alone after five failures in a row, and tried again two seconds later.
AUTHORITY_BREAKER = BreakerPolicy(window=10.0, min_requests=10, failure_ratio=0.5, consecutive=5, open_for=2.0)


class _NoIssuer:
    """The TokenVerifier of a configuration that trusts nobody's tokens."""

    def verify(self, token: bytes, now: float) -> TokenOutcome:
        return Refused("issuer_unknown")


@dataclass(frozen=True, slots=True)
class VerifierSet:
    """The verifiers of one configuration, by method name."""

    jwt: TokenCache
    introspection: tuple[TokenCache, ...]
    auth_service: TokenCache | None

    def all(self) -> tuple[TokenCache, ...]:
        """Every one of them."""
        last = (self.auth_service,) if self.auth_service is not None else ()
        return (self.jwt, *self.introspection, *last)


class Authorities:
    """The services that are asked about tokens: each behind its own circuit, all through one HTTP client."""

    def __init__(self, calls: LazyFetcher, clock: Clock) -> None:
        self._calls = calls
        self._clock = clock
        self._breakers = MemoryCircuitBreakers(random.Random().random)

    def named(self, name: str, ca: str = "") -> Authority:
        """The caller of one authority; `name` tells its circuit from the others', `ca` is a PEM file of who may sign its
        certificate."""
        from spork.adapters.httpx.introspection import Authority

        circuit = self._breakers.circuit(name, AUTHORITY_BREAKER, self._clock.monotonic())
        return Authority(self._calls.made, circuit, self._clock.monotonic, ca)

    def login_service(self, configuration: Configuration) -> HttpAuthService | None:
        """The service that signs callers in, if one is configured."""
        if not configuration.auth_service:
            return None
        from spork.adapters.httpx.auth_service import HttpAuthService

        return HttpAuthService(configuration.auth_service, self.named("auth_service_login"))


class Verifiers:
    """Makes the verifiers of a configuration, and keeps them as long as its issuers do not change."""

    def __init__(
        self,
        calls: LazyFetcher,
        authorities: Authorities,
        revoked: RevocationSet,
        consumers: Consumers,
        trust: RevocationSync,
    ) -> None:
        self._calls = calls
        self._authorities = authorities
        self._revoked = revoked
        self._consumers = consumers
        self._trust = trust
        #: Questions of one client address wait behind each other, over all authorities and configurations.
        self._turns = ClientTurns()
        #: Keys of issuers, kept over configurations: an issuer that is down when a setting changes keeps its keys.
        self._published: Published = {}
        self._made: tuple[tuple[object, ...], VerifierSet] | None = None

    def of(self, configuration: Configuration) -> VerifierSet:
        """The verifiers for this configuration's issuers."""
        mark = (configuration.issuers, configuration.auth_service)
        if self._made is None or self._made[0] != mark:
            made = self._make(configuration)
            for verdicts in made.all():
                self._trust.watch(verdicts)
            self._made = (mark, made)
        return self._made[1]

    def _make(self, configuration: Configuration) -> VerifierSet:
        with_keys = [issuer for issuer in configuration.issuers if not issuer.introspection_url]
        asked = [issuer for issuer in configuration.issuers if issuer.introspection_url]
        service = configuration.auth_service
        return VerifierSet(
            self._remember(self._jwt(with_keys)),
            tuple(self._remember(self._introspection(issuer)) for issuer in asked),
            self._remember(self._judged_by(service)) if service else None,
        )

    def _jwt(self, issuers: Sequence[Issuer]) -> TokenVerifier:
        if not issuers:
            return _NoIssuer()
        from spork.adapters.jwt.verifier import JwtVerifier, trust

        verifier = JwtVerifier([trust(issuer, self._calls, _jwks_text(issuer), self._published) for issuer in issuers])
        places = {(issuer.jwks_url, issuer.issuer) for issuer in issuers}
        for place in self._published.keys() - places:
            del self._published[place]
        return verifier

    def _introspection(self, issuer: Issuer) -> TokenVerifier:
        from spork.adapters.httpx.introspection import IntrospectionVerifier

        return IntrospectionVerifier(issuer, self._authorities.named(issuer.name, issuer.ca))

    def _judged_by(self, service: str) -> TokenVerifier:
        from spork.adapters.httpx.introspection import AuthServiceVerifier

        return AuthServiceVerifier(service, self._authorities.named("auth_service"), ClaimNames())

    def _remember(self, verifier: TokenVerifier) -> TokenCache:
        return TokenCache(verifier, self._revoked, self._consumers.of, turns=self._turns)


class AuthMethods:
    """The method objects behind the names of `any_of` and `all_of`."""

    def __init__(
        self,
        verifiers: Verifiers,
        ring: KeyRing,
        consumers: Consumers,
        signatures: TakenSignatures,
        proofs: TakenSignatures,
        plugins: PluginHost | None = None,
    ) -> None:
        """`signatures` and `proofs` remember what was taken once: signed requests, and DPoP proofs."""
        self._plugged = {} if plugins is None else plugins.verifiers()
        self._verifiers = verifiers
        self._proofs = proofs
        self._ring = ring
        self._consumers = consumers
        self._basic: BasicPassword | None = None
        self._signed = SignedRequest(consumers.named, signatures)

    def named(self, name: str, route: RouteConfig, configuration: Configuration) -> list[Method]:
        """The methods that `name` stands for on this route, in the order in which they are tried."""
        verifiers = self._verifiers.of(configuration)
        if name == "jwt":
            return self._tokens("jwt", [verifiers.jwt], False, route, configuration)
        if name == "introspection":
            return self._tokens("introspection", verifiers.introspection, True, route, configuration)
        if name == "auth_service":
            asked = verifiers.auth_service
            return self._tokens("auth_service", [asked] if asked is not None else [], True, route, configuration)
        if name == "plugin":
            each = (self._tokens(known, [one], True, route, configuration) for known, one in self._plugged.items())
            return [method for methods in each for method in methods]
        if name == "api_key":
            return [ApiKeyHeader(self._ring, route.name)]
        if name == "basic":
            return [self._basic_password()]
        if name == "signature":
            return [self._signed]
        if name == "mtls":
            header = configuration.mtls_header.encode("ascii")
            trusted = AddressSet(configuration.trusted_proxies)
            return [ClientCertificate(self._consumers.of_certificate, header, trusted, configuration.mtls_format)]
        return []

    def _tokens(
        self,
        name: str,
        verifiers: Sequence[TokenVerifier],
        costly: bool,
        route: RouteConfig,
        configuration: Configuration,
    ) -> list[Method]:
        """Tokens of one kind: in the scheme Bearer, and in DPoP, which costs a route nothing until it is shown."""
        shown = ShownThumbprint(configuration.mtls_header, configuration.trusted_proxies)
        senders = Senders(_read_proof, shown, self._proofs)
        policy = route.auth
        demand = policy.bound if policy is not None else ""
        made: list[Method] = []
        for verifier in verifiers:
            if demand in ("mtls", "any"):
                made.append(BoundToken(name, verifier, senders, "bearer", demand, costly))
            elif not demand:
                made.append(BearerToken(name, verifier, costly, senders.without_proof))
            if demand != "mtls" and (policy is None or policy.tokens is None or policy.tokens.authorization):
                made.append(BoundToken(name, verifier, senders, "dpop", demand, costly))
        return made

    def _basic_password(self) -> BasicPassword:
        if self._basic is None:
            from spork.adapters.argon2.passwords import Argon2Passwords

            self._basic = BasicPassword(self._consumers.named, Argon2Passwords())
        return self._basic


def _read_proof(text: bytes) -> Proof | Refused:
    from spork.adapters.jwt.proofs import read_proof

    return read_proof(text)


def _jwks_text(issuer: Issuer) -> str:
    return Path(issuer.jwks_file).read_text() if issuer.jwks_file else ""
