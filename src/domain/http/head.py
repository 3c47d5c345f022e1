"""Request and response heads as values, and the rules of HTTP that need no socket.

Header names are lower-case bytes, order and duplicates kept. A `path` is the canonical path: the one used for
matching, keys, logs and the wire to the target (RFC 3986 6.2.2; dot and empty segments were refused at the edge).

The rules refuse, they do not repair: what two parsers could read in two ways is answered with a `Denial` whose reason
is one of `EDGE_REASONS`. All work on raw bytes; the usual request is judged by a few C-level scans.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from spork.domain.http.authority import HostList, authority
from spork.domain.outcomes import Denial

Header = tuple[bytes, bytes]
Headers = tuple[Header, ...]


@dataclass(slots=True, init=False)
class RequestHead:
    """A request as it passed the edge.

    `query` is None when the target had no `?`. `host` is the validated authority, lower-cased, with its port if any.
    `peer` is the socket's address, not yet the client's. `certificate` is the verified client certificate's
    subject and SANs when TLS asked for one.
    """

    method: str
    path: bytes
    query: bytes | None
    headers: Headers
    scheme: str
    host: bytes
    version: str
    peer: str
    peer_port: int
    certificate: dict[str, object] | None
    upgrade: bool

    # Written out, because the one that `dataclass` makes is not compiled and costs more than all it sets.
    def __init__(
        self,
        method: str,
        path: bytes,
        query: bytes | None,
        headers: Headers,
        scheme: str,
        host: bytes,
        version: str = "1.1",
        peer: str = "",
        peer_port: int = 0,
        certificate: dict[str, object] | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.scheme = scheme
        self.host = host
        self.version = version
        self.peer = peer
        self.peer_port = peer_port
        self.certificate = certificate
        self.upgrade = False

    def header(self, name: bytes) -> bytes | None:
        """The first value of `name` (lower-case), or None."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    @property
    def target(self) -> bytes:
        """Origin-form request target."""
        return self.path if self.query is None else self.path + b"?" + self.query


#: Fields of one connection only (RFC 9110 7.6.1), with the older ones some clients still send.
HOP_BY_HOP: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)

#: Fields only the gateway may set towards a target; whatever a client sends under these names is dropped.
GATEWAY_OWNED: Final = frozenset(
    (
        b"x-request-id",
        b"forwarded",
        b"x-real-ip",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-http-method-override",
        b"x-http-method",
        b"x-method-override",
    )
)
GATEWAY_OWNED_PREFIXES: Final = (b"x-user-", b"x-consumer-", b"x-forwarded-", b"x-gateway-")

IDEMPOTENT: Final = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))

#: Methods of HTTP that the parser underneath knows (it also knows RTSP's and Icecast's). CONNECT would make the
#: gateway an open tunnel, TRACE would show a client the credentials that proxies before us added.
# fmt: off
METHODS: Final = frozenset((
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "QUERY", "PROPFIND", "PROPPATCH", "MKCOL", "COPY",
    "MOVE", "LOCK", "UNLOCK", "SEARCH", "BIND", "REBIND", "UNBIND", "ACL", "REPORT", "MKACTIVITY", "CHECKOUT", "MERGE",
    "M-SEARCH", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE", "PURGE", "MKCALENDAR", "LINK", "UNLINK",
))
# fmt: on

#: Every reason the edge itself refuses for, beside the body faults of `spork.domain.outcomes.FaultKind`.
EDGE_REASONS: Final = (
    "malformed_request",
    "unsupported_version",
    "method_not_implemented",
    "bad_host",
    "unknown_host",
    "host_mismatch",
    "bad_request_target",
    "target_too_long",
    "bad_header_name",
    "header_section_too_large",
    "bad_framing",
    "unsupported_transfer_coding",
    "expectation_failed",
    "bad_upgrade",
    "unsupported_upgrade",
    "header_timeout",
    "overloaded",
    "internal_error",
)

MALFORMED: Final = Denial("malformed_request", "The request is not well-formed HTTP/1.1.", close=True)
BAD_VERSION: Final = Denial("unsupported_version", "Only HTTP/1.0 and HTTP/1.1 are spoken here.", close=True)
BAD_METHOD: Final = Denial("method_not_implemented", "This method is not implemented.", close=True)
BAD_HOST: Final = Denial("bad_host", "Exactly one well-formed Host is required.", close=True)
UNKNOWN_HOST: Final = Denial("unknown_host", "This host is not served here.")
HOST_MISMATCH: Final = Denial("host_mismatch", "The request target and Host name different authorities.", close=True)
BAD_TARGET: Final = Denial("bad_request_target", "The request target is not a well-formed, unambiguous path.")
TARGET_TOO_LONG: Final = Denial("target_too_long", "The request target is too long.", close=True)
BAD_HEADER_NAME: Final = Denial("bad_header_name", "A header name is not acceptable.", close=True)
HEAD_TOO_LARGE: Final = Denial("header_section_too_large", "The header section is too large.", close=True)
BAD_FRAMING: Final = Denial("bad_framing", "The length of the request body is ambiguous.", close=True)
BAD_CODING: Final = Denial("unsupported_transfer_coding", "The only transfer coding supported is chunked.", close=True)
BAD_EXPECTATION: Final = Denial("expectation_failed", "The only expectation supported is 100-continue.", close=True)
BAD_UPGRADE: Final = Denial(
    "bad_upgrade",
    "The WebSocket handshake is not acceptable.",
    headers=((b"sec-websocket-version", b"13"),),
    close=True,
)
UNKNOWN_UPGRADE: Final = Denial("unsupported_upgrade", "The only upgrade supported is websocket.", close=True)
HEADER_TIMEOUT: Final = Denial("header_timeout", "The request head took too long to arrive.", close=True)
OVERLOADED: Final = Denial("overloaded", "Too many requests are in flight.", retry_after=1.0)
INTERNAL_ERROR: Final = Denial("internal_error", "", close=True)

_ALNUM: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_UNRESERVED: Final = _ALNUM + b"-._~"
_PATH_PLAIN: Final = _UNRESERVED + b"!$&'()*+,;=:@/"
_TOKEN: Final = _ALNUM + b"!#$%&'*+-.^_`|~"
_QUERY_NEVER: Final = bytes(range(0x21)) + b"#\x7f" + bytes(range(0x80, 0x100))
_SHOWN: Final = bytes(octet if 0x20 < octet < 0x7F else 0x3F for octet in range(256))
_BASE64: Final = _ALNUM + b"+/"
_DOT: Final = 0x2E
_QUESTION_MARK: Final = 0x3F


def _read_escapes() -> dict[bytes, bytes | None]:
    """Every two hex digits in any case -> their canonical form, or None where the octet is refused.

    Controls reach logs and line-based protocols behind the gateway; `/` and `\\` hide a segment boundary.
    """
    table: dict[bytes, bytes | None] = {}
    for octet in range(256):
        upper = b"%02X" % octet
        if octet < 0x20 or octet in (0x7F, 0x2F, 0x5C):
            form = None
        elif octet in _UNRESERVED:
            form = bytes((octet,))
        else:
            form = b"%" + upper
        for spelling in {upper, upper.lower(), upper[:1].lower() + upper[1:], upper[:1] + upper[1:].lower()}:
            table[spelling] = form
    return table


_ESCAPES: Final = _read_escapes()


def canonical_path(raw: bytes, slashes: bool = False) -> bytes | Denial:
    """The canonical form of an origin-form path (RFC 3986 6.2.2.1, 6.2.2.2), or `BAD_TARGET`.

    With `slashes` a `%2F` stays as it is, part of its segment; dot segments are sought behind it too.

    Refused: anything but one leading `/`, octets that are no `pchar`, bad escapes, encoded controls, `%2F`, `%5C`,
    empty segments, and dot segments, literal or encoded or with path parameters (`..;x`, which some servers drop).
    """
    if raw.translate(None, _PATH_PLAIN):
        decoded = _decode_unreserved(raw, slashes)
        if decoded is None:
            return BAD_TARGET
        raw = decoded
    # A number is sought in bytes at once; for bytes in bytes CPython first makes and drops a TypeError.
    if raw[:1] != b"/" or raw.find(b"//") >= 0:
        return BAD_TARGET
    if _DOT in raw and _has_dot_segment(raw.replace(b"%2F", b"/") if slashes else raw):
        return BAD_TARGET
    return raw


def _decode_unreserved(raw: bytes, slashes: bool = False) -> bytes | None:
    """`raw` with upper-case escapes and none for unreserved octets; None where an octet or escape is refused."""
    plain, *escaped = raw.split(b"%")
    parts = [plain]
    for piece in escaped:
        form = _ESCAPES.get(piece[:2])
        if form is None:
            if not slashes or piece[:2].upper() != b"2F":
                return None
            form = b"%2F"
        parts += (form, piece[2:])
    joined = b"".join(parts)
    return None if joined.translate(None, _PATH_PLAIN + b"%") else joined


def _has_dot_segment(path: bytes) -> bool:
    return any(segment.partition(b";")[0] in (b".", b"..") for segment in path.split(b"/"))


def split_target(method: str, target: bytes, host: bytes, slashes: bool = False) -> tuple[bytes, bytes | None] | Denial:
    """Canonical path and raw query of a request target (RFC 9112 3.2), or why it is refused.

    `host` is the validated Host ("" when a 1.0 client sent none); an absolute-form's authority must equal it.
    Asterisk-form gives the path `*`, for OPTIONS only. `slashes` as in `canonical_path`.
    """
    if target[:1] != b"/":
        if target == b"*":
            return (b"*", None) if method == "OPTIONS" else BAD_TARGET
        origin = _origin_form(target, host)
        if isinstance(origin, Denial):
            return origin
        target = origin
    if _QUESTION_MARK not in target:
        path = canonical_path(target, slashes)
        return path if isinstance(path, Denial) else (path, None)
    raw, _, query = target.partition(b"?")
    path = canonical_path(raw, slashes)
    if isinstance(path, Denial):
        return path
    if query and len(query.translate(None, _QUERY_NEVER)) != len(query):
        return BAD_TARGET
    return path, query


def _origin_form(target: bytes, host: bytes) -> bytes | Denial:
    """The origin-form of an absolute-form target whose authority is `host`."""
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        return BAD_TARGET
    end = min((at for at in (rest.find(b"/"), rest.find(b"?"), rest.find(b"#")) if at >= 0), default=len(rest))
    named = authority(rest[:end])
    if named is None:
        return BAD_TARGET
    if named != host:
        return HOST_MISMATCH
    origin = rest[end:]
    return origin if origin[:1] == b"/" else b"/" + origin


def judged_host(raw: bytes, accepted: HostList) -> bytes | Denial:
    """The normal form of a Host value, or why it is refused: it is no authority, or none that is served."""
    named = authority(raw.strip(b" \t"))
    if named is None:
        return BAD_HOST
    return named if accepted.accepts(named) else UNKNOWN_HOST


def shown(raw: bytes, most: int = 256) -> bytes:
    """Bytes of a client as a log may show them: bounded, printable ASCII, `?` in place of the rest."""
    cut = raw[:most] + b"..." if len(raw) > most else raw
    return cut.translate(_SHOWN)


def header_name(raw: bytes) -> bytes | None:
    """The lower-case field name, or None when it is no token (RFC 9110 5.6.2) or has `_`.

    Servers behind CGI-like interfaces cannot tell `X_User_Id` from `X-User-Id`: such a name would be a forged alias.
    """
    if not raw or b"_" in raw or raw.translate(None, _TOKEN):
        return None
    return raw.lower()


def transfer_coding(values: list[bytes], version: str, has_length: bool) -> Denial | None:
    """None when the only Transfer-Encoding is `chunked`, on HTTP/1.1, without Content-Length (RFC 9112 6.1, 6.3)."""
    if version != "1.1" or has_length or len(values) != 1:
        return BAD_FRAMING
    codings = [part.strip(b" \t").lower() for part in values[0].split(b",")]
    if codings == [b"chunked"]:
        return None
    if not all(codings) or codings.count(b"chunked") > 1 or b"chunked" in codings[:-1]:
        return BAD_FRAMING
    return BAD_CODING


def expectation(values: Iterable[bytes]) -> Denial | None:
    """None when every Expect is `100-continue` (RFC 9110 10.1.1)."""
    return None if all(value.lower() == b"100-continue" for value in values) else BAD_EXPECTATION


def websocket_upgrade(head: RequestHead, has_body: bool) -> Denial | None:
    """None when a request with Upgrade is a WebSocket opening handshake of version 13 (RFC 6455 4.2.1)."""
    upgrades = [value.lower() for name, value in head.headers if name == b"upgrade"]
    if upgrades != [b"websocket"]:
        return UNKNOWN_UPGRADE
    named = b",".join(value for name, value in head.headers if name == b"connection").lower()
    keys = [value for name, value in head.headers if name == b"sec-websocket-key"]
    versions = [value for name, value in head.headers if name == b"sec-websocket-version"]
    sound = (
        head.method == "GET"
        and head.version == "1.1"
        and not has_body
        and b"upgrade" in [token.strip(b" \t") for token in named.split(b",")]
        and versions == [b"13"]
        and len(keys) == 1
        and _is_websocket_key(keys[0])
    )
    return None if sound else BAD_UPGRADE


def _is_websocket_key(value: bytes) -> bool:
    """Base64 of exactly 16 octets: 22 digits, the last of which carries four zero bits, and two `=`."""
    return len(value) == 24 and value[22:] == b"==" and not value[:22].translate(None, _BASE64) and value[21] in b"AQgw"


def cookie(headers: Headers, name: bytes) -> bytes:
    """The value of the first cookie called `name`, b"" when there is none (RFC 6265 5.4)."""
    for key, value in headers:
        if key == b"cookie":
            for pair in value.split(b";"):
                given, _, content = pair.strip().partition(b"=")
                if given == name:
                    return content
    return b""
