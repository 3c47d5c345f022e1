"""The last good answers of an upstream, given again while it fails (stale-if-error, RFC 5861 4).

This is no cache: while a target answers, every request goes to it. An answer is kept only when anybody may have it: a GET
without credentials, cookies or a range, answered 200 without Set-Cookie or Vary, and not forbidden by Cache-Control
(RFC 9111 3). What is given again says so in `Age` and `Cache-Status` (RFC 9211).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.exchange.exchange import NO_FIELDS, Exchange, Verdict
from spork.application.exchange.recording import KeepingSink
from spork.application.guards.policy import Policy, ordinary
from spork.application.views import GuardVerdict
from spork.domain.http.head import Header
from spork.domain.outcomes import LocalResponse

#: Bytes of bodies kept in all, and of one body.
MOST: Final = 16 * 1024 * 1024
MOST_OF_ONE: Final = 256 * 1024

_PERSONAL: Final = frozenset((b"authorization", b"cookie", b"range", b"x-api-key"))
_FORBIDDING: Final = (b"no-store", b"private", b"no-cache", b"must-revalidate", b"proxy-revalidate", b"s-maxage")
#: Upstream, route, host and target of the request.
_Key = tuple[str, str, bytes, bytes]


@dataclass(frozen=True, slots=True)
class _Kept:
    at: float
    headers: tuple[Header, ...]
    body: bytes


class StaleAnswers:
    """Keeps and finds. Bounded in bytes; the least recently kept goes first."""

    def __init__(self, most: int = MOST, most_of_one: int = MOST_OF_ONE) -> None:
        self._most = most
        self.most_of_one = most_of_one
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._size = 0
        self.given = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, exchange: Exchange, sink: KeepingSink) -> None:
        """Keep a finished answer if anybody may have it."""
        body = sink.body
        if body is None or sink.status != 200 or not _for_anybody(sink.headers):
            return
        added = {name for name, _ in exchange.response_headers}  # made anew for each request
        key = _key(exchange)
        self._drop(key)
        self._kept[key] = _Kept(exchange.unix, tuple(h for h in sink.headers if h[0] not in added), body)
        self._size += len(body)
        while self._size > self._most:
            self._drop(next(iter(self._kept)))

    def find(self, exchange: Exchange, longest: float) -> LocalResponse | None:
        """The answer kept for this very request, if it is at most `longest` seconds old."""
        if not may_share(exchange):
            return None
        kept = self._kept.get(_key(exchange))
        if kept is None:
            return None
        age = max(0.0, exchange.unix - kept.at)
        if age > longest:
            return None
        self.given += 1
        told = ((b"age", b"%d" % age), (b"cache-status", b"spork; hit; ttl=-%d; detail=stale-if-error" % age))
        return LocalResponse("stale", (*kept.headers, *told), kept.body, 200)

    def _drop(self, key: _Key) -> None:
        gone = self._kept.pop(key, None)
        if gone is not None:
            self._size -= len(gone.body)

    # ------------------------------------------------------------------------------------------------------- the guard

    def guard(self, route: RouteConfig, configuration: Configuration) -> StaleGuard | None:
        """For routes to an upstream whose fallback is stale answers."""
        dynamic = (route.upstream or "").startswith("{")
        for upstream in configuration.upstreams:
            if (dynamic or upstream.name == route.upstream) and upstream.fallback and upstream.fallback.stale:
                return StaleGuard(self)
        return None


class StaleGuard:
    """Refuses nothing: it has the answer kept as it passes."""

    phase = "stale"
    response_fields = NO_FIELDS

    def __init__(self, answers: StaleAnswers) -> None:
        self._answers = answers

    def admit(self, exchange: Exchange) -> Verdict:
        if may_share(exchange):
            sink = exchange.sink = KeepingSink(exchange.sink, self._answers.most_of_one)
            exchange.at_close(lambda closed: self._closed(closed, sink))
        return None

    def explain(self, exchange: Exchange) -> GuardVerdict:
        kept = "is kept for when the upstream fails" if may_share(exchange) else "is not for anybody, so it is not kept"
        return GuardVerdict(self.phase, "pass", f"a good answer {kept}")

    def _closed(self, exchange: Exchange, sink: KeepingSink) -> None:
        if exchange.attempts and not exchange.fallback_name:
            self._answers.keep(exchange, sink)


def may_share(exchange: Exchange) -> bool:
    """Whether the answer to this request could be anybody's."""
    head = exchange.head
    if head.method != "GET" or exchange.principal is not None or head.upgrade or exchange.body.length != 0:
        return False
    return not any(name in _PERSONAL for name, _ in head.headers)


def _for_anybody(headers: tuple[Header, ...]) -> bool:
    for name, value in headers:
        if name in (b"set-cookie", b"vary"):
            return False
        if name == b"cache-control" and any(word in value.lower() for word in _FORBIDDING):
            return False
    return True


def _key(exchange: Exchange) -> _Key:
    plan = exchange.plan
    return (exchange.upstream_name, "" if plan is None else plan.name, exchange.head.host, exchange.head.target)


@ordinary
class StalePolicy(Policy):
    """`fallback: {stale: ...}` of a route's upstream."""

    phase = "stale"

    def __init__(self, answers: StaleAnswers) -> None:
        self._answers = answers

    def compile(self, route: RouteConfig, configuration: Configuration) -> StaleGuard | None:
        return self._answers.guard(route, configuration)
