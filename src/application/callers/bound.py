"""Whether a token is shown by who it is bound to, and the method for tokens with a DPoP proof (RFC 9449, RFC 8705).

A binding is always kept to, whether a route asks for one or not: a token that says it is bound is no bearer token.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

from spork.application.callers.methods import AMBIGUOUS, NOT_PRESENTED, VerifyFor, credentials_of, only
from spork.application.callers.shared_secrets import TakenSignatures
from spork.domain.http.addresses import AddressSet
from spork.domain.identity.certificates import forwarded_hash
from spork.domain.identity.sender import (
    PROOF_AGE,
    Confirmation,
    Proof,
    certificate_thumbprint,
    confirmation_of,
    mark_of,
    refuse_proof,
)
from spork.domain.identity.tokens import CredentialOutcome, Refused, TokenVerifier, Verified

if TYPE_CHECKING:
    from spork.application.exchange.exchange import Exchange

#: Reads a proof and checks its signature.
ReadProof = Callable[[bytes], Proof | Refused]
#: The thumbprint (`x5t#S256`) of the certificate that a client showed, here or to a trusted proxy; "" for none.
ShownCertificate = Callable[["Exchange"], str]

_UNBOUND: Final = Refused("token_unbound")
_NOT_UNDERSTOOD: Final = Refused("confirmation_unknown")
_REPLAYED: Final = Refused("proof_replayed")


class ShownThumbprint:
    """`x5t#S256` of the certificate that a client showed to this listener, or that a trusted proxy tells by its hash in an
    X-Forwarded-Client-Cert (`header`)."""

    def __init__(self, header: str, trusted: Sequence[str]) -> None:
        self._header = header.lower().encode("ascii")
        self._trusted = AddressSet(trusted)

    def __call__(self, exchange: Exchange) -> str:
        head = exchange.head
        if head.certificate is not None:
            return certificate_thumbprint(str(head.certificate.get("fingerprint", "")))
        if not self._header or head.peer not in self._trusted:
            return ""
        text = only(head.headers, self._header)
        return certificate_thumbprint(forwarded_hash(text.decode("utf-8", "surrogateescape"))) if text else ""


class Senders:
    """Checks that tokens are shown by their senders. `taken` remembers proofs, for this process or for the fleet."""

    def __init__(self, read_proof: ReadProof, shown_certificate: ShownCertificate, taken: TakenSignatures) -> None:
        self._read_proof = read_proof
        self._shown_certificate = shown_certificate
        self._taken = taken

    def by_certificate(self, exchange: Exchange, bound: Confirmation) -> Refused | None:
        """Why the certificate shown is not the one a token is bound to; None when it is."""
        shown = self._shown_certificate(exchange)
        if not shown:
            return Refused("certificate_missing")
        return None if hmac.compare_digest(shown, bound.certificate) else Refused("certificate_mismatch")

    def without_proof(self, exchange: Exchange, verified: Verified) -> CredentialOutcome:
        """The verdict on a bound token that is shown as a Bearer token: good by the certificate beside it alone."""
        bound = confirmation_of(verified.principal.claims)
        if bound is None:
            return verified
        if bound.key:
            return Refused("dpop_as_bearer")
        if not bound.certificate:
            return _NOT_UNDERSTOOD
        return self.by_certificate(exchange, bound) or verified

    def by_proof(
        self, exchange: Exchange, verified: Verified, bound: Confirmation, token: bytes
    ) -> CredentialOutcome | Awaitable[CredentialOutcome]:
        """The verdict on a token that is bound to a key, by the proof beside it."""
        head = exchange.head
        text = only(head.headers, b"dpop")
        if not text:
            return Refused("proof_missing" if text is None else "ambiguous")
        proof = self._read_proof(text)
        if isinstance(proof, Refused):
            return proof
        host = (exchange.asked_host or head.host).decode("ascii", "replace")
        uri = f"{head.scheme}://{host}{head.path.decode('ascii', 'replace')}"
        why = refuse_proof(proof, bound.key, head.method, uri, token, exchange.unix)
        if why is not None:
            return Refused(why)
        first = self._taken.take(mark_of(proof), exchange.unix, 2 * PROOF_AGE + 5.0)
        if isinstance(first, Awaitable):
            return self._once(first, verified)
        return verified if first else _REPLAYED

    async def _once(self, asked: Awaitable[bool], verified: Verified) -> CredentialOutcome:
        return verified if await asked else _REPLAYED


class BoundToken:
    """A token that its sender proves to be its own, where a route asks for that or the scheme says so (`DPoP`).

    `scheme` is bearer or dpop. A token that is bound to a key is taken with the scheme DPoP only (RFC 9449 7.2), a token that
    is not only without it. `demand`: dpop, mtls, any, or "" for whatever the token says.
    """

    guessable = False

    def __init__(
        self, name: str, verifier: TokenVerifier, senders: Senders, scheme: str, demand: str = "", costly: bool = False
    ) -> None:
        self.name = name
        self.costly = costly
        self._verify = verifier.verify
        self._verify_for: VerifyFor | None = getattr(verifier, "verify_for", None) if costly else None
        self._senders = senders
        self._scheme = scheme.encode("ascii") + b" "
        self._dpop = scheme == "dpop"
        self._demand = demand
        self.consumes = frozenset((b"authorization", b"dpop") if self._dpop else (b"authorization",))
        self.challenge = ("" if not demand else _DPOP) if self._dpop else "Bearer"

    def authenticate(self, exchange: Exchange) -> CredentialOutcome | Awaitable[CredentialOutcome]:
        presented = exchange.presented
        if self._dpop or presented is None:
            token = credentials_of(exchange.head.headers, self._scheme)
        else:
            token = presented.token
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
            return self._judged(exchange, outcome, token)
        return self._later(exchange, outcome, token) if isinstance(outcome, Awaitable) else outcome

    async def _later(
        self, exchange: Exchange, waiting: Awaitable[CredentialOutcome], token: bytes
    ) -> CredentialOutcome:
        outcome = await waiting
        if not isinstance(outcome, Verified):
            return outcome
        verdict = self._judged(exchange, outcome, token)
        return await verdict if isinstance(verdict, Awaitable) else verdict

    def _judged(
        self, exchange: Exchange, verified: Verified, token: bytes
    ) -> CredentialOutcome | Awaitable[CredentialOutcome]:
        bound = confirmation_of(verified.principal.claims)
        if bound is None or (self._demand == "dpop" and not bound.key):
            return _UNBOUND
        if self._demand == "mtls" and not bound.certificate:
            return _UNBOUND
        if not self._dpop:
            return self._senders.without_proof(exchange, verified)
        if not bound.key:
            return _UNBOUND
        refused = self._senders.by_certificate(exchange, bound) if bound.certificate else None
        return refused or self._senders.by_proof(exchange, verified, bound, token)


_DPOP: Final = 'DPoP algs="ES256 ES384 ES512 PS256 RS256 EdDSA"'
