"""The WebSocket handshake: whose pages may open one, in which subprotocols, and where a browser puts its token.

A script cannot set headers on `new WebSocket(...)`; it can name subprotocols, and its browser sends cookies. A cookie goes with
every page's request, so with one the page's Origin must be listed (RFC 6455 10.2: cross-site WebSocket hijacking).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.configuration.problems import Diagnostic
from spork.application.exchange.exchange import NO_FIELDS, Exchange, Verdict
from spork.application.guards.policy import Policy, declared
from spork.application.views import GuardVerdict
from spork.domain.http.websocket_policy import CLOSE_CODES, WebSocketPolicy, offered, take_token
from spork.domain.limits.limit import limit_problems
from spork.domain.outcomes import Denial

_BAD_ORIGIN: Final = Denial("bad_origin", "Pages of this origin may not open this WebSocket.")
_NO_PROTOCOL: Final = Denial("bad_subprotocol", "None of the subprotocols offered is spoken here.")
_NO_TOKEN: Final = Denial("invalid_credentials", "A token was announced and none follows.")


class WebSocketGuard:
    """Judges a handshake and puts its token where the credentials guard looks for it. Other requests pass."""

    phase = "websocket"
    response_fields = NO_FIELDS

    def __init__(self, policy: WebSocketPolicy) -> None:
        self._policy = policy
        self._origins = frozenset(origin.lower().encode("ascii") for origin in policy.origins)
        self._protocols = frozenset(name.encode("ascii") for name in policy.protocols)

    def admit(self, exchange: Exchange) -> Verdict:
        head = exchange.head
        if not head.upgrade:
            return None
        policy = self._policy
        origin = head.header(b"origin")
        if self._origins and origin is not None and origin.lower() not in self._origins:
            return _BAD_ORIGIN
        handshake = take_token(policy, head.headers)
        if handshake is None:
            return _NO_TOKEN
        if handshake.by_cookie and (origin is None or origin.lower() not in self._origins):
            return _BAD_ORIGIN
        headers = handshake.headers
        if handshake.token:
            headers = (*headers, (b"authorization", b"Bearer " + handshake.token))
            exchange.subprotocol = handshake.echo
        if self._protocols and (names := offered(headers)):
            spoken = [name for name in names if name in self._protocols]
            if not spoken:
                return _NO_PROTOCOL
            kept = [header for header in headers if header[0] != b"sec-websocket-protocol"]
            headers = (*kept, (b"sec-websocket-protocol", b", ".join(spoken)))
        if not policy.inflate:
            headers = tuple(header for header in headers if header[0] != b"sec-websocket-extensions")
        head.headers = headers
        return None

    def explain(self, exchange: Exchange) -> GuardVerdict:
        """What the handshake would be told."""
        verdict = self.admit(exchange)
        if isinstance(verdict, Denial):
            return GuardVerdict(self.phase, "refuse", verdict.reason)
        return GuardVerdict(self.phase, "pass", "a handshake" if exchange.head.upgrade else "no handshake")


class WebSocketPolicies(Policy):
    """`websocket` of routes: what a handshake must look like. The frames after it are the pipeline's."""

    phase = "websocket"

    def compile(self, route: RouteConfig, configuration: Configuration) -> WebSocketGuard | None:
        policy = declared(route, WebSocketPolicy)
        return None if policy is None else WebSocketGuard(policy)

    @classmethod
    def check(cls, route: RouteConfig, configuration: Configuration) -> Iterator[Diagnostic]:
        policy = declared(route, WebSocketPolicy)
        if policy is None:
            return
        where = f"routes[{[each.name for each in configuration.routes].index(route.name)}].websocket"
        if policy.token_cookie and not policy.origins:
            yield Diagnostic(
                f"{where}.origins",
                "is empty, but browsers send a cookie with every page's handshake",
                "list the pages that may open this WebSocket",
            )
        for key in ("token_protocol", "token_cookie"):
            if getattr(policy, key) and route.auth is None:
                yield Diagnostic(f"{where}.{key}", "has no effect: the route asks nobody who they are", "add auth: jwt")
        if policy.on_excess == "drop" and policy.inflate:
            yield Diagnostic(
                f"{where}.on_excess",
                "drop leaves a hole in a compressed stream, which its reader cannot get over",
                "add inflate: false, or choose close or delay",
            )
        if policy.reauthenticate and route.auth is None:
            yield Diagnostic(
                f"{where}.reauthenticate", "has no effect: the route asks nobody who they are", "add auth:"
            )
        if policy.idle and policy.ping and policy.ping >= policy.idle:
            yield Diagnostic(f"{where}.ping", "is not shorter than idle", "", "warning")
        for index, limit in enumerate(policy.messages):
            for sentence in limit_problems(limit):
                yield Diagnostic(f"{where}.messages[{index}]", sentence)
        for name, code in policy.close_codes:
            if name not in CLOSE_CODES:
                yield Diagnostic(f"{where}.close_codes.{name}", f"there are {', '.join(CLOSE_CODES)}")
            if not (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) and not 3000 <= code <= 4999:
                yield Diagnostic(f"{where}.close_codes.{name}", f"{code} is no code that may be sent (RFC 6455 7.4)")
