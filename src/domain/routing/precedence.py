"""Which of two matches comes first, and the words for it: why a route takes a request, or why another one does.

The order itself is in routing.py, where the table follows it; here it is put into sentences for `spork explain`.
"""

from __future__ import annotations

from collections.abc import Sequence

from spork.domain.http.head import Header
from spork.domain.routing.patterns import AcceptCondition, Conditions, Match, PathPattern, conditions_hold, segments_of
from spork.domain.routing.regexps import PathRegexp


def condition_rank(headers: Conditions, query: Conditions) -> tuple[object, ...]:
    """Sorts the more demanding first, and anything different apart."""
    valued = [sum(value is not None for _, value in pairs) for pairs in (headers, query)]
    spelled = [sorted((name, value or b"") for name, value in pairs) for pairs in (headers, query)]
    return (-len(headers), -len(query), -valued[0], -valued[1], spelled)


def regexp_rank(regexp: PathRegexp | None) -> tuple[bool, int, str]:
    """Sorts matches with a regular expression before those without; longer ones first, equally long ones by the alphabet."""
    return (True, 0, "") if regexp is None else (False, -len(regexp.text), regexp.text)


def accept_rank(accept: AcceptCondition | None) -> tuple[bool, str]:
    """Sorts conditions on Accept before none, and different ones apart."""
    return (accept is None, "" if accept is None else accept.name)


def why_not(
    match: Match, host: str, path: bytes, method: str, headers: Sequence[Header], query: bytes | None
) -> str | None:
    """The first thing about `match` that this request does not meet, as half a sentence; None when all is met."""
    segments = segments_of(path)
    if not path_matches(match.path, segments):
        return _path_why_not(match.path, path, segments)
    if match.regexp is not None and not match.regexp.matches(path):
        return f"path {_shown(path)} is not like {match.regexp.text}"
    if match.hosts and not any(_host_matches(pattern, host) for pattern in match.hosts):
        return f"host {host or '(none)'} is not {' or '.join(match.hosts)}"
    if match.accepts and method not in match.accepts:
        return f"method {method} is not {' or '.join(sorted(match.methods))}"
    for name, wanted in match.headers:
        given = [value for key, value in headers if key == name]
        if not given:
            return f"header {_shown(name)} is missing"
        if wanted is not None and wanted not in given:
            return f"header {_shown(name)} is {_shown(given[0])!r}, not {_shown(wanted)!r}"
    for condition in match.query:
        if not conditions_hold((), (condition,), (), query):
            name, wanted = condition
            return f"query has no {_shown(name)}" + ("" if wanted is None else f"={_shown(wanted)}")
    if match.accept is not None and not match.accept.holds(headers):
        return f"Accept does not ask for {match.accept.name}"
    return None


def _shown(octets: bytes) -> str:
    return octets.decode("ascii", "backslashreplace")


def path_matches(pattern: PathPattern, segments: list[bytes]) -> bool:
    wanted = pattern.segments
    if len(segments) < len(wanted) or (len(segments) > len(wanted) and not pattern.prefix):
        return False
    return _shared_depth(pattern, segments) == len(wanted)


def _shared_depth(pattern: PathPattern, segments: list[bytes]) -> int:
    """How many segments from the left agree."""
    depth = 0
    for wanted, given in zip(pattern.segments, segments, strict=False):
        if not (given != b"" if wanted[:1] == b"{" else given == wanted):
            break
        depth += 1
    return depth


def _path_why_not(pattern: PathPattern, path: bytes, segments: list[bytes]) -> str:
    depth = _shared_depth(pattern, segments)
    wanted = pattern.segments
    if depth == len(wanted):
        return f"path {_shown(path)} goes on below {pattern.text}, which is exact"
    if depth == len(segments):
        return f"path {_shown(path)} ends before {pattern.text}"
    return f"path segment {depth + 1} is {_shown(segments[depth])!r}, not {_shown(wanted[depth])!r} ({pattern.text})"


def _host_matches(pattern: str, host: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def why_won(match: Match) -> str:
    kind = "prefix" if match.path.prefix else "parameters" if match.path.params else "exact path"
    also = [] if match.regexp is None else [f"path like {match.regexp.text}"]
    also += [word for word, given in (("host", match.hosts), ("method", match.methods)) if given]
    also += [f"{len(given)} {word}" for word, given in (("header", match.headers), ("query", match.query)) if given]
    return f"most specific: {kind} {match.path.text}" + (f", and {', '.join(also)}" if also else "")


def _host_rank(match: Match, host: str) -> int:
    """Higher is more specific: exact, then the longest suffix, then any."""
    ranks = [0]
    for pattern in match.hosts:
        if _host_matches(pattern, host):
            ranks.append(1000 if not pattern.startswith("*.") else len(pattern))
    return max(ranks)


def less_specific(match: Match, winner: Match, host: str, method: str) -> str:
    """Why `match` comes after `winner` although both take the request."""
    if _host_rank(match, host) < _host_rank(winner, host):
        return f"its host {' or '.join(match.hosts) or '(any)'} is less specific than {' or '.join(winner.hosts)}"
    if match.path.shape != winner.path.shape:
        return _less_specific_path(match.path, winner.path)
    if match.regexp != winner.regexp:
        if match.regexp is None:
            return "it has no regular expression for the path"
        return "its regular expression is shorter, or comes later in the alphabet"
    if winner.methods and not match.methods:
        return f"it takes any method and {winner.path.text} there names {method}"
    if method not in match.methods and method in winner.methods:
        return f"it takes {method} only by way of GET"
    for word, more, fewer in (("header", winner.headers, match.headers), ("query", winner.query, match.query)):
        if len(more) > len(fewer):
            return f"it has fewer {word} conditions ({len(fewer)} to {len(more)})"
    if winner.accept is not None and match.accept is None:
        return "it has no condition on Accept"
    return "its conditions come later: presence after value, then the alphabet"


def _less_specific_path(pattern: PathPattern, winner: PathPattern) -> str:
    for number, (mine, theirs) in enumerate(zip(pattern.shape, winner.shape, strict=False), 1):
        if mine != theirs:
            words = {b"{}": "a parameter", b"*": "a prefix's end", b"$": "the path's end"}
            has = words.get(mine, f"the word {_shown(mine)!r}")
            beats = words.get(theirs, f"the word {_shown(theirs)!r}")
            return f"at segment {number} of {pattern.text} is {has}, less specific than {beats} of {winner.text}"
    return f"its path {pattern.text} is less specific than {winner.text}"


def nearest(patterns: Sequence[PathPattern], path: bytes, most: int = 3) -> list[tuple[int, str]]:
    """Indexes of the patterns that share the most with `path` from the left, and where they part."""
    segments = segments_of(path)
    shared = [(-_shared_depth(pattern, segments), pattern.text, index) for index, pattern in enumerate(patterns)]
    best = sorted(row for row in shared if row[0] < 0)[:most]
    return [(index, _path_why_not(patterns[index], path, segments)) for _, _, index in best]
