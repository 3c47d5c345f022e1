"""Health of the parts of this process that are no store: the event loop, the configuration, the disk, logs, upstreams.

A verdict is ok, degraded, failing or off. Only what keeps the gateway from doing its work is failing; liveness and
readiness do not depend on any of these.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Protocol

from spork.application.configuration.live import LiveConfiguration
from spork.application.configuration.problems import errors
from spork.application.fleet.heartbeat import LoopLag
from spork.application.fleet.overview import Overview
from spork.application.views import ComponentHealth


class LoopHealth:
    """Degraded from 100 ms of lag, failing from a second."""

    name = "event_loop"

    def __init__(self, lag: LoopLag) -> None:
        self._lag = lag

    def health(self) -> ComponentHealth:
        worst = self._lag.worst
        status = "ok" if worst < 0.1 else "degraded" if worst < 1.0 else "failing"
        return ComponentHealth(self.name, status, f"{worst * 1000:.1f} ms of lag in 10 s", worst * 1000)


class ConfigurationHealth:
    """Degraded while the last reading was refused, or parts of it are left out."""

    name = "configuration"

    def __init__(self, live: LiveConfiguration) -> None:
        self._live = live

    def health(self) -> ComponentHealth:
        problems = self._live.problems
        facts: dict[str, object] = {"revision": self._live.revision, "problems": len(problems)}
        failed = errors(problems)
        if failed:
            return ComponentHealth(self.name, "degraded", f"refused, revision stays: {failed[0]}", facts=facts)
        left_out = [problem for problem in problems if "left out" in problem.suggestion]
        if left_out:
            return ComponentHealth(self.name, "degraded", f"quarantined: {left_out[0]}", facts=facts)
        return ComponentHealth(self.name, "ok", f"revision {self._live.revision}", facts=facts)


class DiskHealth:
    """Degraded when the state directory has less than 5 % free, failing when nothing can be written."""

    name = "disk"

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def health(self) -> ComponentHealth:
        space = os.statvfs(self._directory)
        free = space.f_bavail / space.f_blocks if space.f_blocks else 1.0
        status = "ok" if free >= 0.05 else "degraded"
        if not os.access(self._directory, os.W_OK) or space.f_bavail == 0:
            status = "failing"
        facts: dict[str, object] = {"free_bytes": space.f_bavail * space.f_frsize}
        return ComponentHealth(self.name, status, f"{free:.0%} free in the state directory", facts=facts)


class Loss(Protocol):
    """Something that counts what it had to drop."""

    @property
    def lost(self) -> int: ...

    @property
    def failed(self) -> int: ...

    @property
    def waiting(self) -> int: ...


#: Seconds for which a log that lost lines is degraded, however often it is asked.
LOST_SHOWN = 60.0


class LogHealth:
    """Degraded while lines are being lost, and for a minute after."""

    def __init__(
        self,
        sink: Loss,
        enabled: Callable[[], bool] = lambda: True,
        log: str = "access",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = f"{log}_log"
        self._log = log
        self._sink = sink
        self._enabled = enabled
        self._seen = 0
        self._monotonic = monotonic
        self._lost_lately: tuple[float, int] = (float("-inf"), 0)

    def health(self) -> ComponentHealth:
        if not self._enabled():
            return ComponentHealth(self.name, "off", "not written")
        lost = self._sink.lost + self._sink.failed
        more, self._seen = lost - self._seen, lost
        facts: dict[str, object] = {"lost": lost, "waiting_bytes": self._sink.waiting}
        now = self._monotonic()
        at, lately = self._lost_lately
        if more:
            self._lost_lately = at, lately = (now, more + (lately if now - at < LOST_SHOWN else 0))
        if now - at < LOST_SHOWN:
            return ComponentHealth(self.name, "degraded", f"{lately} line(s) lost in the last minute", facts=facts)
        return ComponentHealth(self.name, "ok", "keeping up", facts=facts)

    def samples(self) -> list[tuple[str, tuple[str, ...], float]]:
        return [("gateway_log_lines_lost_total", (self._log,), float(self._sink.lost + self._sink.failed))]


class UpstreamsHealth:
    """Degraded while any upstream is down or degraded: a fact about services, never about this process."""

    name = "upstreams"

    def __init__(self, overview: Callable[[], Overview]) -> None:
        self._overview = overview

    def health(self) -> ComponentHealth:
        services = self._overview().services()
        bad = [service.name for service in services if service.state in ("down", "degraded")]
        facts: dict[str, object] = {"total": len(services), "not_healthy": bad[:20]}
        if bad:
            return ComponentHealth(self.name, "degraded", f"not healthy: {', '.join(bad[:5])}", facts=facts)
        return ComponentHealth(self.name, "ok", f"{len(services)} upstream(s)", facts=facts)
