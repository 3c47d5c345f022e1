"""Cross-site request forgery: whether a request that carries cookies was meant by its user.

Only requests that change something, or open a WebSocket, and carry a credential that browsers add by themselves (cookies,
remembered passwords, client certificates) can be forged. Browsers say
where such a request comes from: `Sec-Fetch-Site` (Fetch Metadata), else `Origin`, else `Referer`. Where they say
nothing, a token decides: a cookie that only our own pages can read must be repeated in a header (signed double submit), and it is good for one session only.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final
from urllib.parse import urlsplit

from spork.domain.http.head import Headers, RequestHead

SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
COOKIE = b"spork-csrf"
HEADER = b"x-csrf-token"
_NONCE = 32  # hex characters: 128 bits


class Forgery(Enum):
    """What speaks against a request, or that nothing does. The value is the slug for logs."""

    NONE = "none"
    CROSS_SITE = "cross_site"
    NO_PROOF = "no_proof"


def judge(head: RequestHead, allowed: frozenset[bytes], key: bytes, session_cookie: bytes = b"") -> Forgery:
    """Whether this request may be forged. `allowed` are other origins that may write; `key` signs tokens, which are good
    for one session only: see `session_of`."""
    cookies = [value for name, value in head.headers if name == b"cookie"]
    if not sent_by_browsers(head, cookies):
        return Forgery.NONE
    origin = head.header(b"origin")
    if head.method in SAFE and not (head.upgrade and origin is not None):
        # A WebSocket handshake is a GET that opens both ways; browsers always say from where (RFC 6455 10.2).
        return Forgery.NONE
    if origin is not None and origin in allowed:
        return Forgery.NONE
    site = head.header(b"sec-fetch-site")
    if site is not None:
        # `none` is a user's own doing (address bar); `same-site` is another host, which may be anybody's subdomain.
        return Forgery.NONE if site in (b"same-origin", b"none") else Forgery.CROSS_SITE
    claimed = origin if origin is not None else _origin_of(head.header(b"referer"))
    if claimed is not None:
        own = head.scheme.encode("ascii") + b"://" + head.host
        return Forgery.NONE if claimed == own or claimed in allowed else Forgery.CROSS_SITE
    given = head.header(HEADER)
    token = _cookie(cookies, COOKIE)
    if given is None or token is None or not hmac.compare_digest(given, token):
        return Forgery.NO_PROOF
    return Forgery.NONE if is_token(token, key, session_of(head, session_cookie)) else Forgery.NO_PROOF


def session_of(head: RequestHead, cookie: bytes) -> bytes:
    """What a token is bound to: the value of the session's cookie, if one is named, else the Authorization that the browser
    adds by itself. Empty before there is either."""
    if cookie:
        value = _cookie([value for name, value in head.headers if name == b"cookie"], cookie)
        return b"cookie " + value if value is not None else b""
    given = head.header(b"authorization")
    return b"authorization " + given if given is not None else b""


#: Schemes of Authorization that browsers add by themselves, to requests of any site.
_AMBIENT: Final = frozenset((b"basic", b"digest", b"negotiate", b"ntlm"))


def sent_by_browsers(head: RequestHead, cookies: Sequence[bytes]) -> bool:
    """Whether a request carries a credential that a browser adds without being told: cookies, passwords it remembers,
    a client certificate. A Bearer token or a key in a header is set by a script, which other sites cannot."""
    given = head.header(b"authorization")
    if given is not None:
        return given.partition(b" ")[0].lower() in _AMBIENT
    return bool(cookies) or head.certificate is not None


def _origin_of(referer: bytes | None) -> bytes | None:
    if not referer:
        return None
    try:
        parts = urlsplit(referer.decode("latin-1"))
    except ValueError:
        return b""
    return f"{parts.scheme}://{parts.netloc}".encode("latin-1")


def _cookie(fields: Iterable[bytes], name: bytes) -> bytes | None:
    for field in fields:
        for pair in field.split(b";"):
            key, _, value = pair.strip(b" ").partition(b"=")
            if key == name:
                return value
    return None


def make_token(chance: bytes, key: bytes, session: bytes = b"") -> bytes:
    """A token from 16 random bytes: a nonce and its HMAC with the session, so that neither a cookie planted by a neighbour
    host nor a token handed to somebody else is one."""
    nonce = chance[:16].hex().encode("ascii")
    return nonce + b"." + _mac(nonce, key, session)


def _mac(nonce: bytes, key: bytes, session: bytes) -> bytes:
    return hmac.digest(key, b"csrf " + nonce + b" " + session, "sha256").hex().encode("ascii")


def is_token(token: bytes, key: bytes, session: bytes = b"") -> bool:
    """Whether the holder of `key` made `token` for this session."""
    nonce, _, mac = token.partition(b".")
    expected = _mac(nonce, key, session)
    return len(nonce) == _NONCE and hmac.compare_digest(mac, expected)


def wants_token(head: RequestHead, key: bytes, session_cookie: bytes = b"") -> bool:
    """Whether to hand out a token with this answer: a safe request of a browser that has cookies, but no token of its
    session yet."""
    if head.method not in ("GET", "HEAD"):
        return False
    cookies = [value for name, value in head.headers if name == b"cookie"]
    if not cookies:
        return False
    token = _cookie(cookies, COOKIE)
    return token is None or not is_token(token, key, session_of(head, session_cookie))


def token_cookie(token: bytes, secure: bool) -> Headers:
    """The Set-Cookie field for `token`. Scripts of our own pages must read it, so it is not HttpOnly."""
    flags = b"; Path=/; SameSite=Lax" + (b"; Secure" if secure else b"")
    return ((b"set-cookie", COOKIE + b"=" + token + flags),)
