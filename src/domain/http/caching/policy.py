"""What an operator asks of the cache on one route."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

#: Longest life of any stored answer unless the route says otherwise, seconds.
LONGEST_LIFE: Final = 86400.0 * 365


@dataclass(frozen=True, slots=True)
class QueryKey:
    """Which query parameters are part of a key. `only` None means all but `exceptions`; a name may end in `*`."""

    ignore: bool = False
    only: tuple[bytes, ...] | None = None
    exceptions: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """The cache section of a route. Times in seconds, sizes in bytes.

    `ttl` and `statuses` are lives for answers whose target says nothing. `by` is `everyone`, `consumer`, `tenant` or
    `header:x-name`: each of them has answers of its own.
    """

    ttl: float | None = None
    statuses: tuple[tuple[int, float], ...] = ()
    max_ttl: float = LONGEST_LIFE
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    by: str = "everyone"
    query: QueryKey = field(default_factory=QueryKey)
    languages: tuple[bytes, ...] = ()
    cookies: str = "bypass"
    collapse: float = 5.0
    obey_clients: bool = False
    count_hits: bool = True
    body_bytes: int = 8 * 1024 * 1024
    heuristics: bool = False

    def life_of(self, status: int) -> float | None:
        """The life of an answer with this status whose target says nothing; None for none."""
        for known, life in self.statuses:
            if known == status:
                return life
        return self.ttl if status in (200, 203) else None


@dataclass(frozen=True, slots=True)
class RouteCache:
    """The cache of one route, compiled. `section` names the route and its rules: an entry stored under other rules is none.

    `policy` None: the route stores nothing, but its unsafe methods invalidate what another route stores of the same path.
    """

    section: bytes
    policy: CachePolicy | None
    #: Whether PURGE with a key of scope `cache:purge` is taken here.
    purge_method: bool = False
