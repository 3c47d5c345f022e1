"""Tokens of authorization servers: client credentials (RFC 6749 4.4) and token exchange (RFC 8693)."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote_plus, urlencode

import msgspec

from spork.adapters.httpx.fetch import HttpCalls, check_address
from spork.application.callers.ports import FetchFailed
from spork.application.upstreams.credentials import IssuedToken, TokenUnavailable
from spork.domain.upstreams.credentials import OAuthCredential


class _Answer(msgspec.Struct):
    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - the scheme, not a token
    expires_in: float = 3600.0


class HttpTokenEndpoint:
    """Implements `credentials.TokenEndpoint`. Opens nothing before the first token."""

    def __init__(self, make: Callable[[], HttpCalls] = HttpCalls) -> None:
        self._make = make
        self._calls: HttpCalls | None = None

    async def issue(self, credential: OAuthCredential, subject: bytes) -> IssuedToken:
        form: dict[str, str] = {"grant_type": "client_credentials"}
        if credential.exchange:
            form = {
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "subject_token": subject.decode("latin-1"),
                "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
            }
        if credential.scopes:
            form["scope"] = " ".join(credential.scopes)
        if credential.audience:
            form["audience"] = credential.audience
        basic: tuple[str, str] | None = (quote_plus(credential.client_id), quote_plus(credential.client_secret))
        if credential.post:
            form |= {"client_id": credential.client_id, "client_secret": credential.client_secret}
            basic = None
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        if self._calls is None:
            self._calls = self._make()
        try:
            check_address(credential.token_url)
            reply = await self._calls.call(
                "POST", credential.token_url, headers=headers, body=urlencode(form).encode(), basic=basic
            )
        except FetchFailed as error:
            raise TokenUnavailable(str(error)) from error
        if reply.status != 200:
            raise TokenUnavailable(f"answered {reply.status}")
        try:
            answer = msgspec.json.decode(reply.body, type=_Answer)
        except (msgspec.MsgspecError, ValueError) as error:
            raise TokenUnavailable("answered what is no token") from error
        if answer.token_type.lower() != "bearer" or not answer.access_token.isascii() or answer.expires_in <= 0:
            raise TokenUnavailable("answered what is no bearer token")
        return IssuedToken(answer.access_token.encode(), answer.expires_in)

    async def close(self) -> None:
        if self._calls is not None:
            await self._calls.close()
