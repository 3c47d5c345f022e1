"""What a request asks of the cache: its key, or why it passes by."""

from __future__ import annotations

from typing import Final

from spork.application.exchange.exchange import Exchange, RoutePlan
from spork.domain.http.caching import tags
from spork.domain.http.caching.directives import Directives, read_cache_control
from spork.domain.http.caching.keys import CacheKey, query_part
from spork.domain.http.caching.policy import CachePolicy
from spork.domain.http.caching.validation import FOR_THE_ORIGIN
from spork.domain.http.head import Header, RequestHead

#: Methods after which nothing has changed (RFC 9110 9.2.1), so nothing is invalidated.
SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS", "QUERY", "PROPFIND", "SEARCH", "REPORT"))
_CREDENTIALS: Final = frozenset((b"authorization", b"proxy-authorization"))
_NOTED: Final = frozenset((b"cache-control", b"pragma", b"range", b"cookie", *_CREDENTIALS, *FOR_THE_ORIGIN))
_EVERYONE: Final = b""


class CacheRequest:
    """One request as the cache sees it.

    `bypass` is why it may not be answered from the cache ("" when it may), `no_store` that its answer may not be kept.
    `credentials`: it proved who asks and the cache is not kept apart by that. `directives` only where clients are obeyed.
    """

    __slots__ = (
        "bypass",
        "credentials",
        "directives",
        "key",
        "no_store",
        "only_if_cached",
        "owner",
        "policy",
        "ranged",
        "scheme",
        "upstream",
        "url",
    )

    def __init__(self, exchange: Exchange, policy: CachePolicy, section: bytes, upstream: str) -> None:
        head = exchange.head
        self.policy = policy
        self.upstream = upstream
        self.scheme = head.scheme
        self.bypass = ""
        self.no_store = False
        self.only_if_cached = False
        self.ranged = False
        self.directives: Directives | None = None
        noted = [header for header in head.headers if header[0] in _NOTED]
        self.owner, credentials = _owner(exchange, policy, noted)
        self.credentials = credentials
        if noted:
            self._read(noted, policy)
        if head.upgrade:
            self.bypass = "upgrade"
        elif exchange.body.length != 0:
            self.bypass = "content"
        query = query_part(head.query, policy.query)
        self.url = head.path + query
        self.key: CacheKey = (section + upstream.encode(), head.scheme, head.host, head.path, query, self.owner)

    def _read(self, noted: list[Header], policy: CachePolicy) -> None:
        said: list[bytes] = []
        pragma = False
        for name, value in noted:
            if name == b"cache-control":
                said.append(value)
            elif name == b"pragma":
                pragma = pragma or b"no-cache" in value.lower()
            elif name == b"range":
                self.ranged = True
            elif name == b"cookie":
                if policy.cookies == "bypass":
                    self.bypass = "cookie"
            elif name in FOR_THE_ORIGIN:
                self.bypass = "precondition"
        if said:
            directives = read_cache_control(said)
            self.no_store = directives.no_store
            self.only_if_cached = directives.only_if_cached
            if policy.obey_clients:
                self.directives = directives
        elif pragma and policy.obey_clients:
            self.directives = read_cache_control((b"no-cache",))

    def url_tag(self) -> bytes:
        """The tag under which a URL is purged and invalidated."""
        return tags.of_url(self.key[2], self.url)


def varying(exchange: Exchange) -> list[Header]:
    """The fields a target may vary on: the client's, and those that guards add (verified identity)."""
    return (
        [*exchange.head.headers, *exchange.request_headers] if exchange.request_headers else list(exchange.head.headers)
    )


def _owner(exchange: Exchange, policy: CachePolicy, noted: list[Header]) -> tuple[bytes, bool]:
    """Whose cache this is, and whether the request has credentials that do not keep it apart from others'."""
    principal = exchange.principal
    shown = principal is not None or any(name in _CREDENTIALS for name, _ in noted)
    by = policy.by
    if by == "everyone":
        return _EVERYONE, shown
    if by.startswith("header:"):
        name = by[7:].encode("ascii")
        values = [value for key, value in exchange.head.headers if key == name]
        return b"h:" + b",".join(values), shown and not (name in _CREDENTIALS and bool(values))
    if principal is None:
        return _EVERYONE, shown
    if by == "tenant":
        return (b"t:" + principal.tenant.encode(), False) if principal.tenant else (_EVERYONE, True)
    who = principal.consumer or principal.subject
    return b"c:" + principal.issuer.encode() + b"\0" + who.encode(), False


def consumer_of(exchange: Exchange) -> bytes:
    """The consumer or subject an answer was made for, under which erasure finds it."""
    principal = exchange.principal
    return b"" if principal is None else (principal.consumer or principal.subject).encode()


def fill_head(head: RequestHead, dropped: frozenset[bytes], added: list[Header]) -> RequestHead:
    """The head that is sent to fill the cache: `dropped` fields go, `added` ones come."""
    fields = tuple(header for header in head.headers if header[0] not in dropped)
    return RequestHead(
        head.method, head.path, head.query, (*fields, *added), head.scheme, head.host, head.version, head.peer,
        head.peer_port, head.certificate,
    )  # fmt: skip


def plan_of(exchange: Exchange) -> RoutePlan:
    """The plan of a routed exchange."""
    plan = exchange.plan
    assert plan is not None
    return plan
