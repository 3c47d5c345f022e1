"""Putting a configuration into force: check the whole of it, compile it, swap the snapshot. The last good one stays.

A swap is one assignment: requests in flight finish on the snapshot they began with, the next request sees the new one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from spork.application.configuration.model import Configuration
from spork.application.exchange.exchange import Current, Snapshot
from spork.application.guards.policy import Policy
from spork.application.kernel.clock import Clock
from spork.application.pipeline.compiler import AnswerMaker, compile_snapshot
from spork.application.upstreams.registry import UpstreamRegistry

log = logging.getLogger("spork.configure")

Swapped = Callable[[Snapshot, Snapshot], None]


class Configurator:
    """Compiles and swaps configurations. `on_swap` hears (old, new) right after each swap."""

    def __init__(
        self,
        current: Current,
        registry: UpstreamRegistry,
        policies: Sequence[Policy],
        clock: Clock,
        answer_maker: AnswerMaker | None = None,
    ) -> None:
        self._answer_maker = answer_maker
        self._current = current
        self._clock = clock
        self._registry = registry
        self._policies = tuple(policies)
        self.on_swap: list[Swapped] = []

    @property
    def snapshot(self) -> Snapshot:
        return self._current.snapshot

    def apply(self, configuration: Configuration) -> Snapshot:
        """Compile `configuration`, which passed every check, and put it into force."""
        now = self._clock.monotonic()
        live = self._registry.prepare(configuration.upstreams, now)
        compiled = compile_snapshot(configuration, live, self._policies, answer_maker=self._answer_maker)
        snapshot = replace(compiled, upstreams=self._registry.view)  # discovered upstreams come and go under it
        before = self._current.snapshot
        self._registry.commit(configuration.upstreams, live, now)
        self._current.snapshot = snapshot
        for hear in self.on_swap:
            try:
                hear(before, snapshot)
            except Exception:
                log.exception("after configuration swap")
        log.info(
            "configuration %s in force: %d route(s), %d upstream(s)", snapshot.revision, len(snapshot.plans), len(live)
        )
        return snapshot
