"""Who still calls v1: versions of APIs with their state, their requests and their callers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from spork.application.configuration.model import RouteConfig
from spork.application.telemetry.usage import UsageRow, UsageStore
from spork.application.telemetry.versions import VersionCounters
from spork.application.views import VersionCallerView, VersionView
from spork.domain.identity.consumers import Consumer
from spork.domain.routing.versions import ApiVersion

_HOUR: Final = 3600
#: Days over which requests are summed.
_DAYS: Final = (1, 7, 30)


class VersionReport:
    """Made on demand from usage records. `plan_of` knows a consumer's plan."""

    def __init__(
        self,
        versions: Callable[[], Sequence[tuple[str, ApiVersion]]],
        store: UsageStore | None,
        flush: Callable[[], Awaitable[None]] | None,
        counters: VersionCounters | None,
        plan_of: Callable[[str], str],
    ) -> None:
        self._versions = versions
        self._store = store
        self._flush = flush
        self._counters = counters
        self._plan_of = plan_of

    async def report(self, now: float, api: str = "") -> list[VersionView]:
        """Every version of `api`, or of all, in the order they are declared. Raises as the records do."""
        last = int(now // _HOUR) + 1
        rows: Sequence[UsageRow] = ()
        if self._flush is not None:
            await self._flush()
        if self._store is not None:
            rows = await self._store.rows(last - 24 * _DAYS[-1], last, limit=1_000_000)
        by_route: dict[str, list[UsageRow]] = {}
        for row in rows:
            by_route.setdefault(row.route, []).append(row)
        by_version: dict[tuple[str, str], tuple[ApiVersion, list[UsageRow]]] = {}
        for route, version in self._versions():
            if version.name and api in ("", version.api):
                found = by_version.setdefault((version.api, version.name), (version, []))
                found[1].extend(by_route.get(route, ()))
        return [self._view(version, found, now, last) for version, found in by_version.values()]

    def _view(self, version: ApiVersion, rows: Sequence[UsageRow], now: float, last: int) -> VersionView:
        sums = [sum(row.requests for row in rows if row.hour >= last - 24 * days) for days in _DAYS]
        callers: dict[str, list[int]] = {}
        for row in rows:
            if row.consumer:
                said = callers.setdefault(row.consumer, [0, 0])
                said[0] += row.requests
                said[1] = max(said[1], row.hour)
        consumers = tuple(
            VersionCallerView(name, requests, float(hour * _HOUR), self._plan_of(name))
            for name, (requests, hour) in sorted(callers.items(), key=lambda item: -item[1][0])
        )
        anonymous = () if self._counters is None else tuple(self._counters.anonymous(version.api, version.name))
        return VersionView(
            version.api,
            version.name,
            version.stage(now).value,
            version.deprecated,
            version.sunset,
            version.successor or None,
            sums[0],
            sums[1],
            sums[2],
            _projected(rows, version, now, last),
            consumers,
            tuple(
                VersionCallerView(f"{one.network} {one.agent}".strip(), one.requests, one.last, "") for one in anonymous
            ),
        )


def _projected(rows: Sequence[UsageRow], version: ApiVersion, now: float, last: int) -> float | None:
    """Requests a day at the sunset, if the last two weeks go on as a straight line; None without a sunset ahead."""
    if version.sunset is None or version.sunset <= now:
        return None
    week = 24 * 7
    recent = sum(row.requests for row in rows if row.hour >= last - week) / 7
    before = sum(row.requests for row in rows if last - 2 * week <= row.hour < last - week) / 7
    weeks = (version.sunset - now) / (week * _HOUR)
    return round(max(0.0, recent + (recent - before) * weeks), 1) if before else round(recent, 1)


def versions_of(routes: Sequence[RouteConfig]) -> list[tuple[str, ApiVersion]]:
    """Route name and version of each versioned route."""
    return [(route.name, route.version) for route in routes if route.version is not None]


def plan_by_name(consumers: Sequence[Consumer]) -> Callable[[str], str]:
    """The plans of declared consumers."""
    plans = {consumer.name: consumer.plan for consumer in consumers}
    return lambda name: plans.get(name, "")
