"""What a route asks of WebSockets: who may open one, how much may pass, how long it may last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from spork.domain.http.head import Header, Headers
from spork.domain.limits.limit import Limit

#: Names of close codes that a route may change, and what they are otherwise.
CLOSE_CODES: Final = {
    "expired": 4401,
    "revoked": 4401,
    "forbidden": 4403,
    "messages": 1008,
    "size": 1009,
    "idle": 1001,
    "lifetime": 1001,
    "closed": 1001,
}


@dataclass(frozen=True, slots=True)
class WebSocketPolicy:
    """WebSocket policies of one route. Times in seconds, sizes in bytes of payload on the wire; 0 is off.

    `origins` empty: any. `protocols` empty: any. `token_protocol` is the subprotocol name before a token,
    `token_cookie` the cookie that carries one. `on_excess` is what becomes of a message too many: close, drop or delay.
    """

    origins: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    token_protocol: str = ""
    token_cookie: str = ""
    message_bytes: int = 0
    answer_bytes: int = 0
    messages: tuple[Limit, ...] = ()
    on_excess: str = "close"
    idle: float = 0.0
    ping: float = 0.0
    lifetime: float = 0.0
    reauthenticate: float = 0.0
    inflate: bool = True
    restart_code: int = 1001
    close_codes: tuple[tuple[str, int], ...] = ()

    @property
    def observes(self) -> bool:
        """Whether frames have to be looked at."""
        return bool(self.message_bytes or self.answer_bytes or self.messages or self.idle or self.ping)


@dataclass(frozen=True, slots=True)
class Handshake:
    """A handshake's headers once the token was taken out. `token` b"" when there was none in the places asked.

    `echo` is the subprotocol that must be answered when the target selects none: a browser that offered something and
    is answered nothing fails the connection (RFC 6455 4.1).
    """

    headers: Headers
    token: bytes = b""
    echo: bytes = b""
    by_cookie: bool = False


def offered(headers: Headers) -> list[bytes]:
    """The subprotocols a client offers, in its order."""
    return [
        item.strip(b" \t")
        for name, value in headers
        if name == b"sec-websocket-protocol"
        for item in value.split(b",")
        if item.strip(b" \t")
    ]


def take_token(policy: WebSocketPolicy, headers: Headers) -> Handshake | None:
    """The handshake without its token, and the token. None: a token was announced and none follows."""
    if policy.token_protocol:
        items = offered(headers)
        mark = policy.token_protocol.encode("ascii")
        if mark in items:
            at = items.index(mark)
            if at + 1 >= len(items):
                return None
            token = items[at + 1]
            rest = items[:at] + items[at + 2 :]
            kept: list[Header] = [header for header in headers if header[0] != b"sec-websocket-protocol"]
            if rest:
                kept.append((b"sec-websocket-protocol", b", ".join(rest)))
            return Handshake(tuple(kept), token, mark)
    if policy.token_cookie:
        found, without = take_cookie(headers, policy.token_cookie.encode("ascii"))
        if found:
            return Handshake(without, found, by_cookie=True)
    return Handshake(headers)


def take_cookie(headers: Headers, wanted: bytes) -> tuple[bytes, Headers]:
    """A cookie's value and the headers without it; b"" when it is not there (RFC 6265 4.2)."""
    found = b""
    kept: list[Header] = []
    for name, value in headers:
        if name != b"cookie":
            kept.append((name, value))
            continue
        rest = []
        for pair in value.split(b";"):
            key, equals, text = pair.strip(b" ").partition(b"=")
            if equals and key == wanted and not found:
                found = text.strip(b'"')
            elif key != wanted and pair.strip(b" "):
                rest.append(pair.strip(b" "))
        if rest:
            kept.append((b"cookie", b"; ".join(rest)))
    return found, tuple(kept)
