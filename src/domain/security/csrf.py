"""Cross-site request forgery: whether a request that carries cookies was meant by its user.

Only requests that change something and carry a cookie, and no credential of another kind, can be forged. Browsers say
where such a request comes from: `Sec-Fetch-Site` (Fetch Metadata), else `Origin`, else `Referer`. Where they say
nothing, a token decides: a cookie that only our own pages can read must be repeated in a header (signed double submit).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from enum import Enum
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


def judge(head: RequestHead, allowed: frozenset[bytes], key: bytes) -> Forgery:
    """Whether this request may be forged. `allowed` are other origins that may write; `key` signs tokens."""
    cookies = [value for name, value in head.headers if name == b"cookie"]
    if head.method in SAFE or not cookies or head.header(b"authorization") is not None:
        return Forgery.NONE
    origin = head.header(b"origin")
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
    if given is None or token is None or not hmac.compare_digest(given, token) or not is_token(token, key):
        return Forgery.NO_PROOF
    return Forgery.NONE


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


def make_token(chance: bytes, key: bytes) -> bytes:
    """A token from 16 random bytes: a nonce and its HMAC, so that a cookie planted by a neighbour host is no token."""
    nonce = chance[:16].hex().encode("ascii")
    return nonce + b"." + hmac.digest(key, b"csrf " + nonce, "sha256").hex().encode("ascii")


def is_token(token: bytes, key: bytes) -> bool:
    nonce, _, mac = token.partition(b".")
    expected = hmac.digest(key, b"csrf " + nonce, "sha256").hex().encode("ascii")
    return len(nonce) == _NONCE and hmac.compare_digest(mac, expected)


def wants_token(head: RequestHead) -> bool:
    """Whether to hand out a token with this answer: a safe request of a browser that has cookies but no token yet."""
    if head.method not in ("GET", "HEAD"):
        return False
    cookies = [value for name, value in head.headers if name == b"cookie"]
    return bool(cookies) and _cookie(cookies, COOKIE) is None


def token_cookie(token: bytes, secure: bool) -> Headers:
    """The Set-Cookie field for `token`. Scripts of our own pages must read it, so it is not HttpOnly."""
    flags = b"; Path=/; SameSite=Lax" + (b"; Secure" if secure else b"")
    return ((b"set-cookie", COOKIE + b"=" + token + flags),)
