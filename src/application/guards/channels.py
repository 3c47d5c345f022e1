"""Requests to channels: where a browser puts its token, and whose pages may use a cookie or open a socket.

`EventSource` and `new WebSocket` cannot set headers; a cookie goes with every page's request. So one that changes something, and
every socket, needs the page's Origin to be listed when it is shown by cookie.
"""

from __future__ import annotations

from typing import Final

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.exchange.exchange import NO_FIELDS, Exchange, Verdict
from spork.application.guards.policy import Policy
from spork.application.views import GuardVerdict
from spork.domain.channels.settings import ChannelSettings
from spork.domain.http.websocket_policy import WebSocketPolicy, take_token
from spork.domain.outcomes import Denial

_BAD_ORIGIN: Final = Denial("bad_origin", "Pages of this origin may not do this.")
_NO_TOKEN: Final = Denial("invalid_credentials", "A token was announced and none follows.")
#: Subprotocol that announces a token.
_BEARER: Final = "bearer"
_SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))


class ChannelGuard:
    """Puts a token from a cookie or subprotocol where the credentials guard looks for it."""

    phase = "channels"
    response_fields = NO_FIELDS

    def __init__(self, settings: ChannelSettings) -> None:
        self._places = WebSocketPolicy(token_protocol=_BEARER, token_cookie=settings.cookie)
        self._origins = frozenset(origin.encode("latin-1", "replace") for origin in settings.origins)

    def admit(self, exchange: Exchange) -> Verdict:
        head = exchange.head
        origin = head.header(b"origin")
        own = origin is None or _is_own(origin.lower(), head.host)
        listed = own or (origin is not None and origin.lower() in self._origins)
        if head.upgrade and not listed:
            return _BAD_ORIGIN
        if head.header(b"authorization") is not None:
            return None
        shown = take_token(self._places, head.headers)
        if shown is None:
            return _NO_TOKEN
        if shown.token:
            if shown.by_cookie and (origin is None or not listed) and (head.upgrade or head.method not in _SAFE):
                return _BAD_ORIGIN
            head.headers = (*shown.headers, (b"authorization", b"Bearer " + shown.token))
            exchange.subprotocol = shown.echo
        return None

    def explain(self, exchange: Exchange) -> GuardVerdict:
        """What the request would be told."""
        verdict = self.admit(exchange)
        if isinstance(verdict, Denial):
            return GuardVerdict(self.phase, "refuse", verdict.reason)
        return GuardVerdict(self.phase, "pass", "who may do what is asked of each channel's rule")


def _is_own(origin: bytes, host: bytes) -> bool:
    """Whether a page is of the host that it asks."""
    return origin.partition(b"://")[2] == host.lower()


class ChannelPolicy(Policy):
    """Of the routes that lead to channels."""

    phase = "channels"

    def compile(self, route: RouteConfig, configuration: Configuration) -> ChannelGuard | None:
        settings = configuration.channels
        return ChannelGuard(settings) if route.front and settings is not None else None
