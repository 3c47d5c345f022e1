"""Request and response heads as values, and the rules of HTTP that need no socket.

Header names are lower-case bytes, order and duplicates kept. A `path` is the canonical path: the one used for
matching, keys, logs and the wire to the target (RFC 3986 6.2.2; dot and empty segments were refused at the edge).
"""

from __future__ import annotations

from dataclasses import dataclass, field

Header = tuple[bytes, bytes]
Headers = tuple[Header, ...]


@dataclass(slots=True)
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
    version: str = "1.1"
    peer: str = ""
    peer_port: int = 0
    certificate: dict[str, object] | None = field(default=None)
    upgrade: bool = False

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
HOP_BY_HOP = frozenset(
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
GATEWAY_OWNED = frozenset(
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
GATEWAY_OWNED_PREFIXES = (b"x-user-", b"x-consumer-", b"x-forwarded-", b"x-gateway-")

IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))
