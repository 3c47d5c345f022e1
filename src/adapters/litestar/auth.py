"""`/auth/...` and `/.well-known/jwks.json`: what callers may ask about themselves, and the gateway's public keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from litestar import Request, Response, Router, get, post
from litestar.datastructures import ResponseHeader
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from spork.application.callers.self_service import AuthDesk, Passed, Shown
from spork.application.exchange.answers import GatewayResponse, ProblemResponses
from spork.application.pipeline.client_address import ClientAddress
from spork.domain.http.head import RequestHead
from spork.domain.identity.tokens import Principal
from spork.domain.outcomes import Denial

Asked = Request[Any, Any, Any]

#: Largest body taken here, bytes.
MAX_BODY = 64 * 1024
_BAD_REQUEST = Denial("bad_request", "Name a token, jti, session or subject.")
_TOO_LARGE = Denial("body_too_large", "The request body is larger than this address takes.")


async def _form(request: Asked) -> dict[str, str] | Denial:
    """The fields of a form or of a JSON object, texts only."""
    body = await request.body()
    if len(body) > MAX_BODY:
        return _TOO_LARGE
    try:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
            found = json.loads(body or b"{}")
            return {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}
        return {name: values[0] for name, values in parse_qs(body.decode("ascii"), max_num_fields=20).items()}
    except (ValueError, RecursionError):
        return {}


class _Desk:
    """The handlers' way to the desk: refusals become answers."""

    def __init__(self, desk: AuthDesk, refusals: ProblemResponses, clients: ClientAddress) -> None:
        self.desk = desk
        self._refusals = refusals
        self._clients = clients

    def shown(self, request: Asked) -> Shown:
        """The credentials of a request, and its client as trusted proxies name it."""
        headers = tuple(request.scope["headers"])
        peer = request.client.host if request.client is not None else ""
        head = RequestHead(request.method, b"/auth", None, headers, request.url.scheme, b"", peer=peer)
        client = self._clients.resolve(head).address if self._clients.trusts(peer) else peer
        return Shown(head.header(b"authorization") or b"", head.header(b"x-api-key") or b"", client)

    def refuse(self, denial: Denial) -> Response[bytes]:
        answer: GatewayResponse = self._refusals.deny(denial, "")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}
        media_type = headers.pop("content-type", "application/problem+json")
        headers.pop("content-length", None)
        return Response(answer.body, status_code=answer.status, headers=headers, media_type=media_type)

    async def caller(self, request: Asked) -> Principal | Response[bytes]:
        found = await self.desk.caller(self.shown(request))
        return self.refuse(found) if isinstance(found, Denial) else found

    async def pass_on(self, request: Asked, path: str) -> Response[bytes]:
        body = await request.body()
        if len(body) > MAX_BODY:
            return self.refuse(_TOO_LARGE)
        kind = request.headers.get("content-type", "application/json")
        answer = await self.desk.pass_on(path, kind, body, self.shown(request).client)
        return self.refuse(answer) if isinstance(answer, Denial) else _passed(answer)


class _WithCookies(Response[bytes]):
    """An answer with each Set-Cookie field as it came: they cannot be joined into one (RFC 6265 3)."""

    def __init__(self, set_cookies: Sequence[str], content: bytes, **more: Any) -> None:
        super().__init__(content, **more)
        self._set_cookies = tuple(set_cookies)

    def to_asgi_response(self, *given: Any, **more: Any) -> ASGIResponse:
        answer = super().to_asgi_response(*given, **more)
        for cookie in self._set_cookies:
            answer.headers.add("set-cookie", cookie)
        return answer


def _passed(answer: Passed) -> Response[bytes]:
    headers = dict(answer.headers)
    media_type = headers.pop("content-type", "application/json")
    cookies = [value for name, value in answer.headers if name == "set-cookie"]
    headers.pop("set-cookie", None)
    return _WithCookies(cookies, answer.body, status_code=answer.status, headers=headers, media_type=media_type)


def jwks_handler(key_set: Callable[[], Mapping[str, object]]) -> HTTPRouteHandler:
    """The gateway's public keys, for targets that check identities it signed."""

    @get("/.well-known/jwks.json", sync_to_thread=False, summary="Public keys of identities the gateway signs")
    def jwks() -> Response[Mapping[str, object]]:
        return Response(key_set(), media_type="application/json", headers={"cache-control": "max-age=300"})

    return jwks


def auth_router(asks: AuthDesk, refusals: ProblemResponses, clients: ClientAddress) -> Router:
    """Handlers below `/auth`."""
    at = _Desk(asks, refusals, clients)

    @post("/introspect", status_code=200, summary="What a token says (RFC 7662)")
    async def introspect(request: Asked) -> Response[Any]:
        caller, form = await at.caller(request), await _form(request)
        if isinstance(caller, Response):
            return caller
        if isinstance(form, Denial) or "token" not in form:
            return at.refuse(form if isinstance(form, Denial) else _BAD_REQUEST)
        said = await at.desk.introspect(caller, form["token"].encode("utf-8"))
        return at.refuse(said) if isinstance(said, Denial) else Response(said)

    @post("/revoke", status_code=200, summary="Revoke a token (RFC 7009), or by jti, session or subject")
    async def revoke(request: Asked) -> Response[Any]:
        caller, form = await at.caller(request), await _form(request)
        if isinstance(caller, Response):
            return caller
        if isinstance(form, Denial):
            return at.refuse(form)
        if "token" in form:
            denied = await at.desk.revoke(caller, form["token"].encode("utf-8"))
        else:
            kind = next((name for name in ("jti", "session", "subject") if form.get(name)), None)
            if kind is None:
                return at.refuse(_BAD_REQUEST)
            denied = await at.desk.revoke_named(caller, kind, form[kind], form.get("issuer", ""))
        return at.refuse(denied) if denied is not None else Response({})

    @get("/sessions", summary="The caller's sessions")
    async def sessions(request: Asked) -> Response[Any]:
        caller = await at.caller(request)
        if isinstance(caller, Response):
            return caller
        return Response({"items": [_session(found) for found in await at.desk.sessions(caller)]})

    @post("/logout", status_code=200, summary="End the caller's session")
    async def logout(request: Asked) -> Response[Any]:
        caller = await at.caller(request)
        if isinstance(caller, Response):
            return caller
        await at.desk.log_out(caller)
        return Response(b"", status_code=204)

    @post("/login", status_code=200, summary="Sign in, at the auth service")
    async def login(request: Asked) -> Response[bytes]:
        return await at.pass_on(request, "/login")

    @post("/refresh", status_code=200, summary="New tokens, from the auth service")
    async def refresh(request: Asked) -> Response[bytes]:
        return await at.pass_on(request, "/refresh")

    no_store = [ResponseHeader(name="cache-control", value="no-store")]
    handlers = [introspect, revoke, sessions, logout, login, refresh]
    return Router("/auth", route_handlers=handlers, response_headers=no_store)


def _session(found: Any) -> dict[str, object]:
    return {
        "id": found.id,
        "issuer": found.issuer,
        "started_at": found.started_at,
        "last_seen": found.last_seen,
        "expires_at": found.expires_at,
        "client": found.client,
    }
