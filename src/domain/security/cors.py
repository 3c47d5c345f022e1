"""Cross-origin access (Fetch standard, CORS protocol): what a preflight and an actual request are told.

Origins are compared exactly, as bytes; an origin that is not on the list is never echoed, in any header. `*` alone
means any origin, and then never with credentials. What depends on Origin says so in `Vary`.
"""

from __future__ import annotations

from typing import Final

from spork.domain.http.head import Header, Headers, RequestHead
from spork.domain.identity.authorization import CorsPolicy

#: Fields of the CORS protocol in answers. Where the gateway speaks for a route, the target's own are removed.
RESPONSE_FIELDS: Final = frozenset(
    (
        b"access-control-allow-origin",
        b"access-control-allow-credentials",
        b"access-control-allow-methods",
        b"access-control-allow-headers",
        b"access-control-expose-headers",
        b"access-control-max-age",
    )
)

_VARY: Final[Header] = (b"vary", b"Origin")
_VARY_PREFLIGHT: Final[Header] = (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers")


class Cors:
    """A CORS policy compiled. Raises ValueError for `*` with credentials or among other origins."""

    __slots__ = ("_actual", "_any", "_headers", "_methods", "_origins", "_preflight")

    def __init__(self, policy: CorsPolicy) -> None:
        self._any = policy.origins == ("*",)
        if "*" in policy.origins and (not self._any or policy.credentials):
            raise ValueError("origins: * stands alone and never with credentials")
        self._origins = frozenset(origin.encode("ascii") for origin in policy.origins)
        self._methods = frozenset(policy.methods)
        self._headers = frozenset(name.lower() for name in policy.headers)
        credentials: Headers = ((b"access-control-allow-credentials", b"true"),) if policy.credentials else ()
        expose: Headers = ()
        if policy.expose:
            expose = ((b"access-control-expose-headers", ", ".join(policy.expose).encode("ascii")),)
        self._actual = (*credentials, *expose)
        self._preflight = (
            *credentials,
            (b"access-control-allow-methods", ", ".join(policy.methods).encode("ascii")),
            (b"access-control-allow-headers", ", ".join(policy.headers).encode("ascii")),
            (b"access-control-max-age", str(int(policy.max_age)).encode("ascii")),
        )

    def allows(self, origin: bytes) -> bool:
        return self._any or origin in self._origins

    def _allow(self, origin: bytes) -> Header:
        return (b"access-control-allow-origin", b"*" if self._any else origin)

    def preflight(self, head: RequestHead) -> Headers | None:
        """The answer's headers for a preflight; None when `head` is none. A refused one is told nothing but `Vary`."""
        if head.method != "OPTIONS":
            return None
        origin, method = head.header(b"origin"), head.header(b"access-control-request-method")
        if origin is None or method is None:
            return None
        if not self.allows(origin) or not self._grants(method, head.header(b"access-control-request-headers") or b""):
            return (_VARY_PREFLIGHT,)
        return (self._allow(origin), *self._preflight, _VARY_PREFLIGHT)

    def _grants(self, method: bytes, headers: bytes) -> bool:
        if method.decode("latin-1") not in self._methods:
            return False
        named = (name.strip().lower().decode("latin-1") for name in headers.split(b",") if name.strip())
        return all(name in self._headers for name in named)

    def actual(self, head: RequestHead) -> Headers:
        """Headers for the answer to any other request."""
        origin = head.header(b"origin")
        if origin is None or not self.allows(origin):
            return () if self._any else (_VARY,)
        return (self._allow(origin), *self._actual) if self._any else (self._allow(origin), *self._actual, _VARY)
