"""The response cache as written: of the process, and of a route."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from spork.adapters.yaml.scalars import CacheOwner, Duration, HttpStatus, Size
from spork.adapters.yaml.written.form import Written


class Cache(Written, frozen=True):
    """The response cache of the process. See docs/cache.md."""

    memory: Annotated[Size, "Bytes of stored answers in each process, their fields and an overhead counted."] = (
        256 * 1024 * 1024
    )
    shared: Annotated[bool, "Keep answers in Redis too, for the whole fleet, when the shared state is Redis."] = True
    body_bytes: Annotated[Size, "Largest body that is stored, unless a route says less."] = 8 * 1024 * 1024
    purge_method: Annotated[bool, "Take PURGE on routes with a cache, from API keys with scope cache:purge."] = False


class CacheQuery(Written, frozen=True):
    """Which query parameters make a difference; a name may end in *."""

    ignore: Annotated[bool, "None does."] = False
    only: Annotated[tuple[str, ...], "These do, in whatever order; empty: all."] = ()
    exceptions: Annotated[tuple[str, ...], "All but these do (utm_*, fbclid)."] = msgspec.field(
        default=(), name="except"
    )


class RouteCache(Written, frozen=True):
    """What may be stored of a route's answers, beside what the target says. See docs/cache.md."""

    ttl: Annotated[
        Duration | None, "Life of a 200 or 203 whose target says nothing; left out: such answers are not stored."
    ] = None
    statuses: Annotated[dict[HttpStatus, Duration], "The same for other statuses: `{404: 10s, 301: 1h}`."] = (
        msgspec.field(default_factory=dict)
    )
    max_ttl: Annotated[Duration, "Longest life, whatever the target says."] = 86400.0 * 365
    stale_while_revalidate: Annotated[
        Duration,
        "How long after its life an answer is given while it is revalidated; the target's own word counts more.",
    ] = 0.0
    stale_if_error: Annotated[
        Duration,
        "How long after its life an answer stands in for a target that fails; the target's own word counts more.",
    ] = 0.0
    by: Annotated[
        CacheOwner,
        "Whose answers they are: everyone, or a cache of their own for each consumer, tenant or value of header:X.",
    ] = "everyone"
    query: Annotated[CacheQuery, "Which query parameters make a difference."] = CacheQuery()
    languages: Annotated[
        tuple[str, ...], "Accept-Language is reduced to the best of these, where answers vary on it."
    ] = ()
    cookies: Annotated[
        Literal["bypass", "ignore"],
        "Requests with cookies pass the cache by, or their cookies are not sent to the target.",
    ] = "bypass"
    collapse: Annotated[Duration, "Longest wait for the answer that another request is fetching; 0: nobody waits."] = (
        5.0
    )
    obey_clients: Annotated[bool, "Honour no-cache, max-age and the like of requests."] = False
    count_hits: Annotated[bool, "Limits are charged for answers from the cache too."] = True
    body_bytes: Annotated[Size | None, "Largest body that is stored, instead of cache.body_bytes."] = None
    heuristics: Annotated[bool, "Estimate a life from Last-Modified where nobody says one (RFC 9111 4.2.2)."] = False
