"""Versions of an API: how a request names one, and what a version is at a point in time.

RFC 9745 (Deprecation), RFC 8594 (Sunset), RFC 5829 and 8288 (links). Decisions take `now`, so nothing has to be
reloaded at midnight. Dates are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Final
from urllib.parse import unquote_plus

from spork.domain.http.coding import quality
from spork.domain.http.head import Header

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(unix: float) -> bytes:
    """An IMF-fixdate (RFC 9110 5.6.7), in English whatever the locale."""
    at = datetime.fromtimestamp(unix, UTC)
    day, month = _DAYS[at.weekday()], _MONTHS[at.month - 1]
    return f"{day}, {at.day:02} {month} {at.year:04} {at:%H:%M:%S} GMT".encode("ascii")


class Stage(Enum):
    """What a version is now."""

    CURRENT = "current"
    DEPRECATED = "deprecated"
    BROWNOUT = "brownout"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Brownout:
    """A version that is going away is away for `seconds` from `at`; with `every` again after each such span."""

    at: float
    seconds: float
    every: float = 0.0

    def ends(self, now: float) -> float | None:
        """When the brownout that is on at `now` ends; None when none is."""
        if now < self.at:
            return None
        began = self.at + (now - self.at) // self.every * self.every if self.every else self.at
        end = began + self.seconds
        return end if now < end else None


@dataclass(frozen=True, slots=True)
class Selectors:
    """Where a request may name a version. `segment` is the index of `{version}` in the path, -1 for not there; names are
    lower-case for the header, as written for the others, empty for not asked. `accept` is the parameter's name."""

    segment: int = -1
    header: bytes = b""
    query: bytes = b""
    accept: str = ""
    keep: bool = False

    def vary(self) -> tuple[bytes, ...]:
        """Request fields that answers vary by."""
        return tuple(name for name in (self.header, b"accept" if self.accept else b"") if name)


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """One version of one API as a route serves it.

    `name` is empty for the route that takes requests naming no version, where there is no default: `pinned` then says
    that the consumer's own version is meant. `names` are all versions, oldest first; `default` is the one unnamed
    requests mean, `successor` the next one.
    """

    api: str
    name: str
    names: tuple[str, ...]
    selectors: Selectors
    default: str = ""
    pinned: bool = False
    successor: str = ""
    deprecated: float | None = None
    sunset: float | None = None
    docs: str = ""
    brownouts: tuple[Brownout, ...] = ()
    exempt: frozenset[str] = field(default_factory=frozenset)

    def stage(self, now: float) -> Stage:
        if self.sunset is not None and now >= self.sunset:
            return Stage.RETIRED
        if self.brownout_ends(now) is not None:
            return Stage.BROWNOUT
        if self.deprecated is not None and now >= self.deprecated:
            return Stage.DEPRECATED
        return Stage.CURRENT

    def brownout_ends(self, now: float) -> float | None:
        """When the brownout that is on ends; None when none is."""
        ends = [end for one in self.brownouts if (end := one.ends(now)) is not None]
        return max(ends) if ends else None

    def fields(self) -> tuple[Header, ...]:
        """Fields of every answer of this version (RFC 9745 2, RFC 8594 3), dates past or future."""
        if not self.name:
            return ()
        made: list[Header] = [(b"api-version", self.name.encode("latin-1", "replace"))]
        if self.deprecated is not None:
            made.append((b"deprecation", b"@%d" % self.deprecated))
        if self.sunset is not None:
            made.append((b"sunset", http_date(self.sunset)))
        if self.docs and (self.deprecated is not None or self.sunset is not None):
            link = self.docs.encode("ascii", "replace")
            made.append((b"link", b'<%b>; rel="deprecation"; type="text/html"' % link))
            if self.sunset is not None:
                made.append((b"link", b'<%b>; rel="sunset"; type="text/html"' % link))
        return tuple(made)

    def successor_link(self, path: bytes) -> Header | None:
        """The same resource in the next version, where the path names versions and this one goes away (RFC 5829 3.3)."""
        index = self.selectors.segment
        if not self.successor or index < 0 or (self.deprecated is None and self.sunset is None):
            return None
        segments = path.split(b"/")
        if len(segments) <= index + 1 or segments[index + 1] != self.name.encode("ascii", "replace"):
            return None
        segments[index + 1] = self.successor.encode("ascii", "replace")
        return b"link", b'<%b>; rel="successor-version"' % b"/".join(segments)


@dataclass(frozen=True, slots=True)
class AcceptVersion:
    """A route's condition on Accept: the version that it names (`versions_in_accept`) is this one."""

    name: str
    names: tuple[str, ...]
    parameter: str

    @property
    def witness(self) -> bytes:
        """A value of Accept that it holds for."""
        return f"*/*;{self.parameter}={self.name}".encode("latin-1", "replace")

    def holds(self, headers: Sequence[Header]) -> bool:
        return accepted_version(headers, self.names, self.parameter) == self.name


def accepted_version(headers: Sequence[Header], names: Sequence[str], parameter: str) -> str | None:
    """The version that Accept prefers among `names`: `application/vnd.acme.v2+json` or `;version=2`, by weight; ties go to
    the first. None when it names none; a version that is none of `names`, when it names only such ones."""
    best = 0.0
    found: str | None = None
    unknown: str | None = None
    for name, value in headers:
        if name != b"accept":
            continue
        for part in value.split(b","):
            kind, *parameters = part.split(b";")
            weight = quality(parameters)
            named = _named(kind.strip().lower().decode("latin-1"), parameters, names, parameter)
            if named is None or weight <= 0.0:
                continue
            if named not in names:
                unknown = unknown or named
            elif weight > best:
                best, found = weight, named
    return found or unknown


_VENDOR: Final = "vnd."


def _named(kind: str, parameters: Sequence[bytes], names: Sequence[str], parameter: str) -> str | None:
    for text in parameters:
        key, equals, value = text.decode("latin-1").partition("=")
        if equals and key.strip().lower() == parameter:
            given = value.strip().strip('"')
            return given if given in names or f"v{given}" not in names else f"v{given}"
    subtype = kind.partition("/")[2]
    if subtype.startswith(_VENDOR):
        for piece in subtype.partition("+")[0].split("."):
            if piece in names:
                return piece
            if piece[:1] == "v" and piece[1:].isdigit():
                return piece
    return None


def named_versions(
    selectors: Selectors, names: Sequence[str], path: bytes, headers: Sequence[Header], query: bytes | None
) -> list[str]:
    """Every version that a request names, in the order path, header, Accept, query; the same one may stand several times."""
    found: list[str] = []
    if selectors.segment >= 0:
        segments = path.split(b"/", selectors.segment + 2)
        if len(segments) > selectors.segment + 1:
            text = segments[selectors.segment + 1].decode("latin-1")
            if text in names:
                found.append(text)
    if selectors.header:
        found += [value.decode("latin-1") for name, value in headers if name == selectors.header]
    if selectors.accept:
        named = accepted_version(headers, names, selectors.accept)
        if named is not None:
            found.append(named)
    if selectors.query and query:
        for pair in query.split(b"&"):
            key, _, value = pair.partition(b"=")
            if key == selectors.query:
                found.append(unquote_plus(value.decode("latin-1")))
    return found


def earlier_kept(headers: list[Header], ours: tuple[Header, ...]) -> list[Header]:
    """A target's fields with ours: links are added, its own Deprecation or Sunset stays where it is the earlier one."""
    added = list(ours)
    for name, read in ((b"deprecation", _deprecation), (b"sunset", _sunset)):
        theirs = next((value for key, value in headers if key == name), None)
        own = next((value for key, value in ours if key == name), None)
        if theirs is None or own is None:
            continue
        said, known = read(theirs), read(own)
        if said is not None and known is not None and said <= known:
            added = [header for header in added if header[0] != name]
        else:
            headers = [header for header in headers if header[0] != name]
    return [*(header for header in headers if header[0] != b"api-version" or not ours), *added]


def _deprecation(value: bytes) -> float | None:
    return float(value[1:]) if value[:1] == b"@" and value[1:].lstrip(b"-").isdigit() else None


def _sunset(value: bytes) -> float | None:
    words = value.decode("latin-1").split()
    try:
        hours, minutes, seconds = (int(part) for part in words[4].split(":"))
        month = _MONTHS.index(words[2]) + 1
        return datetime(int(words[3]), month, int(words[1]), hours, minutes, seconds, tzinfo=UTC).timestamp()
    except (ValueError, IndexError):
        return None
