"""What a route asks of a request, and what becomes of the path: patterns, matches, rewrites, redirects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from spork.domain.http.head import Header
from spork.domain.routing.regexps import PathRegexp

_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})?")
#: What a path may hold as it stands (RFC 3986 3.3), beside braces, which are ours.
_PATH: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/%{}")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


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
        if strange := next((c for c in text if c not in _PATH), ""):
            encoded = text.replace(strange, f"%{ord(strange):02X}")
            raise ValueError(f"{strange!r} is refused at the edge, so this can never match|write {encoded}")
        prefix = text.endswith("/*")
        body = text[:-2] if prefix else text
        if "*" in body:
            raise ValueError("* stands only at the end, as /*; use {name} for one segment")
        parts = body.split("/")[1:] if body else []
        names: set[str] = set()
        if "%" in text:
            _check_escapes(text)
        for index, part in enumerate(parts):
            if part == "" and (prefix or index < len(parts) - 1):
                raise ValueError("empty segments (//) are refused at the edge, so this can never match")
            if part in (".", ".."):
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

    def witnesses(self) -> tuple[bytes, ...]:
        """Paths that this pattern matches, one of each sort: if others take all of them, they take everything."""
        path = b"".join(b"/~any~" if s[:1] == b"{" else b"/" + s for s in self.segments)
        if not self.prefix:
            return (path,)
        return (path or b"/", path + b"/", path + b"/~below~", path + b"/~below~/~below~")


def _check_escapes(text: str) -> None:
    """Percent-encodings as the canonical path has them: anything else can never match (RFC 3986 6.2.2)."""
    for found in _ESCAPE.finditer(text):
        digits = found[1]
        if digits is None:
            raise ValueError("a % begins a percent-encoding of two hex digits")
        character = chr(int(digits, 16))
        if character == "\\" or ord(character) < 32 or ord(character) == 127:
            raise ValueError(f"%{digits} is refused at the edge, so this can never match")
        if character in _UNRESERVED:
            raise ValueError(f"%{digits} arrives decoded, so this can never match; write {character}")
        if digits != digits.upper():
            raise ValueError(f"%{digits} arrives in capitals, so this can never match; write %{digits.upper()}")


#: Names with exact values; None asks only for presence.
Conditions = tuple[tuple[bytes, bytes | None], ...]


def segments_of(path: bytes) -> list[bytes]:
    """The segments of a canonical path; `/` has one, empty."""
    return path.split(b"/")[1:]


def conditions_hold(headers: Conditions, query: Conditions, given: Sequence[Header], asked: bytes | None) -> bool:
    """Whether the request's headers `given` and query `asked` meet the conditions."""
    for name, wanted in headers:
        if not any(key == name and (wanted is None or value == wanted) for key, value in given):
            return False
    if query:
        pairs = [pair.partition(b"=") for pair in (asked or b"").split(b"&")]
        for name, wanted in query:
            if not any(key == name and (wanted is None or value == wanted) for key, _, value in pairs):
                return False
    return True


def query_part(text: bytes) -> bool:
    """Whether `text` can be a name or value between the `&` and `=` of a query that passes the edge."""
    return all(0x20 < octet < 0x7F and octet not in b"&#" for octet in text)


class AcceptCondition(Protocol):
    """What a route asks of the Accept field. Equal conditions are the same; hashable."""

    @property
    def name(self) -> str:
        """What it wants, in a word."""

    @property
    def witness(self) -> bytes:
        """A value of Accept that it holds for."""

    def holds(self, headers: Sequence[Header]) -> bool: ...


@dataclass(frozen=True, slots=True)
class Match:
    """What a request must look like. Empty `methods` means any; GET includes HEAD. Header and query values are exact;
    None asks only for presence. Hosts are lower-case names, `*.suffix`, without port; empty means any."""

    path: PathPattern
    hosts: tuple[str, ...] = ()
    methods: frozenset[str] = frozenset()
    headers: Conditions = ()
    query: Conditions = ()
    #: What the whole path must be like, beside `path`.
    regexp: PathRegexp | None = None
    #: A condition on Accept, last in precedence (`versions.AcceptVersion`).
    accept: AcceptCondition | None = None
    #: JSON fields of the body (dotted names) and the text each must have; a text that ends in * is a prefix. Asked after everything
    #: else, of routes that are equal in it (`bodies.BodyChoice`).
    body: tuple[tuple[str, str], ...] = ()

    @property
    def accepts(self) -> frozenset[str]:
        """The methods this match takes, HEAD added where GET stands."""
        return self.methods | {"HEAD"} if "GET" in self.methods else self.methods


@dataclass(frozen=True, slots=True)
class Rewrite:
    """How the path changes on its way to the target.

    Either strip `strip` (parameters count as segments), then put `add` in front; or replace the whole path by `path`,
    in which `{name}` and `{rest}` (what is below a prefix) stand for what matched.
    """

    strip: str = ""
    add: str = ""
    path: str = ""
    #: A segment taken out first if it stands there: its index and text (a version that the target does not know of).
    drop: tuple[int, bytes] | None = None

    def compile(self) -> PathRewriter | None:
        """None when the path goes out as it came in."""
        if not (self.strip or self.add or self.path or self.drop):
            return None
        return PathRewriter(self)


class PathRewriter:
    """A compiled `Rewrite`. Pure: path and parameters in, path out."""

    __slots__ = ("_add", "_drop", "_strip", "_strip_segments", "_template")

    def __init__(self, rewrite: Rewrite) -> None:
        self._drop = rewrite.drop
        self._strip = rewrite.strip.rstrip("/").encode("ascii")
        self._strip_segments = self._strip.count(b"/") if b"{" in self._strip else 0
        self._add = rewrite.add.rstrip("/").encode("ascii")
        #: Literal pieces at even places, names at odd ones: what a name stands for is never looked into again.
        self._template = re.split(r"\{([A-Za-z_][A-Za-z0-9_]*)\}", rewrite.path) if rewrite.path else []

    def apply(self, path: bytes, params: Mapping[str, str], rest: bytes) -> bytes:
        """The path on the wire. `rest` is what a prefix left over, with its leading slash or empty."""
        if self._drop is not None:
            path = self._dropped(path)
        if self._template:
            path = self._filled(params, rest)
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

    def stripped(self, path: bytes) -> bytes:
        """What `apply` takes off the front of this path, without a slash at the end; b"" for nothing."""
        if self._template or self._drop is not None:
            return b""
        if self._strip_segments:
            parts = path.split(b"/", self._strip_segments + 1)
            return b"/".join(parts[: self._strip_segments + 1]) if len(parts) > self._strip_segments else b""
        below = path[len(self._strip) : len(self._strip) + 1]
        return self._strip if path.startswith(self._strip) and below in (b"", b"/") else b""

    @property
    def strips(self) -> bool:
        """Whether it may take something off."""
        return bool(self._strip) and not self._template and self._drop is None

    @property
    def added(self) -> bytes:
        """What `apply` puts in front, without a slash at the end."""
        return self._add

    def _dropped(self, path: bytes) -> bytes:
        assert self._drop is not None
        index, text = self._drop
        segments = path.split(b"/", index + 2)
        if len(segments) <= index + 1 or segments[index + 1] != text:
            return path
        del segments[index + 1]
        return b"/".join(segments) if len(segments) > 1 else b"/"

    def _filled(self, params: Mapping[str, str], rest: bytes) -> bytes:
        pieces = self._template[:]
        for index in range(1, len(pieces), 2):
            name = pieces[index]
            pieces[index] = rest.decode("ascii") if name == "rest" else params.get(name, "")
        path = "".join(pieces)
        if rest[:1] == b"/" and "//" in path:  # `/{rest}` or `/a/{rest}`: a slash of the template's beside rest's own
            path = path.replace("//", "/")
        return path.encode("ascii") or b"/"


@dataclass(frozen=True, slots=True)
class Redirect:
    """`to` may hold {scheme} {host} {path} {query} {rest} and the route's parameters."""

    to: str
    status: int = 308
