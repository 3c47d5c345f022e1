"""What the cache counts of requests, for the metrics and for whoever asks how well it does."""

from __future__ import annotations

from collections.abc import Iterable


class CacheCounts:
    """Requests by route and result, fills and purges. Results: hit, stale, revalidated, miss, collapsed, bypass."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str], int] = {}
        self.fills: dict[str, int] = {}
        self.purges: dict[str, int] = {}

    def request(self, route: str, result: str) -> None:
        key = (route, result)
        self.requests[key] = self.requests.get(key, 0) + 1

    def fill(self, result: str) -> None:
        """A fill ended: stored, not_kept, broken, validated, refused (a word of `spork.application.caching`)."""
        self.fills[result] = self.fills.get(result, 0) + 1

    def purge(self, by: str) -> None:
        self.purges[by] = self.purges.get(by, 0) + 1

    def forget(self, routes: frozenset[str]) -> None:
        """Only `routes` are left."""
        self.requests = {key: count for key, count in self.requests.items() if key[0] in routes}

    def ratio(self, route: str) -> float | None:
        """Share of requests answered without the target since the start; None before the first."""
        counts = {result: count for (name, result), count in self.requests.items() if name == route}
        total = sum(counts.values())
        return (
            None if not total else (counts.get("hit", 0) + counts.get("stale", 0) + counts.get("collapsed", 0)) / total
        )

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        """For `spork.application.telemetry.families`."""
        for (route, result), count in self.requests.items():
            yield ("gateway_cache_requests_total", (route, result), float(count))
        for result, count in self.fills.items():
            yield ("gateway_cache_fills_total", (result,), float(count))
        for by, count in self.purges.items():
            yield ("gateway_cache_purges_total", (by,), float(count))
