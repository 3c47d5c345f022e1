"""The response cache as written, to the domain's policy."""

from __future__ import annotations

from spork.adapters.yaml import written
from spork.adapters.yaml.decode import Findings
from spork.application.configuration.model import CacheSettings
from spork.domain.http.caching.policy import CachePolicy, QueryKey


def translate_settings(cache: written.Cache) -> CacheSettings:
    return CacheSettings(cache.memory, cache.shared, cache.body_bytes, cache.purge_method)


def translate_cache(
    cache: bool | written.RouteCache, path: str, findings: Findings, body_bytes: int
) -> CachePolicy | None:
    """The policy of a route, or None where it stores nothing. `body_bytes` is what the process stores at most."""
    if isinstance(cache, bool):
        return CachePolicy(body_bytes=body_bytes) if cache else None
    query = cache.query
    if sum((query.ignore, bool(query.only), bool(query.exceptions))) > 1:
        findings.add(f"{path}.query", "says more than one of ignore, only and except", "keep one")
    return CachePolicy(
        ttl=cache.ttl,
        statuses=tuple(sorted((int(status), life) for status, life in cache.statuses.items())),
        max_ttl=cache.max_ttl,
        stale_while_revalidate=cache.stale_while_revalidate,
        stale_if_error=cache.stale_if_error,
        by=cache.by.lower(),
        query=QueryKey(
            query.ignore,
            tuple(name.encode() for name in query.only) if query.only else None,
            tuple(name.encode() for name in query.exceptions),
        ),
        languages=tuple(tag.lower().encode() for tag in cache.languages),
        cookies=cache.cookies,
        collapse=cache.collapse,
        obey_clients=cache.obey_clients,
        count_hits=cache.count_hits,
        body_bytes=body_bytes if cache.body_bytes is None else cache.body_bytes,
        heuristics=cache.heuristics,
    )
