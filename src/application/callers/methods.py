"""Methods of proving who calls. Each looks for its own kind of credential and says what it is worth.

A method answers at once when it can. "Not presented" lets the next method of the route look; "refused" ends the search,
for a bad credential is not made good by another one beside it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol

from spork.application.callers.keys import KeyRing
from spork.domain.http.addresses import AddressSet
from spork.domain.identity.certificates import CertificateName, NotReadable, proxied_names, subject_names
from spork.domain.identity.consumers import Consumer, consumer_principal
from spork.domain.identity.tokens import (
    CredentialOutcome,
    NotPresented,
    Refused,
    TokenOutcome,
    TokenVerifier,
    Verified,
    identity_headers,
)

if TYPE_CHECKING:
    from spork.application.exchange.exchange import Exchange
    from spork.domain.http.head import Headers

NOT_PRESENTED: Final = NotPresented()
AMBIGUOUS: Final = Refused("ambiguous")


#: Says whether a token that is bound to its sender is shown by it, without a proof of its own.
JudgeBound = Callable[["Exchange", Verified], CredentialOutcome]
VerifyFor = Callable[[bytes, float, str], TokenOutcome | Awaitable[TokenOutcome]]
_BOUND: Final = Refused("token_bound")


class Method(Protocol):
    """One kind of credential.

    `challenge` is its WWW-Authenticate scheme with parameters, empty for none. `consumes` are the request headers it
    takes, which a target does not get to see. `costly` methods are not tried for addresses that failed too often.
    """

    name: str
    challenge: str
    consumes: frozenset[bytes]
    costly: bool
    #: Whether its credential is a secret that people choose: it is not tried where attempts are not counted.
    guessable: bool

    def authenticate(self, exchange: Exchange) -> CredentialOutcome | Awaitable[CredentialOutcome]: ...


def credentials_of(headers: Headers, scheme: bytes) -> bytes | None:
    """What stands after `scheme` (lower-case, with its space) in the Authorization header; b"" when it is ambiguous."""
    found: bytes | None = None
    for name, value in headers:
        if name == b"authorization":
            if found is not None:
                return b""
            found = value
    if found is None or found[: len(scheme)].lower() != scheme:
        return None
    return found[len(scheme) :].strip(b" ")


def only(headers: Headers, wanted: bytes) -> bytes | None:
    """The one value of a header; b"" when it stands there twice, None when not at all."""
    found: bytes | None = None
    for name, value in headers:
        if name == wanted:
            if found is not None:
                return b""
            found = value
    return found


class BearerToken:
    """A Bearer token (RFC 6750 2.1), judged by a verifier: JWT, introspection or an auth service.

    A token that says it is bound to its sender (`cnf`) is no bearer token: `bound` judges who shows it.
    """

    challenge = "Bearer"
    consumes = frozenset((b"authorization",))
    guessable = False

    def __init__(
        self, name: str, verifier: TokenVerifier, costly: bool = False, bound: JudgeBound | None = None
    ) -> None:
        self.name = name
        self.costly = costly
        self._verify = verifier.verify
        self._bound = bound
        #: Asks in the client's turn, where asking is dear.
        self._verify_for: VerifyFor | None = getattr(verifier, "verify_for", None) if costly else None

    def authenticate(self, exchange: Exchange) -> CredentialOutcome | Awaitable[CredentialOutcome]:
        presented = exchange.presented
        token = credentials_of(exchange.head.headers, b"bearer ") if presented is None else presented.token
        if token is None:
            return NOT_PRESENTED
        if not token:
            return AMBIGUOUS
        in_turn = self._verify_for
        if in_turn is None:
            outcome = self._verify(token, exchange.unix)
        else:
            outcome = in_turn(token, exchange.unix, exchange.client)
        if isinstance(outcome, Verified):
            return self._judged(exchange, outcome)
        return self._later(exchange, outcome) if isinstance(outcome, Awaitable) else outcome

    def _judged(self, exchange: Exchange, verified: Verified) -> CredentialOutcome:
        if "cnf" not in verified.principal.claims:
            return verified
        return _BOUND if self._bound is None else self._bound(exchange, verified)

    async def _later(self, exchange: Exchange, waiting: Awaitable[CredentialOutcome]) -> CredentialOutcome:
        outcome = await waiting
        return self._judged(exchange, outcome) if isinstance(outcome, Verified) else outcome


class ApiKeyHeader:
    """An API key in a header of its own (RFC 6750 has no word for it; `X-API-Key` is the custom)."""

    name = "api_key"
    challenge = "ApiKey"
    costly = False
    guessable = False

    def __init__(self, ring: KeyRing, route: str, header: bytes = b"x-api-key") -> None:
        self._check = ring.check
        self._route = route
        self._header = header
        self.consumes = frozenset((header,))

    def authenticate(self, exchange: Exchange) -> CredentialOutcome | Awaitable[CredentialOutcome]:
        presented = exchange.presented
        text = only(exchange.head.headers, self._header) if presented is None else presented.key
        if text is None:
            return NOT_PRESENTED
        return self._check(text, self._route, exchange.client, exchange.unix) if text else AMBIGUOUS


#: The consumer that a client certificate's name means.
ConsumerOfCertificate = Callable[[CertificateName], Consumer | None]
_UNREADABLE: Final = Refused("certificate_unreadable")


class ClientCertificate:
    """The names of a client certificate that TLS verified, here or at a trusted proxy that tells them in a header.

    `form` is how the proxy writes them (`certificates.FORMATS`). The header itself goes to no target: the gateway
    drops it from every request (`Snapshot.private_fields`).
    """

    name = "mtls"
    challenge = ""
    costly = False
    guessable = False

    def __init__(
        self,
        consumer_of: ConsumerOfCertificate,
        header: bytes = b"",
        trusted: AddressSet | None = None,
        form: str = "auto",
    ) -> None:
        self._consumer_of = consumer_of
        self._header = header
        self._trusted = trusted
        self._form = form
        self.consumes = frozenset((header,)) if header else frozenset()

    def authenticate(self, exchange: Exchange) -> CredentialOutcome:
        try:
            shown = exchange.head.certificate
            names = certificate_names(shown) if shown else self._proxied(exchange)
        except NotReadable:
            return _UNREADABLE
        if names is None:
            return NOT_PRESENTED
        for name in names:
            consumer = self._consumer_of(name)
            if consumer is not None:
                principal = consumer_principal(consumer, "mtls", name.value)
                return Verified(principal, identity_headers(principal))
        return Refused("certificate_unknown")

    def _proxied(self, exchange: Exchange) -> tuple[CertificateName, ...] | None:
        """The names a trusted peer says it verified. Raises NotReadable."""
        if not self._header or self._trusted is None or exchange.head.peer not in self._trusted:
            return None
        given = only(exchange.head.headers, self._header)
        if given is None:
            return None
        if not given:
            raise NotReadable("the header stands there twice, or is empty")
        return proxied_names(given.decode("utf-8", "surrogateescape"), self._form)


_KIND_OF: Final = {"URI": "uri", "DNS": "dns", "email": "email"}


def certificate_names(certificate: dict[str, object]) -> tuple[CertificateName, ...]:
    """URI, DNS and mail names, then subject and common name, of a certificate's facts as the edge gives them."""
    found: list[CertificateName] = []
    alternative = certificate.get("sans")
    if isinstance(alternative, list | tuple):
        for name in alternative:
            kind, _, value = str(name).partition(":")
            if kind in _KIND_OF and value:
                found.append(CertificateName(_KIND_OF[kind], value))
    subject = str(certificate.get("subject", ""))
    if subject:
        found += subject_names(subject)
    return tuple(found)
