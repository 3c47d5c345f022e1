"""Which route takes a request: matches, their precedence, and the table that finds the winner.

Precedence, most significant first, never the order in which routes were written:

1. host: an exact name before `*.suffix` (longer suffix first) before any host;
2. path, segment by segment from the left: a literal before `{name}` before a prefix's `/*`; at the end of the path an
   exact pattern before a prefix;
3. a route that names methods before one that takes any;
4. more header conditions, then more query conditions.

When no route of a more specific host takes the path, less specific hosts are asked. Two routes that could tie for the
same request are a conflict, found when the table is built. The table is a trie of path segments per host, so the cost of
a look-up depends on the depth of the path and not on the number of routes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from domain.http import Header

T = TypeVar("T")


# --------------------------------------------------------------------------------------------- what a route asks for


@dataclass(frozen=True, slots=True)
class PathPattern:
    """`/x` exact, `/x/*` prefix at a segment boundary (`/x` itself included), `{name}` one non-empty segment."""

    text: str
    segments: tuple[bytes, ...]  # a parameter segment is b"{name}"
    prefix: bool

    @staticmethod
    def parse(text: str) -> PathPattern:
        """Raises ValueError with a sentence that says what is wrong."""
        if not text.startswith("/"):
            raise ValueError("a path begins with /")
        if any(c in text for c in "?#\\") or any(ord(c) <= 32 or ord(c) > 126 for c in text):
            raise ValueError("a path is printable ASCII without ?, # or backslash; percent-encode the rest")
        prefix = text.endswith("/*")
        body = text[:-2] if prefix else text
        if "*" in body:
            raise ValueError("* stands only at the end, as /*; use {name} for one segment")
        parts = body.split("/")[1:] if body else []
        names: set[str] = set()
        for index, part in enumerate(parts):
            if part == "" and (prefix or index < len(parts) - 1):
                raise ValueError("empty segments (//) are refused at the edge, so this can never match")
            if part.lower().replace("%2e", ".") in (".", ".."):
                raise ValueError("dot segments are refused at the edge, so this can never match")
            if "{" in part or "}" in part:
                name = part[1:-1]
                if not (part[0] == "{" and part[-1] == "}" and name.isidentifier()):
                    raise ValueError(f"a parameter takes a whole segment: {{name}}, not {part!r}")
                if name in names:
                    raise ValueError(f"parameter {{{name}}} stands twice")
                names.add(name)
        return PathPattern(text, tuple(p.encode("ascii") for p in parts), prefix)

    @property
    def params(self) -> tuple[str, ...]:
        return tuple(s[1:-1].decode() for s in self.segments if s[:1] == b"{")

    @property
    def shape(self) -> tuple[bytes, ...]:
        """The pattern with parameter names forgotten: patterns of one shape match the same paths."""
        return (*(b"{}" if s[:1] == b"{" else s for s in self.segments), b"*" if self.prefix else b"$")

    def witness(self) -> bytes:
        """A path that this pattern matches and that no more specific literal is likely to."""
        parts = [b"~any~" if s[:1] == b"{" else s for s in self.segments]
        if self.prefix:
            parts.append(b"~below~")
        return b"/" + b"/".join(parts)


@dataclass(frozen=True, slots=True)
class Match:
    """What a request must look like. Empty `methods` means any; GET includes HEAD. Header and query values are exact;
    None asks only for presence. Hosts are lower-case names, `*.suffix`, without port; empty means any."""

    path: PathPattern
    hosts: tuple[str, ...] = ()
    methods: frozenset[str] = frozenset()
    headers: tuple[tuple[bytes, bytes | None], ...] = ()
    query: tuple[tuple[bytes, bytes | None], ...] = ()

    @property
    def accepts(self) -> frozenset[str]:
        """The methods this match takes, HEAD added where GET stands."""
        return self.methods | {"HEAD"} if "GET" in self.methods else self.methods


@dataclass(frozen=True, slots=True)
class Rewrite:
    """How the path changes on its way to the target: strip `strip` (parameters count as segments), then put `add` in
    front, or replace the whole path by `path`, in which `{name}` and `{rest}` (below a prefix) stand for what matched."""

    strip: str = ""
    add: str = ""
    path: str = ""

    def compile(self) -> PathRewriter | None:
        """None when the path goes out as it came in."""
        if not (self.strip or self.add or self.path):
            return None
        return PathRewriter(self)


class PathRewriter:
    """A compiled `Rewrite`. Pure: path and parameters in, path out."""

    __slots__ = ("_add", "_strip", "_strip_segments", "_template")

    def __init__(self, rewrite: Rewrite) -> None:
        self._strip = rewrite.strip.rstrip("/").encode("ascii")
        self._strip_segments = self._strip.count(b"/") if b"{" in self._strip else 0
        self._add = rewrite.add.rstrip("/").encode("ascii")
        self._template = rewrite.path

    def apply(self, path: bytes, params: Mapping[str, str], rest: bytes) -> bytes:
        """The path on the wire. `rest` is what a prefix left over, with its leading slash or empty."""
        if self._template:
            out = self._template.replace("{rest}", rest.decode("ascii"))
            for name, value in params.items():
                out = out.replace("{" + name + "}", value)
            path = out.encode("ascii")
        elif self._strip_segments:
            parts = path.split(b"/", self._strip_segments + 1)
            path = b"/" + parts[self._strip_segments + 1] if len(parts) > self._strip_segments + 1 else b"/"
        elif self._strip and path.startswith(self._strip):
            below = path[len(self._strip) :]
            if below == b"":
                path = b"/"
            elif below[:1] == b"/":
                path = below
        if self._add:
            return self._add if path == b"/" else self._add + path
        return path


@dataclass(frozen=True, slots=True)
class Redirect:
    """`to` may hold {scheme} {host} {path} {query} {rest} and the route's parameters."""

    to: str
    status: int = 308


# ------------------------------------------------------------------------------------------------------- resolution


@dataclass(frozen=True, slots=True)
class Matched(Generic[T]):
    """`route` takes the request. `rest` is the part of the path below a prefix, with its leading slash, or b""."""

    route: T
    params: dict[str, str]
    rest: bytes


@dataclass(frozen=True, slots=True)
class NoRoute:
    """Nothing takes this path here."""


@dataclass(frozen=True, slots=True)
class MethodNotAllowed:
    """The path is known, the method is not. `allow` is sorted."""

    allow: tuple[str, ...]


Resolution = Matched[T] | NoRoute | MethodNotAllowed
NO_ROUTE = NoRoute()
_NO_PARAMS: dict[str, str] = {}


class RouteResolver(Protocol[T]):
    """Finds the route for a request. `host` has no port and is lower-case; `path` is canonical."""

    def resolve(
        self, host: str, path: bytes, method: str, headers: Sequence[Header], query: bytes | None
    ) -> Resolution[T]: ...


class _Entry(Generic[T]):
    __slots__ = ("accepts", "headers", "names", "pattern", "plain", "query", "route")

    def __init__(self, match: Match, route: T) -> None:
        self.route = route
        self.pattern = match.path
        self.accepts = match.accepts
        self.headers = match.headers
        self.query = match.query
        self.plain = not match.headers and not match.query
        self.names = tuple(
            (index, segment[1:-1].decode()) for index, segment in enumerate(match.path.segments) if segment[:1] == b"{"
        )

    def rank(self) -> tuple[int, int, int]:
        return (0 if self.accepts else 1, -len(self.headers), -len(self.query))

    def conditions_hold(self, headers: Sequence[Header], query: bytes | None) -> bool:
        for name, wanted in self.headers:
            if not any(key == name and (wanted is None or value == wanted) for key, value in headers):
                return False
        if self.query:
            pairs = [pair.partition(b"=") for pair in (query or b"").split(b"&")]
            for name, wanted in self.query:
                if not any(key == name and (wanted is None or value == wanted) for key, _, value in pairs):
                    return False
        return True


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
        for entry in entries:
            if not entry.plain and not entry.conditions_hold(self.headers, self.query):
                continue
            if entry.accepts and self.method not in entry.accepts:
                self.allow |= entry.accepts
                continue
            return entry
        return None

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

    __slots__ = ("_any", "_exact_hosts", "_only_any", "_routes", "_suffix_hosts")

    def __init__(self, routes: Iterable[tuple[Match, T]]) -> None:
        self._routes = list(routes)
        self._any: _Node[T] = _Node()
        self._exact_hosts: dict[str, _Node[T]] = {}
        self._suffix_hosts: dict[str, _Node[T]] = {}
        for match, route in self._routes:
            entry = _Entry(match, route)
            for root in self._roots_for(match.hosts):
                node = root
                for segment in match.path.segments:
                    node = node.step(segment)
                entries = node.prefix if match.path.prefix else node.exact
                entries.append(entry)
                entries.sort(key=_Entry.rank)
        self._only_any = not self._exact_hosts and not self._suffix_hosts

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
        segments = path.split(b"/")
        del segments[0]
        search: _Search[T] = _Search(segments, method, headers, query)
        if self._only_any:
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
        rest = b""
        if entry.pattern.prefix and len(segments) > (depth := len(entry.pattern.segments)):
            rest = b"/" + b"/".join(segments[depth:])
        return Matched(entry.route, params, rest)

    # ------------------------------------------------------------------------------- for `spork check` and `explain`

    def explain(
        self, host: str, path: bytes, method: str, headers: Sequence[Header], query: bytes | None
    ) -> list[tuple[T, bool, str]]:
        """Every route that matches at least in part, the winner first, with why each other one lost."""
        resolution = self.resolve(host, path, method, headers, query)
        winner = resolution.route if isinstance(resolution, Matched) else None
        winning = next((m for m, r in self._routes if r is winner), None)
        rows: list[tuple[T, bool, str]] = []
        for match, route in self._routes:
            if route is winner:
                rows.insert(0, (route, True, _why_won(match)))
                continue
            why = why_not(match, host, path, method, headers, query)
            if why is None and winning is not None:
                why = f"also matches, but {_less_specific(match, winning, host)}"
            if why is not None and not why.startswith("path"):
                rows.append((route, False, why))
        return rows


def why_not(
    match: Match, host: str, path: bytes, method: str, headers: Sequence[Header], query: bytes | None
) -> str | None:
    """The first thing about `match` that this request does not meet, as half a sentence; None when all is met."""
    segments = path.split(b"/")[1:]
    pattern = match.path
    if not _path_matches(pattern, segments):
        return f"path {path.decode('ascii', 'backslashreplace')} is not {pattern.text}"
    if match.hosts and not any(_host_matches(pattern_host, host) for pattern_host in match.hosts):
        return f"host {host or '(none)'} is not {' or '.join(match.hosts)}"
    if match.accepts and method not in match.accepts:
        return f"method {method} is not {' or '.join(sorted(match.methods))}"
    for name, wanted in match.headers:
        given = [value for key, value in headers if key == name]
        if not given:
            return f"header {name.decode()} is missing"
        if wanted is not None and wanted not in given:
            return f"header {name.decode()} is not {wanted.decode('latin-1')!r}"
    if match.query and not _Entry(Match(pattern, query=match.query), None).conditions_hold((), query):
        wanted_query = "&".join(k.decode() + ("" if v is None else "=" + v.decode()) for k, v in match.query)
        return f"query does not have {wanted_query}"
    return None


def _path_matches(pattern: PathPattern, segments: list[bytes]) -> bool:
    wanted = pattern.segments
    if len(segments) < len(wanted) or (len(segments) > len(wanted) and not pattern.prefix):
        return False
    return all((s != b"" if w[:1] == b"{" else s == w) for w, s in zip(wanted, segments, strict=False))


def _host_matches(pattern: str, host: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _why_won(match: Match) -> str:
    kind = "prefix" if match.path.prefix else ("parameters" if match.path.params else "exact")
    return f"most specific match ({kind} path {match.path.text})"


def _host_rank(match: Match, host: str) -> int:
    """Higher is more specific: exact, then the longest suffix, then any."""
    ranks = [0]
    for pattern in match.hosts:
        if _host_matches(pattern, host):
            ranks.append(1000 if not pattern.startswith("*.") else len(pattern))
    return max(ranks)


def _less_specific(match: Match, winner: Match, host: str) -> str:
    if _host_rank(match, host) < _host_rank(winner, host):
        return f"its host is less specific than {' or '.join(winner.hosts)}"
    if match.path.shape != winner.path.shape:
        return f"its path {match.path.text} is less specific than {winner.path.text}"
    if winner.methods and not match.methods:
        return "it takes any method and the winner names this one"
    return "it has fewer header or query conditions"


@dataclass(frozen=True, slots=True)
class RouteConflict:
    """Two routes that tie for the same requests, or one that can never win. Indexes into the routes given."""

    index: int
    other: int
    kind: str  # "conflict" or "unreachable"
    why: str = field(default="")


def find_conflicts(matches: Sequence[Match]) -> list[RouteConflict]:
    """Ties and unreachable routes among `matches`, for `spork check`. Linear in the number of routes but for real ties."""
    found: list[RouteConflict] = []
    seen: dict[tuple[object, ...], list[int]] = {}
    for index, match in enumerate(matches):
        for host in match.hosts or ("",):
            key = (host, match.path.shape, bool(match.methods), frozenset(match.headers), frozenset(match.query))
            for other in seen.setdefault(key, []):
                shared = match.accepts & matches[other].accepts if match.methods else frozenset({"any method"})
                if shared and not any(c.index == index and c.other == other for c in found):
                    found.append(RouteConflict(index, other, "conflict", ", ".join(sorted(shared))))
            seen[key].append(index)
    tied = {c.index for c in found} | {c.other for c in found}
    table = RouteTable((match, index) for index, match in enumerate(matches))
    for index, match in enumerate(matches):
        if index in tied:
            continue
        winners = {
            _witness_winner(table, match, host, method)
            for host in match.hosts or ("",)
            for method in match.methods or ("GET", "~ANY~")
        }
        if index not in winners:
            other = next((w for w in winners if w is not None), -1)
            found.append(RouteConflict(index, other, "unreachable", "another route takes every request it could match"))
    return found


def _witness_winner(table: RouteTable[int], match: Match, host: str, method: str) -> int | None:
    name = "any-host.invalid" if not host else ("any" + host[1:] if host.startswith("*.") else host)
    headers = [(key, value if value is not None else b"1") for key, value in match.headers]
    query = b"&".join(key + b"=" + (value if value is not None else b"1") for key, value in match.query) or None
    resolution = table.resolve(name, match.path.witness(), method, headers, query)
    return resolution.route if isinstance(resolution, Matched) else None
