"""Where on a request credentials may stand, and taking them from there.

A token may stand in `Authorization` (RFC 6750 2.1), in other headers, in a cookie, in the query (RFC 6750 2.3: only where
nothing else can be done) and behind a subprotocol's name of a WebSocket handshake; an API key in headers, a cookie or the query.
What is taken from cookie, query and subprotocols is no part of the request from then on: neither logs nor targets see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from spork.domain.http.head import Header, RequestHead
from spork.domain.http.websocket_policy import offered

#: Query parameters whose value no log and no view shows, and so the only ones that may carry a credential.
UNLOGGED_PARAMETERS: Final = ("access_token", "token", "api_key", "apikey", "key")


@dataclass(frozen=True, slots=True)
class TokenPlaces:
    """Where a Bearer token may stand. `protocol` is the subprotocol's name that announces one."""

    authorization: bool = True
    headers: tuple[str, ...] = ()
    cookie: str = ""
    query: str = ""
    protocol: str = ""


@dataclass(frozen=True, slots=True)
class KeyPlaces:
    """Where an API key may stand."""

    headers: tuple[str, ...] = ("X-API-Key",)
    cookie: str = ""
    query: str = ""


@dataclass(frozen=True, slots=True)
class Presented:
    """What was found: None where nothing stands in any of the places, b"" where several things or an empty one do.

    `echo` is the subprotocol that must be answered when the target selects none.
    """

    token: bytes | None = None
    key: bytes | None = None
    echo: bytes = b""


class Presentation:
    """Takes the credentials of one route's requests. `consumes` are the headers that carry nothing else."""

    def __init__(self, tokens: TokenPlaces, keys: KeyPlaces) -> None:
        self._authorization = tokens.authorization
        self._token_headers = _names(tokens.headers)
        self._key_headers = _names(keys.headers)
        self._token_cookie = tokens.cookie.encode("ascii")
        self._key_cookie = keys.cookie.encode("ascii")
        self._token_query = tokens.query.encode("ascii")
        self._key_query = keys.query.encode("ascii")
        self._protocol = tokens.protocol.encode("ascii")
        self.consumes = self._token_headers | self._key_headers

    def take(self, head: RequestHead) -> Presented:
        """What `head` shows; taken out of its cookies, query and subprotocols.

        A cookie is sent by the browser whatever else a client shows, so it counts only where nothing else does.
        """
        tokens: list[bytes] = []
        keys: list[bytes] = []
        for name, value in head.headers:
            if name == b"authorization" and self._authorization and value[:7].lower() == b"bearer ":
                tokens.append(value[7:].strip(b" "))
            if name in self._token_headers:
                tokens.append(value[7:].strip(b" ") if value[:7].lower() == b"bearer " else value)
            if name in self._key_headers:
                keys.append(value)
        if head.query is not None:
            tokens += _take_parameter(head, self._token_query)
            keys += _take_parameter(head, self._key_query)
        echo = self._take_protocol(head, tokens)
        by_cookie = _take_cookie(head, self._token_cookie)
        key_by_cookie = _take_cookie(head, self._key_cookie)
        return Presented(_one(tokens or by_cookie), _one(keys or key_by_cookie), echo)

    def _take_protocol(self, head: RequestHead, tokens: list[bytes]) -> bytes:
        if not self._protocol or not head.upgrade:
            return b""
        items = offered(head.headers)
        if self._protocol not in items:
            return b""
        at = items.index(self._protocol)
        tokens.append(items[at + 1] if at + 1 < len(items) else b"")
        rest = items[:at] + items[at + 2 :]
        kept: list[Header] = [header for header in head.headers if header[0] != b"sec-websocket-protocol"]
        if rest:
            kept.append((b"sec-websocket-protocol", b", ".join(rest)))
        head.headers = tuple(kept)
        return self._protocol


def _names(headers: tuple[str, ...]) -> frozenset[bytes]:
    return frozenset(name.lower().encode("ascii") for name in headers)


def _one(found: list[bytes]) -> bytes | None:
    if not found:
        return None
    return found[0] if len(found) == 1 else b""


def _take_cookie(head: RequestHead, wanted: bytes) -> list[bytes]:
    """The values of the cookies of this name: two, when a neighbouring host planted one. Head is then without them."""
    if not wanted:
        return []
    found: list[bytes] = []
    kept: list[Header] = []
    for name, value in head.headers:
        if name != b"cookie" or wanted not in value:
            kept.append((name, value))
            continue
        rest = []
        for pair in value.split(b";"):
            key, _, text = pair.strip(b" ").partition(b"=")
            if key == wanted:
                found.append(text.strip(b'"'))
            elif key or text:
                rest.append(pair.strip(b" "))
        if rest:
            kept.append((name, b"; ".join(rest)))
    if found:
        head.headers = tuple(kept)
    return found


def _take_parameter(head: RequestHead, wanted: bytes) -> list[bytes]:
    """The values of a query parameter, percent-decoded; head is then without it, and without a query that is empty."""
    if not wanted or head.query is None:
        return []
    found: list[bytes] = []
    kept: list[bytes] = []
    for pair in head.query.split(b"&"):
        name, _, value = pair.partition(b"=")
        if unquote_to_bytes(name.replace(b"+", b" ")) == wanted:
            found.append(unquote_to_bytes(value.replace(b"+", b" ")))
        else:
            kept.append(pair)
    if found:
        head.query = b"&".join(kept) or None
    return found
