"""Who calls which version: counts by state, anonymous callers, and the events of dates that pass.

Consumers are counted by the usage of the versions' routes already; here stands what usage does not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from spork.application.kernel.events import EventSink
from spork.domain.routing.versions import ApiVersion, Stage

if TYPE_CHECKING:
    from spork.application.exchange.exchange import Exchange

#: Anonymous callers kept per version.
MOST_CALLERS: Final = 200
#: Consumers remembered as told of today.
_MOST_TOLD: Final = 20_000
_EVENTS: Final = {
    Stage.DEPRECATED: "version.deprecated",
    Stage.BROWNOUT: "version.brownout.began",
    Stage.RETIRED: "version.sunset",
}
_GOING: Final = (Stage.DEPRECATED, Stage.BROWNOUT)


@dataclass(slots=True)
class AnonymousCaller:
    """Requests from one network under one user agent; `last` in Unix seconds."""

    network: str
    agent: str
    requests: int = 0
    last: float = 0.0


class VersionCounters:
    """Counts (`Observer`), and tells (`tick`). One per process."""

    def __init__(self, events: EventSink) -> None:
        self._events = events
        self._counts: dict[tuple[str, str, str], int] = {}
        self._anonymous: dict[tuple[str, str], dict[tuple[str, str], AnonymousCaller]] = {}
        self._stages: dict[tuple[str, str], Stage] = {}
        self._told: dict[tuple[str, str, str], int] = {}

    def closed(self, exchange: Exchange) -> None:
        plan = exchange.plan
        version = None if plan is None else plan.config.version
        if version is None or not version.name:
            return
        stage = version.stage(exchange.unix)
        key = (version.api, version.name, stage.value)
        self._counts[key] = self._counts.get(key, 0) + 1
        principal = exchange.principal
        if principal is None:
            self._note(exchange, version)
        elif version.deprecated is not None or version.sunset is not None:
            self._tell(principal.consumer or principal.subject, version, stage, exchange.unix)

    def _note(self, exchange: Exchange, version: ApiVersion) -> None:
        callers = self._anonymous.setdefault((version.api, version.name), {})
        agent = (exchange.head.header(b"user-agent") or b"").decode("latin-1")[:120]
        key = (network_of(exchange.client), agent)
        caller = callers.get(key)
        if caller is None:
            if len(callers) >= MOST_CALLERS:
                del callers[min(callers, key=lambda one: callers[one].last)]
            caller = callers[key] = AnonymousCaller(*key)
        caller.requests += 1
        caller.last = exchange.unix

    def _tell(self, consumer: str, version: ApiVersion, stage: Stage, unix: float) -> None:
        """Once a day per consumer of a version that goes away."""
        if stage not in _GOING and not (stage is Stage.RETIRED and consumer in version.exempt):
            return
        key, day = (version.api, version.name, consumer), int(unix // 86400)
        if self._told.get(key) == day:
            return
        if len(self._told) >= _MOST_TOLD:
            self._told = {known: told for known, told in self._told.items() if told == day}
        self._told[key] = day
        data: dict[str, object] = {"api": version.api, "version": version.name, "sunset": version.sunset}
        self._events.publish("version.still_used", consumer, data)

    def tick(self, versions: Iterable[ApiVersion], unix: float) -> None:
        """About once a second: tell of dates that have passed since the last time. What had passed at the start is known."""
        for version in versions:
            if not version.name:
                continue
            key, stage = (version.api, version.name), version.stage(unix)
            before = self._stages.get(key)
            self._stages[key] = stage
            if before is not None and before is not stage and stage in _EVENTS and not _back(before, stage):
                data: dict[str, object] = {"api": version.api, "version": version.name, "successor": version.successor}
                self._events.publish(_EVENTS[stage], f"{version.api}@{version.name}", data)

    def anonymous(self, api: str, version: str) -> list[AnonymousCaller]:
        """Who called without a credential, most requests first."""
        callers = self._anonymous.get((api, version), {})
        return sorted(callers.values(), key=lambda one: -one.requests)

    def counts(self) -> Mapping[tuple[str, str, str], int]:
        return self._counts

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        """For `spork.application.telemetry.families`."""
        for labels, count in self._counts.items():
            yield ("gateway_version_requests_total", labels, float(count))


def _back(before: Stage, stage: Stage) -> bool:
    """Whether this is only the end of a brownout."""
    return before is Stage.BROWNOUT and stage is Stage.DEPRECATED


def network_of(client: str) -> str:
    """The /24 or /48 of an address: enough to find who it is, too little to follow a person."""
    if ":" in client:
        return ":".join(client.split(":")[:3]) + "::/48"
    parts = client.split(".")
    return ".".join(parts[:3]) + ".0/24" if len(parts) == 4 else client
