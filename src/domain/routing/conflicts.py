"""Routes that stand in each other's way: ties that precedence cannot break, and routes that never win."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spork.domain.routing.patterns import Match
from spork.domain.routing.table import Matched, RouteTable


@dataclass(frozen=True, slots=True)
class RouteConflict:
    """Two routes that tie for the same requests, or one that can never win. Indexes into the routes given.

    `other` is -1 when several routes together take everything. `why` names the methods of a tie.
    """

    index: int
    other: int
    kind: str  # "conflict", "unreachable", or "unmatched": no request can look like it
    why: str = ""


def find_conflicts(matches: Sequence[Match]) -> list[RouteConflict]:
    """Ties and unreachable routes among `matches`, for `spork check`. Linear in the number of routes."""
    found = _find_ties(matches)
    tied = {c.index for c in found} | {c.other for c in found}
    table = RouteTable((match, index) for index, match in enumerate(matches) if not match.body)
    for index, match in enumerate(matches):
        if index in tied or match.regexp is not None or match.body:
            continue  # what bodies have in common is not looked at; what a regular expression and a path have in common is not worked out
        winners = _winners(table, match, index)
        if index not in winners:
            if winners == {None}:  # its own example requests do not reach it, nor anything else
                found.append(RouteConflict(index, -1, "unmatched"))
                continue
            other = winners.pop() if len(winners) == 1 else None
            found.append(RouteConflict(index, -1 if other is None else other, "unreachable"))
    return found


def _find_ties(matches: Sequence[Match]) -> list[RouteConflict]:
    """Each route against the first that is equal to it in all that precedence looks at."""
    found: dict[tuple[int, int], set[str]] = {}
    first: dict[tuple[object, ...], int] = {}
    for index, match in enumerate(matches):
        for host in match.hosts or ("",):
            where = (
                host,
                match.path.shape,
                frozenset(match.headers),
                frozenset(match.query),
                match.regexp,
                match.accept,
                match.body,
            )
            for method in match.methods or ("any method",):
                other = first.setdefault((*where, method), index)
                if other != index:
                    found.setdefault((index, other), set()).add(method)
    return [RouteConflict(index, other, "conflict", ", ".join(sorted(why))) for (index, other), why in found.items()]


def _winners(table: RouteTable[int], match: Match, index: int) -> set[int | None]:
    """Who takes the requests that `match` could, one of each sort; ends early when it is `index`."""
    winners: set[int | None] = set()
    headers = [(key, value if value is not None else b"~any~") for key, value in match.headers]
    if match.accept is not None:
        headers.append((b"accept", match.accept.witness))
    query = b"&".join(key + b"=" + (value if value is not None else b"~any~") for key, value in match.query) or None
    for host in match.hosts or ("~any~.invalid",):
        name = "~any~" + host[1:] if host.startswith("*.") else host
        for method in sorted(match.methods) or ("GET", "~ANY~"):
            for path in match.path.witnesses():
                resolution = table.resolve(name, path, method, headers, query)
                winner = resolution.route if isinstance(resolution, Matched) else None
                winners.add(winner)
                if winner == index:
                    return winners
    return winners
