"""Who calls: the guard that looks for credentials and sets the exchange's principal.

`any_of` methods are tried in their order until one finds its credential; with `all_of` every one must be good. What was
wrong is told to operators (event, `Exchange.credential_problem`), never to the caller, who gets one and the same answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from spork.application.callers.combining import AllOf, AnyOf, foreign, joined, leaves
from spork.application.callers.failures import FailedAuthentication, too_many
from spork.application.callers.methods import Method
from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.exchange.exchange import NO_FIELDS, Verdict
from spork.application.guards.explaining import explained
from spork.application.guards.policy import Policy, ordinary
from spork.application.kernel.events import EventSink
from spork.application.views import GuardVerdict
from spork.domain.identity.authorization import REALM, AuthPolicy, CredentialGroup
from spork.domain.identity.claim_headers import claim_headers
from spork.domain.identity.presentation import KeyPlaces, Presentation, TokenPlaces
from spork.domain.identity.tokens import (
    NOT_MINE,
    CredentialOutcome,
    NotPresented,
    Principal,
    Refused,
    Unverifiable,
    Verified,
)
from spork.domain.outcomes import Denial

if TYPE_CHECKING:
    from spork.application.exchange.exchange import NO_FIELDS, Exchange

#: Signs the identity of a verified caller for an upstream by name, at a Unix time: the compact JWT.
Sign = Callable[[Verified, str, float], bytes]


class Sightings(Protocol):
    """Notes that a session was seen."""

    def saw(self, principal: Principal, client: str, now: float) -> None: ...


class CredentialsGuard:
    """Admits an exchange whose caller proved who it is, as one route's policy asks."""

    phase = "credentials"
    response_fields = NO_FIELDS

    def __init__(
        self,
        policy: AuthPolicy,
        methods: Sequence[Method],
        *,
        failures: FailedAuthentication | None = None,
        sightings: Sightings | None = None,
        sign: Sign | None = None,
        events: EventSink | None = None,
    ) -> None:
        self._policy = policy
        self._methods = tuple(methods)
        self._all = bool(policy.all_of)
        self._anonymous = "anonymous" in policy.any_of and not self._all
        self._claim_headers = tuple((name.lower().encode("ascii"), path) for name, path in policy.claim_headers)
        #: What clients send under these names is none of their business to say.
        self._owned = frozenset(name for name, _ in self._claim_headers)
        self._presentation: Presentation | None = None
        if policy.tokens is not None or policy.keys is not None:
            self._presentation = Presentation(policy.tokens or TokenPlaces(), policy.keys or KeyPlaces())
        self._looks = self._presentation is not None or bool(self._owned)
        self._issuers = frozenset(policy.issuers)
        self._failures = failures
        self._sightings = sightings
        self._sign = sign
        self._events = events
        self.consumes: frozenset[bytes] = frozenset()
        if not policy.forward_credentials:
            self.consumes = _consumed(methods, policy.keys, self._presentation)
        single = leaves(methods)
        self._absent = Denial("unauthenticated", "A credential is needed.", headers=_challenges(single, ""))
        self._bad = Denial("invalid_credentials", "The credential is not good.", headers=_challenges(single, _INVALID))

    def __repr__(self) -> str:
        how = "all of" if self._all else "any of"
        return f"CredentialsGuard({how} {', '.join(method.name for method in self._methods)})"

    async def explain(self, exchange: Exchange) -> GuardVerdict:
        """What would be said, without counting a failure, noting a session or telling anybody."""
        tried = [method for method in self._methods if not method.guessable]
        untried = [method.name for method in self._methods if method.guessable and _may_be_shown(method, exchange)]
        if untried and (self._all or not tried):
            return GuardVerdict(self.phase, "unknown", _NOT_TRIED.format(untried[0]))
        verdict = await _settled(CredentialsGuard(self._policy, tried).admit(exchange))
        principal = exchange.principal
        if untried and principal is None:
            return GuardVerdict(self.phase, "unknown", _NOT_TRIED.format(untried[0]))
        who = f"{principal.subject} by {principal.method}" if principal is not None else "anonymous"
        return explained(self.phase, verdict, who, exchange.credential_problem or "none was shown")

    def admit(self, exchange: Exchange) -> Verdict | Awaitable[Verdict]:
        if self._looks:
            self._look(exchange)
        if self._all:
            return self._admit_all(exchange)
        return self._try_from(exchange, 0, None)

    def _look(self, exchange: Exchange) -> None:
        """Take credentials from where this route's clients put them, and what only the gateway may say from all of them."""
        if self._owned:
            exchange.consumed = exchange.consumed | self._owned
        if self._presentation is not None and exchange.presented is None:
            presented = self._presentation.take(exchange.head)
            exchange.presented = presented
            if presented.echo:
                exchange.subprotocol = presented.echo
            if self._policy.forward_credentials and presented.token and exchange.head.header(b"authorization") is None:
                exchange.request_headers.append((b"authorization", b"Bearer " + presented.token))

    def _try_from(self, exchange: Exchange, first: int, foreign: Refused | None) -> Verdict | Awaitable[Verdict]:
        """Try methods from `first` on; `foreign` is the refusal of a token that an earlier one said is not its own."""
        for index in range(first, len(self._methods)):
            method = self._methods[index]
            if method.costly and self._failures is not None and (wait := self._failures.wait(exchange)):
                return too_many(wait)
            outcome = method.authenticate(exchange)
            kind = outcome.__class__
            if kind is Verified:
                return self._accept(exchange, outcome)  # type: ignore[arg-type]
            if kind is NotPresented:
                continue
            if isinstance(outcome, Refused):
                if outcome.reason in NOT_MINE:
                    foreign = outcome
                    continue
                return self._refuse(exchange, outcome.reason, method.name)
            if isinstance(outcome, Unverifiable):
                return self._unavailable(exchange, outcome)
            return self._try_slowly(exchange, index, outcome, foreign)  # type: ignore[arg-type]
        if foreign is not None:
            return self._refuse(exchange, foreign.reason, "bearer")
        return None if self._anonymous else self._absent

    async def _try_slowly(
        self, exchange: Exchange, index: int, waiting: Awaitable[CredentialOutcome], foreign: Refused | None
    ) -> Verdict:
        outcome = await waiting
        if isinstance(outcome, Verified):
            return await _settled(self._accept(exchange, outcome))
        if isinstance(outcome, Unverifiable):
            return self._unavailable(exchange, outcome)
        if isinstance(outcome, Refused):
            if outcome.reason not in NOT_MINE:
                return await _settled(self._refuse(exchange, outcome.reason, self._methods[index].name))
            foreign = outcome
        return await _settled(self._try_from(exchange, index + 1, foreign))

    async def _admit_all(self, exchange: Exchange) -> Verdict:
        """Every method must find its credential, and find it good. The first one's principal leads."""
        verdicts: list[Verified] = []
        for method in self._methods:
            if method.costly and self._failures is not None and (wait := self._failures.wait(exchange)):
                return too_many(wait)
            answer = method.authenticate(exchange)
            outcome = await answer if isinstance(answer, Awaitable) else answer
            if isinstance(outcome, Verified):
                if foreign(outcome.principal, self._issuers):
                    return await _settled(self._refuse(exchange, "issuer_not_accepted", method.name))
                verdicts.append(outcome)
            elif isinstance(outcome, Refused):
                return await _settled(self._refuse(exchange, outcome.reason, method.name))
            else:
                return self._unavailable(exchange, outcome) if isinstance(outcome, Unverifiable) else self._absent
        return await _settled(self._accept(exchange, joined(verdicts)))

    def _accept(self, exchange: Exchange, verdict: Verified) -> Verdict | Awaitable[Verdict]:
        principal = verdict.principal
        if self._issuers and foreign(principal, self._issuers):
            return self._refuse(exchange, "issuer_not_accepted", principal.method)
        exchange.principal = principal
        exchange.consumed = exchange.consumed | self.consumes if exchange.consumed else self.consumes
        exchange.request_headers.extend(verdict.identity)
        if self._claim_headers:
            exchange.request_headers.extend(claim_headers(principal.claims, self._claim_headers))
        if self._sign is not None:
            exchange.identity_for = _SignedIdentity(self._sign, verdict, exchange.unix)
        if self._sightings is not None and principal.session:
            self._sightings.saw(principal, exchange.client, exchange.unix)
        return None

    def _refuse(self, exchange: Exchange, reason: str, method: str) -> Verdict | Awaitable[Verdict]:
        exchange.credential_problem = reason
        if self._events is not None:
            self._events.publish(
                "auth.failed", exchange.client, {"outcome": "refused", "detail": f"{method}: {reason}"}
            )
        return self._bad if self._failures is None else self._failures.count(exchange, self._bad)

    def _unavailable(self, exchange: Exchange, outcome: Unverifiable) -> Denial:
        exchange.credential_problem = outcome.reason
        return Denial(
            "authentication_unavailable", "Credentials cannot be checked right now.", retry_after=outcome.retry_after
        )


class _SignedIdentity:
    """Signs one caller's identity for whichever upstream a request goes to: none can show it to another."""

    __slots__ = ("sign", "unix", "verdict")

    def __init__(self, sign: Sign, verdict: Verified, unix: float) -> None:
        self.sign = sign
        self.verdict = verdict
        self.unix = unix

    def __call__(self, upstream: str) -> bytes:
        return self.sign(self.verdict, upstream, self.unix)


#: Said of what can be guessed: who may read must not be able to try passwords without limit.
_NOT_TRIED: Final = "{} is not tried here: it can be guessed"


def _may_be_shown(method: Method, exchange: Exchange) -> bool:
    return any(name in method.consumes for name, _ in exchange.head.headers)


_INVALID: Final = 'error="invalid_token"'


def _challenges(methods: Sequence[Method], bearer_error: str) -> tuple[tuple[bytes, bytes], ...]:
    """A WWW-Authenticate field per scheme (RFC 9110 11.6.1). Without a credential no error is named (RFC 6750 3)."""
    schemes = dict.fromkeys(method.challenge for method in methods if method.challenge)
    found = []
    for scheme in schemes:
        name, _, parameters = scheme.partition(" ")
        parts = [REALM, parameters, bearer_error if name in ("Bearer", "DPoP") else ""]
        found.append((b"www-authenticate", f"{name} {', '.join(part for part in parts if part)}".encode("ascii")))
    return tuple(found)


def _consumed(methods: Sequence[Method], keys: KeyPlaces | None, presentation: Presentation | None) -> frozenset[bytes]:
    """The headers that carry a credential of this route, and so end here."""
    taken: frozenset[bytes] = frozenset().union(*(method.consumes for method in methods))
    if keys is not None:
        taken -= {b"x-api-key"}  # it may be the target's own, where keys are looked for elsewhere
    return taken if presentation is None else taken | presentation.consumes


async def _settled(verdict: Verdict | Awaitable[Verdict]) -> Verdict:
    return await verdict if isinstance(verdict, Awaitable) else verdict


@ordinary
class CredentialsPolicy(Policy):
    """`auth` of routes: who calls.

    `methods` makes the methods behind one name of `any_of` or `all_of` for a route; `sign` makes what signs the identity
    towards its target.
    """

    phase = "credentials"

    def __init__(
        self,
        methods: Callable[[str, RouteConfig, Configuration], Sequence[Method]],
        sign: Callable[[], Sign],
        failures: FailedAuthentication | None = None,
        sightings: Sightings | None = None,
        events: EventSink | None = None,
    ) -> None:
        self._methods = methods
        self._sign = sign
        self._failures = failures
        self._sightings = sightings
        self._events = events

    def compile(self, route: RouteConfig, configuration: Configuration) -> CredentialsGuard | None:
        policy = route.auth
        if policy is None:
            return None
        methods = self._made(policy.all_of or policy.any_of, route, configuration, bool(policy.all_of))
        return CredentialsGuard(
            policy,
            methods,
            failures=self._failures,
            sightings=self._sightings,
            sign=self._sign() if policy.signed_identity else None,
            events=self._events,
        )

    def _made(
        self, items: Sequence[str | CredentialGroup], route: RouteConfig, configuration: Configuration, every: bool
    ) -> list[Method]:
        """The methods that `any_of` or `all_of` names, groups as one method each."""
        assert route.auth is not None
        made: list[Method] = []
        for item in items:
            if isinstance(item, str):
                found = self._methods(item, route, configuration)
                # One name may mean several methods, of which one is enough also where every name is needed.
                made += [AnyOf(found)] if every and len(found) > 1 else found
            elif item.all_of:
                made.append(AllOf(self._made(item.all_of, route, configuration, True), frozenset(route.auth.issuers)))
            else:
                made.append(AnyOf(self._made(item.any_of, route, configuration, False)))
        return made
