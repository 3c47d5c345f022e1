"""Which route takes a request: matches, their precedence, and the table that finds the winner.

Precedence, most significant first, never the order in which routes were written:

1. host: an exact name before `*.suffix` (longer suffix first) before any host;
2. path, segment by segment from the left: a literal before `{name}` before a prefix's `/*`; at the end of the path an
   exact pattern before a prefix;
3. one with a regular expression for the path before one without, a longer expression before a shorter one;
4. a route that names the method before one that takes any; for HEAD, one that names HEAD before one that names GET;
5. more header conditions, then more query conditions, then more of them with a value, then the alphabet;
6. one with a condition on Accept before one without.

What does not take the request (its method, headers or query) is passed over, and the next in this order is asked; so
is the next host. Two routes that are equal in all of it are a conflict, which conflicts.py finds. The table is a trie
of path segments per host, so a look-up costs by the depth of the path and not by the number of routes.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from spork.domain.http.head import Header
from spork.domain.routing.patterns import (
    Match,
    PathPattern,
    PathRewriter,
    Redirect,
    Rewrite,
    conditions_hold,
    segments_of,
)
from spork.domain.routing.precedence import (
    accept_rank,
    condition_rank,
    less_specific,
    nearest,
    path_matches,
    regexp_rank,
    why_not,
    why_won,
)

__all__ = [
    "NO_ROUTE",
    "Match",
    "Matched",
    "MethodNotAllowed",
    "NoRoute",
    "PathPattern",
    "PathRewriter",
    "Redirect",
    "Resolution",
    "Rewrite",
    "RouteResolver",
    "RouteTable",
    "why_not",
]

T = TypeVar("T")


class Matched(Generic[T]):
    """`route` takes the request. `segments` are the path's, of which the route's pattern names the first `depth`.

    A plain class, because one is made per request.
    """

    __slots__ = ("depth", "params", "route", "segments")

    def __init__(self, route: T, params: dict[str, str], segments: list[bytes], depth: int) -> None:
        self.route = route
        self.params = params
        self.segments = segments
        self.depth = depth

    @property
    def rest(self) -> bytes:
        """The part of the path below a prefix, with its leading slash, or b""."""
        below = self.segments[self.depth :]
        return b"/" + b"/".join(below) if below else b""


@dataclass(frozen=True, slots=True)
class NoRoute:
    """Nothing takes this path here."""


@dataclass(frozen=True, slots=True)
class MethodNotAllowed:
    """The path is known, the method is not. `allow` is sorted."""

    allow: tuple[str, ...]


Resolution = Matched[T] | NoRoute | MethodNotAllowed
NO_ROUTE: Final = NoRoute()
_NO_PARAMS: Final[dict[str, str]] = {}


class RouteResolver(Protocol[T]):
    """Finds the route for a request. `host` has no port and is lower-case; `path` is canonical."""

    def resolve(
        self, host: str, path: bytes, method: str, headers: Sequence[Header], query: bytes | None
    ) -> Resolution[T]: ...


class _Entry(Generic[T]):
    __slots__ = ("accept", "accepts", "depth", "headers", "methods", "names", "plain", "query", "regexp", "route")

    def __init__(self, match: Match, route: T) -> None:
        self.route = route
        self.depth = len(match.path.segments)
        self.methods = match.methods
        self.accepts = match.accepts
        self.headers = match.headers
        self.query = match.query
        self.accept = match.accept
        self.regexp = match.regexp
        self.plain = not match.headers and not match.query and match.accept is None and match.regexp is None
        self.names = tuple(
            (index, segment[1:-1].decode()) for index, segment in enumerate(match.path.segments) if segment[:1] == b"{"
        )

    def rank(self) -> tuple[object, ...]:
        return (
            regexp_rank(self.regexp),
            not self.methods,
            *condition_rank(self.headers, self.query),
            accept_rank(self.accept),
        )


class _Node(Generic[T]):
    __slots__ = ("children", "exact", "param", "prefix")

    def __init__(self) -> None:
        self.children: dict[bytes, _Node[T]] = {}
        self.param: _Node[T] | None = None
        self.exact: list[_Entry[T]] = []
        self.prefix: list[_Entry[T]] = []

    def step(self, segment: bytes) -> _Node[T]:
        if segment[:1] == b"{":
            if self.param is None:
                self.param = _Node()
            return self.param
        return self.children.setdefault(segment, _Node())


class _Search(Generic[T]):
    """One look-up: depth first in order of precedence; remembers methods for a 405."""

    __slots__ = ("allow", "headers", "method", "query", "segments")

    def __init__(self, segments: list[bytes], method: str, headers: Sequence[Header], query: bytes | None) -> None:
        self.segments = segments
        self.method = method
        self.headers = headers
        self.query = query
        self.allow: set[str] = set()

    def pick(self, entries: list[_Entry[T]]) -> _Entry[T] | None:
        by_get: _Entry[T] | None = None
        for entry in entries:
            if by_get is not None and by_get.regexp != entry.regexp:
                return by_get
            if not entry.plain:
                if entry.regexp is not None and not entry.regexp.matches(b"/" + b"/".join(self.segments)):
                    continue
                if not conditions_hold(entry.headers, entry.query, self.headers, self.query):
                    continue
                if entry.accept is not None and not entry.accept.holds(self.headers):
                    continue
            if not entry.methods:
                return by_get or entry
            if self.method in entry.methods:
                return entry
            if self.method in entry.accepts:  # HEAD where only GET is named
                by_get = by_get or entry
            else:
                self.allow |= entry.accepts
        return by_get

    def walk(self, node: _Node[T], depth: int) -> _Entry[T] | None:
        segments = self.segments
        if depth == len(segments):
            return (self.pick(node.exact) if node.exact else None) or (self.pick(node.prefix) if node.prefix else None)
        segment = segments[depth]
        child = node.children.get(segment)
        if child is not None and (found := self.walk(child, depth + 1)) is not None:
            return found
        if node.param is not None and segment and (found := self.walk(node.param, depth + 1)) is not None:
            return found
        return self.pick(node.prefix) if node.prefix else None


class RouteTable(Generic[T]):
    """The compiled routes of one snapshot: immutable once built. Implements RouteResolver."""

    __slots__ = ("_any", "_exact_hosts", "_literal", "_routes", "_suffix_hosts", "any_host")

    def __init__(self, routes: Iterable[tuple[Match, T]]) -> None:
        self._routes: list[tuple[Match, T]] = []
        self._any: _Node[T] = _Node()
        self._exact_hosts: dict[str, _Node[T]] = {}
        self._suffix_hosts: dict[str, _Node[T]] = {}
        #: No route asks for a host, so that callers need not know it.
        self.any_host = True
        self._literal = True
        for match, route in routes:
            self.add(match, route)

    def add(self, match: Match, route: T) -> None:
        """Take in one more route. Only while the table is built: nobody resolves by it yet."""
        self._routes.append((match, route))
        entry = _Entry(match, route)
        for root in self._roots_for(match.hosts):
            node = root
            for segment in match.path.segments:
                node = node.step(segment)
            entries = node.prefix if match.path.prefix else node.exact
            insort(entries, entry, key=_Entry.rank)
        if match.hosts:
            self.any_host = self._literal = False
        elif match.path.params:
            self._literal = False

    def parts(self) -> Iterator[object]:
        """What the table is made of, outermost first: who holds it all can let it go piece by piece."""
        waiting: list[_Node[T]] = [self._any, *self._exact_hosts.values(), *self._suffix_hosts.values()]
        while waiting:
            node = waiting.pop()
            yield node
            yield from node.exact
            yield from node.prefix
            waiting.extend(node.children.values())
            if node.param is not None:
                waiting.append(node.param)

    def _roots_for(self, hosts: tuple[str, ...]) -> Iterator[_Node[T]]:
        if not hosts:
            yield self._any
        for host in hosts:
            if host.startswith("*."):
                yield self._suffix_hosts.setdefault(host[1:], _Node())
            else:
                yield self._exact_hosts.setdefault(host, _Node())

    def _groups(self, host: str) -> Iterator[_Node[T]]:
        exact = self._exact_hosts.get(host)
        if exact is not None:
            yield exact
        if self._suffix_hosts:
            dot = host.find(".")
            while dot != -1:
                group = self._suffix_hosts.get(host[dot:])
                if group is not None:
                    yield group
                dot = host.find(".", dot + 1)
        yield self._any

    def resolve(
        self, host: str, path: bytes, method: str, headers: Sequence[Header], query: bytes | None
    ) -> Resolution[T]:
        """The winner for this request, or why there is none."""
        segments = segments_of(path)
        if self._literal and (entry := self._descend(segments, method)) is not None:
            return Matched(entry.route, _NO_PARAMS, segments, entry.depth)
        search: _Search[T] = _Search(segments, method, headers, query)
        if self.any_host:
            entry = search.walk(self._any, 0)
        else:
            entry = None
            for group in self._groups(host):
                entry = search.walk(group, 0)
                if entry is not None:
                    break
        if entry is None:
            return MethodNotAllowed(tuple(sorted(search.allow))) if search.allow else NO_ROUTE
        params = {name: segments[index].decode("ascii") for index, name in entry.names} if entry.names else _NO_PARAMS
        return Matched(entry.route, params, segments, entry.depth)

    def _descend(self, segments: list[bytes], method: str) -> _Entry[T] | None:
        """The look-up for the plainest tables, without hosts and parameters: down by literals, remembering the deepest
        prefix. None leaves everything else (conditions, methods that do not fit, no match) to the full search."""
        node = self._any
        deepest = node.prefix
        for segment in segments:
            child = node.children.get(segment)
            if child is None:
                break
            node = child
            if node.prefix:
                deepest = node.prefix
        else:
            deepest = node.exact or deepest
        if not deepest:
            return None
        entry = deepest[0]
        return entry if entry.plain and (not entry.methods or method in entry.methods) else None

    # ------------------------------------------------------------------------------- for `spork check` and `explain`

    def explain(
        self, host: str, path: bytes, method: str, headers: Sequence[Header], query: bytes | None
    ) -> list[tuple[T, bool, str]]:
        """Every route whose path matches, the winner first, with why each other one lost.

        When no path matches: the few whose paths come nearest, with where they part.
        """
        resolution = self.resolve(host, path, method, headers, query)
        winner = resolution.route if isinstance(resolution, Matched) else None
        winning = None
        if winner is not None:  # one of its matches
            takes = (
                m for m, r in self._routes if r is winner and why_not(m, host, path, method, headers, query) is None
            )
            winning = next(takes, None)
        rows: list[tuple[T, bool, str]] = []
        segments = segments_of(path)
        for match, route in self._routes:
            if winning is not None and route is winner:
                if match is winning:
                    rows.insert(0, (route, True, why_won(match)))
            elif path_matches(match.path, segments):
                why = why_not(match, host, path, method, headers, query)
                if why is None and winning is not None:
                    why = f"also matches, but {less_specific(match, winning, host, method)}"
                rows.append((route, False, why or "also matches"))
        if rows:
            return rows
        near = nearest([match.path for match, _ in self._routes], path)
        return [(self._routes[index][1], False, why) for index, why in near]
