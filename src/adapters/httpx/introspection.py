"""Verifiers that ask an authority about a token: RFC 7662 introspection, and the gateway's auth service.

Only a clear yes is a yes. An authority that is slow, broken or away gives `Unverifiable`, behind a circuit of its own
so that a dead one is not waited for by every request. Remembering verdicts and asking once at a time is
`spork.application.callers.verdicts`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import TypeGuard
from urllib.parse import quote, urlencode

from spork.adapters.httpx.fetch import FetchedDocument, HttpCalls, check_address
from spork.application.callers.ports import FetchFailed
from spork.domain.identity.tokens import (
    ClaimNames,
    Issuer,
    Principal,
    Refused,
    TokenOutcome,
    Unverifiable,
    Verified,
    claim_policy,
    principal_of,
    refuse_times,
    text_of,
    words_of,
)
from spork.domain.upstreams.circuit import CallResult, CircuitBreaker, Open

#: Longest opaque token taken, bytes.
MAX_TOKEN = 8 * 1024
#: Seconds an authority may take.
PATIENCE = 2.0

#: Questions to one authority at a time, each in its turn: fewer than the connections there are, so that none waits for
#: one and has its waiting counted as the authority's slowness.
AT_ONCE = 16
#: Questions that wait for their turn or are being asked.
WAITING = 1024

#: Characters of a Bearer token (RFC 6750 2.1); nothing else reaches an authority.
_TOKEN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=")

Monotonic = Callable[[], float]


def is_token(token: bytes) -> bool:
    return 0 < len(token) <= MAX_TOKEN and _TOKEN.issuperset(token)


class Authority:
    """Calls to one authority, behind its circuit. `breaker` None means none."""

    def __init__(
        self, calls: HttpCalls, breaker: CircuitBreaker | None, monotonic: Monotonic = time.monotonic, ca: str = ""
    ) -> None:
        self._ca = ca
        self._calls = calls
        self._breaker = breaker
        self._monotonic = monotonic
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def ask(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        basic: tuple[str, str] | None = None,
        *,
        method: str = "POST",
        patience: float = PATIENCE,
    ) -> FetchedDocument | Unverifiable:
        """The answer, unless the authority failed (no answer, or a 5xx) or its circuit is open."""
        if self._waiting >= WAITING:
            # We are busy, the authority is not broken: nothing is recorded, and its circuit stays as it is.
            return Unverifiable("authority_busy")
        self._waiting += 1
        try:
            async with self._turns:
                return await self._ask(method, url, headers, body, basic, patience)
        finally:
            self._waiting -= 1

    async def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        basic: tuple[str, str] | None,
        patience: float,
    ) -> FetchedDocument | Unverifiable:
        began = self._monotonic()
        permit = self._breaker.permit(began) if self._breaker is not None else None
        if isinstance(permit, Open):
            return Unverifiable("authority_circuit_open", permit.retry_after)
        result = CallResult.IGNORED
        try:
            reply = await self._calls.call(
                method, url, headers=headers, body=body, basic=basic, patience=patience, ca=self._ca
            )
            result = CallResult.FAILED if reply.status >= 500 else CallResult.OK
        except FetchFailed:
            result = CallResult.FAILED
            return Unverifiable("authority_unreachable")
        finally:
            if self._breaker is not None and permit is not None:
                ended = self._monotonic()
                self._breaker.record(permit, result, ended - began, ended)
        return reply if result is CallResult.OK else Unverifiable("authority_failing")


def _object(body: bytes) -> dict[str, object] | None:
    try:
        found = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


class IntrospectionVerifier:
    """RFC 7662. `client_id` and `client_secret` of the issuer authenticate us by HTTP Basic (RFC 6749 2.3.1)."""

    def __init__(self, issuer: Issuer, authority: Authority) -> None:
        check_address(issuer.introspection_url)
        self._issuer = issuer
        self._policy = claim_policy(issuer)
        self._authority = authority
        self._basic = (quote(issuer.client_id, ""), quote(issuer.client_secret, "")) if issuer.client_id else None

    async def _verify(self, token: bytes, now: float) -> TokenOutcome:
        body = urlencode({"token": token.decode("ascii"), "token_type_hint": "access_token"}).encode("ascii")
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        reply = await self._authority.ask(self._issuer.introspection_url, headers, body, self._basic)
        if isinstance(reply, Unverifiable):
            return reply
        claims = _object(reply.body) if reply.status == 200 else None
        if claims is None:
            # A 401 here says that *we* are not known to the authority: no reason to call the token bad.
            return Unverifiable("authority_answer")
        return self._judge(claims, now)

    def _judge(self, claims: dict[str, object], now: float) -> TokenOutcome:
        if claims.get("active") is not True:
            return Refused("inactive")
        if "iss" in claims and self._policy.issuer and claims["iss"] != self._policy.issuer:
            return Refused("issuer_mismatch")
        audience = claims.get("aud")
        if self._policy.audiences:
            named = frozenset((audience,)) if isinstance(audience, str) else words_of(audience)
            if named.isdisjoint(self._policy.audiences):
                return Refused("audience_mismatch")
        reason = refuse_times(claims, self._policy.leeway, now, must_expire=False)
        if reason is not None:
            return Refused(reason)
        principal = principal_of(claims, self._issuer.claim_names, self._issuer.name, "introspection")
        return Verified(principal) if principal is not None else Refused("subject_missing")

    def verify(self, token: bytes, now: float) -> TokenOutcome | Coroutine[None, None, TokenOutcome]:
        return self._verify(token, now) if is_token(token) else Refused("malformed")


#: Names under which auth services give the parts of a caller; the first that is there counts.
_SUBJECT = ("sub", "user_id", "userId", "id", "username")
_ANSWERS = ("active", "valid", "authenticated")


class AuthServiceVerifier:
    """Asks the auth service whether a token is good: `POST {url}/validate`, the token as Bearer and as JSON `token`.

    A yes is 200 with `active`, `valid` or `authenticated` true; claims stand beside it, or in `claims` or `user`.
    401 and 403 are a no.
    """

    def __init__(self, url: str, authority: Authority, names: ClaimNames, path: str = "/validate") -> None:
        self._url = url.rstrip("/") + path
        self._authority = authority
        self._names = names

    def verify(self, token: bytes, now: float) -> TokenOutcome | Coroutine[None, None, TokenOutcome]:
        return self._verify(token.decode("ascii"), now) if is_token(token) else Refused("malformed")

    async def _verify(self, token: str, now: float) -> TokenOutcome:
        headers = {
            "authorization": f"Bearer {token}",
            "content-type": "application/json",
            "accept": "application/json",
        }
        reply = await self._authority.ask(self._url, headers, json.dumps({"token": token}).encode())
        if isinstance(reply, Unverifiable):
            return reply
        if reply.status in (401, 403):
            return Refused("inactive")
        answer = _object(reply.body) if reply.status == 200 else None
        if answer is None:
            return Unverifiable("authority_answer")
        if not any(answer.get(name) is True for name in _ANSWERS):
            return Refused("inactive")
        return self._principal(answer, now)

    def _principal(self, answer: dict[str, object], now: float) -> TokenOutcome:
        claims: dict[str, object] = {}
        for part in (answer, answer.get("user"), answer.get("claims")):
            if _is_object(part):
                claims.update(part)
        for name in _SUBJECT:
            value = claims.get(name)
            if isinstance(value, str | int) and not isinstance(value, bool) and str(value):
                claims.setdefault("sub", str(value))
        if "scope" not in claims and "scopes" in claims:
            claims["scope"] = claims["scopes"]
        if "session_id" in claims:
            claims.setdefault("sid", text_of(claims["session_id"]))
        reason = refuse_times(claims, 0.0, now, must_expire=False)
        if reason is not None:
            return Refused(reason)
        principal: Principal | None = principal_of(claims, self._names, "auth_service", "auth_service")
        return Verified(principal) if principal is not None else Refused("subject_missing")


def _is_object(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)
