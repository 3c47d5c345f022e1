"""The fleet as it is now, built for whoever asks: at most ten times a second however many do."""

from __future__ import annotations

from spork.application.admin.commands import ObjectVersions
from spork.application.fleet.heartbeat import Reporter
from spork.application.fleet.overview import Overview
from spork.application.kernel.clock import Clock

#: Seconds for which one overview answers everybody.
_KEPT = 0.1


class CurrentOverview:
    """Answers an `Overview` of the last heartbeat with this node's own part as it stands now."""

    def __init__(self, reporter: Reporter, versions: ObjectVersions, clock: Clock) -> None:
        self._reporter = reporter
        self._versions = versions
        self._clock = clock
        self._kept: tuple[float, Overview] | None = None

    def overview(self) -> Overview:
        """The one of the last tenth of a second, or a new one."""
        now = self._clock.monotonic()
        if self._kept is None or not 0 <= now - self._kept[0] < _KEPT:
            self._kept = (now, self._reporter.overview())
            self._note_versions(self._kept[1])
        return self._kept[1]

    def fresh(self) -> Overview:
        """A new one: for writes."""
        self.forget()
        return self.overview()

    def forget(self) -> None:
        """Something has changed: build a new one for the next who asks."""
        self._kept = None

    def states(self) -> dict[str, str]:
        """The state of each service by name."""
        return {view.name: view.state for view in self.overview().services()}

    def _note_versions(self, overview: Overview) -> None:
        # So that a later If-Match can tell whether the object changed after it was shown.
        for breaker in overview.picture.breakers():
            self._versions.changed(f"breaker {breaker.name}", (breaker.state, breaker.forced_by), breaker.since)
        for target in overview.picture.targets():
            self._versions.changed(f"target {target.upstream}/{target.name}", target.config)
