"""Putting a configuration into force: check the whole of it, compile it, swap the snapshot. The last good one stays.

A swap is one assignment: requests in flight finish on the snapshot they began with, the next request sees the new one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from application.configuration import Configuration
from application.forward import Current
from application.plan import GuardMaker, Snapshot, compile_snapshot
from application.upstreams import LiveUpstream

log = logging.getLogger("spork.configure")

Swapped = Callable[[Snapshot, Snapshot], None]


class Configurator:
    """Compiles and swaps configurations. `on_swap` hears (old, new) right after each swap."""

    def __init__(self, current: Current, upstreams: Upstreams, guard_makers: Sequence[GuardMaker]) -> None:
        self._current = current
        self._upstreams = upstreams
        self._guard_makers = tuple(guard_makers)
        self.on_swap: list[Swapped] = []

    @property
    def snapshot(self) -> Snapshot:
        return self._current.snapshot

    def apply(self, configuration: Configuration) -> Snapshot:
        """Compile `configuration`, which passed every check, and put it into force."""
        live = self._upstreams.prepare(configuration)
        snapshot = compile_snapshot(configuration, live, self._guard_makers)
        before = self._current.snapshot
        self._current.snapshot = snapshot
        self._upstreams.commit(live)
        for hear in self.on_swap:
            try:
                hear(before, snapshot)
            except Exception:
                log.exception("after configuration swap")
        log.info("configuration %s in force: %d routes, %d upstreams", snapshot.revision, len(snapshot.plans), len(live))
        return snapshot


class Upstreams:
    """The live upstreams by name. One that did not change keeps its live state across configurations."""

    def __init__(self, make: Callable[[object, LiveUpstream | None], LiveUpstream] | None = None) -> None:
        self._live: dict[str, LiveUpstream] = {}

    def prepare(self, configuration: Configuration) -> Mapping[str, LiveUpstream]:
        """Live upstreams for `configuration`, without touching those in force."""
        prepared: dict[str, LiveUpstream] = {}
        for declared in configuration.upstreams:
            old = self._live.get(declared.name)
            prepared[declared.name] = old if old is not None and old.declared == declared else LiveUpstream(declared)
        return prepared

    def commit(self, live: Mapping[str, LiveUpstream]) -> None:
        self._live = dict(live)
