"""How each front (a proxy that asks before it forwards) says which request it asks about.

Each front has an endpoint of its own that reads that front's fields and no others: a client can put any field on its
request, and most fronts pass on those they do not set themselves. A field that is missing, or stands there twice, is
refused: nobody knows whose word it is. The path must be canonical as it stands, because the front's target will get it as
it stands; fronts that normalise paths before they ask may be believed to (`normalize`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from spork.domain.http.authority import HostList
from spork.domain.http.head import (
    BAD_METHOD,
    BAD_TARGET,
    GATEWAY_OWNED,
    GATEWAY_OWNED_PREFIXES,
    HOP_BY_HOP,
    METHODS,
    Header,
    RequestHead,
    canonical_path,
    judged_host,
    split_target,
)
from spork.domain.outcomes import Denial

#: Below this path the decision API is asked: `/decide/FRONT`.
DECIDE: Final = b"/decide/"
#: Carries the shared secret, where one is configured.
SECRET_FIELD: Final = b"x-gateway-decide"
#: What is told of the decision in answers, for fronts that know only a few statuses.
STATUS_FIELD: Final = b"x-gateway-status"
ROUTE_FIELD: Final = b"x-gateway-route"
#: Who calls, as every allowing answer says it: empty for what is not known, so that a client's own is overwritten.
IDENTITY_FIELDS: Final = (
    b"x-user-id",
    b"x-user-method",
    b"x-user-issuer",
    b"x-user-tenant",
    b"x-user-session",
    b"x-user-roles",
    b"x-user-scopes",
    b"x-consumer-id",
    b"x-consumer-plan",
    b"x-gateway-identity",
    b"x-gateway-route",
)

_FORWARDED: Final = (
    b"x-forwarded-method",
    b"x-forwarded-uri",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-forwarded-for",
)
_ORIGINAL: Final = (b"x-original-method", b"x-original-uri", b"x-original-host", b"x-real-ip")
_ENVOY: Final = (b"x-forwarded-proto", b"x-envoy-external-address")

#: Each front and the fields it says its request in: method, target, host, scheme, client. Envoy sends the first three as
#: they are; nginx and HAProxy put the scheme behind the endpoint's path, where no client can put anything.
FIELDS: Final[dict[str, tuple[bytes, ...]]] = {
    "traefik": _FORWARDED,
    "caddy": _FORWARDED,
    "nginx": _ORIGINAL,
    "haproxy": _ORIGINAL,
    "envoy": _ENVOY,
}
FRONTS: Final = tuple(FIELDS)
_SCHEMES: Final = {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}
#: Fields of the asking request that say nothing about the one asked about.
_LEFT_OUT: Final = (
    HOP_BY_HOP
    | GATEWAY_OWNED
    | {b"host", b"content-length", b"expect", b"via", SECRET_FIELD, *_ORIGINAL, *_ENVOY}
    | {b"x-original-proto", b"x-original-url"}
)
_LEFT_OUT_PREFIXES: Final = (*GATEWAY_OWNED_PREFIXES, b"x-original-", b"x-envoy-")
_MISSING: Final = Denial("bad_request", "The asking proxy does not say which request it asks about.")


def asked(front: str, head: RequestHead, hosts: HostList, normalize: bool = False) -> RequestHead | Denial:
    """The request that `front` asks about, as if the client had sent it here, or why it is refused.

    `head` is the asking request, its path below `/decide/FRONT`. The peer of what is returned is the client as the front
    saw it; what stood before it in X-Forwarded-For stays there, for `trusted_proxies`.
    """
    said = _said(FIELDS[front], head.headers)
    if said is None:
        return _MISSING
    rest = head.path[len(DECIDE) + len(front) :]
    given: list[Header] = []
    if front == "envoy":
        method, raw_host = head.method, head.host
        target = rest if head.query is None else rest + b"?" + head.query
        scheme, client = _SCHEMES.get(said[0].lower(), ""), said[1]
    else:
        method, target, raw_host = said[0].decode("ascii", "replace"), said[1], said[2]
        if front in ("traefik", "caddy"):
            scheme = _SCHEMES.get(said[3].lower(), "") if not rest else ""
            before, _, client = said[4].rpartition(b",")
            if before:
                given.append((b"x-forwarded-for", before))
        else:
            scheme = _SCHEMES.get(rest[1:].lower(), "") if rest else "http"
            client = said[3]
    client = client.strip(b" \t")
    if not scheme or not client or not client.isascii():
        return _MISSING
    if method not in METHODS:
        return BAD_METHOD
    host = judged_host(raw_host, hosts)
    if isinstance(host, Denial):
        return host
    if normalize:
        target = normalized(target)
    split = split_target(method, target, host)
    if isinstance(split, Denial):
        return split
    path, query = split
    if not target.startswith(path) or target[len(path) : len(path) + 1] not in (b"", b"?"):
        return BAD_TARGET
    headers = (*_kept(head.headers), (b"host", host), *given)
    return RequestHead(method, path, query, headers, scheme, host, "1.1", client.decode("ascii"), 0)


def _said(fields: tuple[bytes, ...], headers: Iterable[Header]) -> tuple[bytes, ...] | None:
    """The value of each field, or None unless each stands there exactly once."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in fields:
            if name in found or not value:
                return None
            found[name] = value
    return tuple(found[name] for name in fields) if len(found) == len(fields) else None


def _kept(headers: Iterable[Header]) -> Iterable[Header]:
    """The client's own fields."""
    return (header for header in headers if header[0] not in _LEFT_OUT and not header[0].startswith(_LEFT_OUT_PREFIXES))


def normalized(target: bytes) -> bytes:
    """A target as proxies normalise it: escapes in canonical form, dot segments and doubled slashes taken out (RFC 3986 6.2.2).

    What stays refused afterwards (an escaped slash, a control) is left for `canonical_path` to refuse.
    """
    raw, mark, query = target.partition(b"?")
    segments: list[bytes] = []
    parts = raw.split(b"/")
    for at, part in enumerate(parts):
        plain = part.replace(b"%2e", b".").replace(b"%2E", b".")
        if plain == b"..":
            del segments[-1:]
        if plain in (b".", b"..", b""):
            if at == len(parts) - 1:
                segments.append(b"")
            continue
        segments.append(part)
    path = b"/" + b"/".join(segments)
    canonical = canonical_path(path)
    return (path if isinstance(canonical, Denial) else canonical) + mark + query
