"""What the cache would do with a request: its key, the variant it selects and in which state, or why nothing is stored."""

from __future__ import annotations

from collections.abc import Awaitable

from spork.application.caching.request import CacheRequest, varying
from spork.application.caching.response_cache import ResponseCache
from spork.application.exchange.exchange import Exchange
from spork.domain.http.caching.policy import RouteCache
from spork.domain.http.caching.reuse import Use, remaining, usable
from spork.domain.http.caching.selection import select

_STATES = {
    Use.FRESH: "fresh: it is given",
    Use.STALE: "stale: given, and revalidated behind it",
    Use.VALIDATE: "validated first",
}


async def explain_cache(cache: ResponseCache, exchange: Exchange, rules: RouteCache, upstream: str) -> list[str]:
    """Sentences for operators. Asks the store, changes nothing."""
    policy = rules.policy
    assert policy is not None
    if exchange.head.method not in ("GET", "HEAD"):
        return ["cache: not looked up, the method is neither GET nor HEAD"]
    request = CacheRequest(exchange, policy, rules.section, upstream)
    if request.bypass:
        return [f"cache: not looked up: {request.bypass}"]
    _, scheme, host, _, _, owner = request.key
    whose = "everyone" if not owner else f"one {policy.by}"
    notes = [f"cache key: {scheme}://{host.decode('ascii')}{request.url.decode('latin-1')}, of {whose}"]
    found = cache.find(request)
    variants = await found if isinstance(found, Awaitable) else found
    chosen = select(variants, varying(exchange), policy.languages)
    if chosen is None:
        marked = cache.flights.marked(request.key, exchange.unix)
        why = f": the last answer was not stored ({marked})" if marked else ""
        notes.append(f"cache: {'another variant is stored' if variants else 'nothing is stored'}{why}")
        return notes
    varied = ", ".join(name.decode("ascii") for name in chosen.vary) or "nothing"
    use = usable(chosen, exchange.unix, request.directives)
    notes.append(
        f"cache: {chosen.status} stored, varies on {varied}, ttl {remaining(chosen, exchange.unix)} s, {_STATES[use]}"
    )
    return notes
