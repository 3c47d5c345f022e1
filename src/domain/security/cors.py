"""Cross-origin access (Fetch standard, CORS protocol): what a preflight and an actual request are told.

Origins are compared exactly, as bytes, or by a pattern whose `*` stands for whole labels of a host name; an origin that is
not on the list is never echoed, in any header. `*` alone means any origin, and then never with credentials. `null`, the
origin of every sandboxed page, is met by no pattern. What depends on Origin says so in `Vary`.
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


_HOST_CHARACTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-."
#: Schemes whose origins are other people's pages or none at all.
_NEVER: Final = frozenset(("data", "blob", "javascript", "about", "filesystem", "null"))


def origin_problem(text: str) -> str:
    """Why `text` is neither an origin (RFC 6454) nor a pattern of origins, "" when it is: half a sentence, and after `|` the
    remedy."""
    if text in ("*", "null"):
        return ""
    scheme, separator, rest = text.partition("://")
    example = "|such as https://app.example.com, https://*.example.com or capacitor://localhost"
    if separator and "/" in rest:
        return f'{text!r} is not an origin|did you mean "{scheme}://{rest.split("/")[0]}"?'
    if not separator or not rest or not text.isascii() or not text.isprintable() or any(c in text for c in " ?#@\\,"):
        return f"{text!r} is not an origin{example}"
    if not scheme[:1].isalpha() or not scheme.replace("+", "").replace("-", "").replace(".", "").isalnum():
        return f"{text!r} is not an origin{example}"
    if text != text.lower():
        return f"browsers send origins in lower case, so {text!r} never matches|write {text.lower()}"
    if scheme in _NEVER:
        return f"{scheme}: has no origin of its own"
    if "*" in rest and not rest.startswith("*."):
        return "* stands for the first labels of a host name only|write https://*.example.com"
    if "*" in rest[2:] or (rest.startswith("*.") and "." not in rest[2:].partition(":")[0].strip(".")):
        return f"{text!r} would let in a whole top-level domain, or stands for more than a host's first labels{example}"
    if (scheme, rest.rpartition(":")[2]) in (("https", "443"), ("http", "80")):
        return f"browsers leave out the default port, so {text!r} never matches|write {text.rpartition(':')[0]}"
    return ""


class Cors:
    """A CORS policy compiled. Raises ValueError for `*` with credentials or among other origins.

    `*` among `headers` allows whatever header a preflight asks for, by naming it. In `expose` it stands alone and means
    all but with credentials, where browsers take it for a header's name (Fetch, CORS-safelisted response-header name).
    """

    __slots__ = ("_actual", "_any", "_any_header", "_headers", "_methods", "_origins", "_patterns", "_preflight")

    def __init__(self, policy: CorsPolicy) -> None:
        self._any = policy.origins == ("*",)
        if "*" in policy.origins and (not self._any or policy.credentials):
            raise ValueError("origins: * stands alone and never with credentials")
        self._origins = frozenset(origin.encode("ascii") for origin in policy.origins if "*" not in origin)
        patterns = [origin.encode("ascii").split(b"*", 1) for origin in policy.origins if "*" in origin[1:]]
        #: What stands before and behind the labels that a pattern leaves open.
        self._patterns = tuple((before, behind) for before, behind in patterns)
        self._methods = frozenset(policy.methods)
        self._headers = frozenset(name.lower() for name in policy.headers)
        self._any_header = "*" in self._headers
        if "*" in policy.expose and (policy.credentials or len(policy.expose) > 1):
            raise ValueError("expose: * stands alone, and with credentials browsers do not take it for any header")
        credentials: Headers = ((b"access-control-allow-credentials", b"true"),) if policy.credentials else ()
        expose: Headers = ()
        if policy.expose:
            expose = ((b"access-control-expose-headers", ", ".join(policy.expose).encode("ascii")),)
        self._actual = (*credentials, *expose)
        self._preflight = (
            *credentials,
            (b"access-control-allow-methods", ", ".join(policy.methods).encode("ascii")),
            (b"access-control-allow-headers", ", ".join(h for h in policy.headers if h != "*").encode("ascii")),
            (b"access-control-max-age", str(int(policy.max_age)).encode("ascii")),
        )

    def allows(self, origin: bytes) -> bool:
        return self._any or origin in self._origins or (self._patterns != () and self._is_like(origin))

    def _is_like(self, origin: bytes) -> bool:
        """Whether a pattern meets it: the same scheme and port, a host below the pattern's."""
        for before, behind in self._patterns:
            if len(origin) > len(before) + len(behind) and origin.startswith(before) and origin.endswith(behind):
                labels = origin[len(before) : len(origin) - len(behind)]
                if not labels.translate(None, _HOST_CHARACTERS) and all(labels.split(b".")):
                    return True
        return False

    def _allow(self, origin: bytes) -> Header:
        return (b"access-control-allow-origin", b"*" if self._any else origin)

    def preflight(self, head: RequestHead) -> Headers | None:
        """The answer's headers for a preflight; None when `head` is none.

        An origin that is not listed is told nothing but `Vary`. Any other is told what is allowed, also when that is
        less than it asked for: the browser then says which method or header it missed, instead of blaming the origin.
        """
        if head.method != "OPTIONS":
            return None
        origin, method = head.header(b"origin"), head.header(b"access-control-request-method")
        if origin is None or method is None:
            return None
        if not self.allows(origin):
            return (_VARY_PREFLIGHT,)
        granted = self._preflight
        asked = head.header(b"access-control-request-headers") or b""
        if self._any_header and asked:
            granted = tuple((n, asked) if n == b"access-control-allow-headers" else (n, v) for n, v in granted)
        return (self._allow(origin), *granted, _VARY_PREFLIGHT)

    def missed(self, head: RequestHead) -> str:
        """What of a preflight is not allowed, "" when all is."""
        origin = head.header(b"origin") or b""
        if not self.allows(origin):
            return "origin"
        if (head.header(b"access-control-request-method") or b"").decode("latin-1") not in self._methods:
            return "method"
        asked = (head.header(b"access-control-request-headers") or b"").split(b",")
        named = [name.strip().lower().decode("latin-1") for name in asked if name.strip()]
        return "" if self._any_header or all(name in self._headers for name in named) else "header"

    def actual(self, head: RequestHead) -> Headers:
        """Headers for the answer to any other request."""
        origin = head.header(b"origin")
        if origin is None or not self.allows(origin):
            return () if self._any else (_VARY,)
        return (self._allow(origin), *self._actual) if self._any else (self._allow(origin), *self._actual, _VARY)
