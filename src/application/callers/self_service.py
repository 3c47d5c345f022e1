"""What callers may ask the gateway about themselves: introspection, revocation, their sessions, signing out and in.

Who asks must show a credential of its own: a Bearer token or an API key. About somebody else's token it is told, and may
act, only with the scopes `auth:introspect` and `auth:revoke`. These reach no further than whoever granted them: a token's
to the tokens of its own issuer, an API key's (the gateway's own credential) to those of every issuer. Signing in and refreshing is the auth service's work; the
gateway passes it on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from spork.application.callers.failures import FailedAuthentication, too_many
from spork.application.callers.keys import KeyRing
from spork.application.callers.ports import Session
from spork.application.callers.sessions import Sessions
from spork.application.callers.verdicts import DIGEST_ID
from spork.application.kernel.clock import Clock
from spork.domain.identity.authorization import REALM, challenge
from spork.domain.identity.tokens import NOT_MINE, CredentialOutcome, Principal, TokenVerifier, Unverifiable, Verified
from spork.domain.outcomes import Denial

MAY_INTROSPECT = "auth:introspect"
MAY_REVOKE = "auth:revoke"

_ABSENT = Denial(
    "unauthenticated", "A credential is needed.", headers=((b"www-authenticate", f"Bearer {REALM}".encode()),)
)
_BAD = Denial("invalid_credentials", "The credential is not good.", headers=challenge("invalid_token"))
_NO_SERVICE = Denial("no_route", "No auth service is configured.")


@dataclass(frozen=True, slots=True)
class Passed:
    """An answer of the auth service that is passed on. Only these headers go out.

    `refused`: the service did not take the credentials.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    refused: bool = False


class AuthService(Protocol):
    """Where callers sign in."""

    async def pass_on(self, path: str, content_type: str, body: bytes, client: str) -> Passed | Unverifiable:
        """POST to `/login` or `/refresh` of the service."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The credentials of a request to the desk, and the address it came from."""

    authorization: bytes
    api_key: bytes
    client: str


class AuthDesk:
    """One per process. `verifiers` answers those of the configuration in force, in the order they are asked."""

    def __init__(
        self,
        verifiers: Callable[[], Sequence[TokenVerifier]],
        ring: KeyRing,
        sessions: Sessions,
        failures: FailedAuthentication,
        clock: Clock,
        service: Callable[[], AuthService | None],
    ) -> None:
        self._verifiers = verifiers
        self._ring = ring
        self._sessions = sessions
        self._failures = failures
        self._clock = clock
        self._service = service

    async def caller(self, shown: Shown) -> Principal | Denial:
        """Who asks."""
        wait = self._failures.wait_of(shown.client, self._clock.monotonic())
        if wait:
            return too_many(wait)
        if shown.authorization[:7].lower() == b"bearer ":
            outcome = await self.judge(shown.authorization[7:].strip())
        elif shown.api_key:
            answer = self._ring.check(shown.api_key, "", shown.client, self._clock.unix())
            outcome = await answer if isinstance(answer, Awaitable) else answer
        else:
            return _ABSENT
        if isinstance(outcome, Verified) and "cnf" not in outcome.principal.claims:
            return (
                outcome.principal
            )  # a token that is bound to its sender is no bearer token, and nothing is proven here
        if isinstance(outcome, Unverifiable):
            return _unavailable(outcome)
        return await self._failures.failed(shown.client, self._clock.monotonic(), self._clock.unix(), _BAD)

    async def judge(self, token: bytes) -> CredentialOutcome:
        """The verdict on a token by the first verifier whose it is."""
        outcome: CredentialOutcome = Unverifiable("no_issuer")
        for verifier in self._verifiers():
            answer = verifier.verify(token, self._clock.unix())
            outcome = await answer if isinstance(answer, Awaitable) else answer
            if isinstance(outcome, Verified | Unverifiable) or outcome.reason not in NOT_MINE:
                return outcome
        return outcome

    async def introspect(self, caller: Principal, token: bytes) -> dict[str, object] | Denial:
        """RFC 7662 2.2: what a token says, or only that it is not active."""
        outcome = await self.judge(token)
        if isinstance(outcome, Unverifiable):
            return _unavailable(outcome)
        if not isinstance(outcome, Verified):
            return {"active": False}
        principal = outcome.principal
        if not _own(caller, principal) and not _may(caller, MAY_INTROSPECT, principal.issuer):
            return Denial("insufficient_scope", "", headers=challenge("insufficient_scope", scope=MAY_INTROSPECT))
        said: dict[str, object] = {
            "active": True,
            "sub": principal.subject,
            "scope": " ".join(sorted(principal.scopes)),
            "client_id": principal.consumer,
            "iss": principal.claims.get("iss"),
            "aud": principal.claims.get("aud"),
            "exp": int(principal.expires_at),
            "iat": int(principal.issued_at),
            "jti": "" if principal.token_id.startswith(DIGEST_ID) else principal.token_id,
            "sid": principal.session,
            "roles": sorted(principal.roles),
            "token_type": "Bearer",
        }
        return {name: value for name, value in said.items() if value not in (None, "", 0, [])}

    async def revoke(self, caller: Principal, token: bytes) -> Denial | None:
        """RFC 7009: a token that is not good is as good as revoked."""
        outcome = await self.judge(token)
        if isinstance(outcome, Unverifiable):
            return _unavailable(outcome)
        if not isinstance(outcome, Verified):
            return None
        if not _own(caller, outcome.principal) and not _may(caller, MAY_REVOKE, outcome.principal.issuer):
            return Denial("insufficient_scope", "", headers=challenge("insufficient_scope", scope=MAY_REVOKE))
        await self._sessions.revoke_token(outcome.principal, "revoked", caller.subject)
        return None

    async def revoke_named(self, caller: Principal, kind: str, value: str, issuer: str = "") -> Denial | None:
        """Revoke by `jti`, `session` or `subject` (all its tokens until now), at `issuer`: empty for the caller's own,
        which for an API key is every one."""
        issuer = issuer or caller.issuer
        own = kind == "subject" and (issuer, value) == (caller.issuer, caller.subject) and bool(issuer)
        if not own and not _may(caller, MAY_REVOKE, issuer):
            return Denial("insufficient_scope", "", headers=challenge("insufficient_scope", scope=MAY_REVOKE))
        if kind == "jti":
            await self._sessions.revoke_token_id(value, issuer, "revoked", caller.subject)
        elif kind == "session":
            await self._sessions.end(value, issuer, "revoked", caller.subject)
        else:
            await self._sessions.end_subject(value, issuer, self._clock.unix(), "revoked", caller.subject)
        return None

    async def sessions(self, caller: Principal) -> list[Session]:
        return await self._sessions.of(caller)

    async def log_out(self, caller: Principal) -> None:
        await self._sessions.log_out(caller)

    async def pass_on(self, path: str, content_type: str, body: bytes, client: str) -> Passed | Denial:
        """Sign in or refresh at the auth service. Refused sign-ins count as failed authentication."""
        service = self._service()
        if service is None:
            return _NO_SERVICE
        wait = self._failures.wait_of(client, self._clock.monotonic())
        if wait:
            return too_many(wait)
        answer = await service.pass_on(path, content_type, body, client)
        if isinstance(answer, Unverifiable):
            return _unavailable(answer)
        if answer.refused:
            refused = await self._failures.failed(client, self._clock.monotonic(), self._clock.unix(), _BAD)
            if refused is not _BAD:
                return refused
        return answer


def _own(caller: Principal, other: Principal) -> bool:
    """Whether both are of one subject at one issuer. An API key is of no issuer and owns no token."""
    return bool(caller.issuer) and (caller.issuer, caller.subject) == (other.issuer, other.subject)


def _may(caller: Principal, scope: str, issuer: str) -> bool:
    """Whether the caller's authority reaches tokens of `issuer`: a key's reaches all, a token's those of its issuer."""
    return scope in caller.scopes and (bool(caller.key_id) or caller.issuer == issuer)


def _unavailable(outcome: Unverifiable) -> Denial:
    return Denial(
        "authentication_unavailable", "Credentials cannot be checked right now.", retry_after=outcome.retry_after
    )
