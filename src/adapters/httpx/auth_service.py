"""Signing in and refreshing, passed on to the auth service."""

from __future__ import annotations

from spork.adapters.httpx.introspection import Authority
from spork.application.callers.self_service import Passed
from spork.domain.identity.tokens import Unverifiable

#: Headers of the service's answer that a client gets.
_KEPT = frozenset(("content-type", "set-cookie", "cache-control", "www-authenticate", "retry-after"))
#: How a service says that the credentials are no good: OAuth's invalid_grant is a 400 (RFC 6749 5.2).
_REFUSALS = frozenset((400, 401, 403))


class HttpAuthService:
    """Implements `AuthService`: `POST {url}/login`, `POST {url}/refresh`, behind the service's own circuit."""

    def __init__(self, url: str, authority: Authority) -> None:
        self._url = url.rstrip("/")
        self._authority = authority

    async def pass_on(self, path: str, content_type: str, body: bytes, client: str) -> Passed | Unverifiable:
        headers = {"content-type": content_type, "accept": "application/json", "x-forwarded-for": client}
        reply = await self._authority.ask(self._url + path, headers, body)
        if isinstance(reply, Unverifiable):
            return reply
        named = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in reply.headers)
        kept = tuple(pair for pair in named if pair[0] in _KEPT)
        return Passed(reply.status, kept, reply.body, reply.status in _REFUSALS)
