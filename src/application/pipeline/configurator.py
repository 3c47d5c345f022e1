"""Putting a configuration into force: check the whole of it, compile it, swap the snapshot. The last good one stays.

A swap is one assignment: requests in flight finish on the snapshot they began with, the next request sees the new one.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from spork.application.configuration.model import Configuration
from spork.application.exchange.exchange import Current, Snapshot
from spork.application.guards.policy import Policy
from spork.application.kernel.clock import Clock
from spork.application.pipeline.compiler import AnswerMaker, compile_snapshot, compiling
from spork.application.pipeline.overlay import RouteOverlay
from spork.application.upstreams.registry import UpstreamRegistry
from spork.application.upstreams.upstream import LiveUpstream

log = logging.getLogger("spork.configure")

#: How long compiling may hold the event loop at once, seconds; how many old routes are let go at once.
_SLICE = 0.004
_LET_GO = 200
#: From this many routes on, compiling makes so many objects that one pass of the garbage collector over them takes longer
#: than a slice. None of them is garbage: the collector looks away until they are in force, and never looks at them again.
_MANY = 500

Swapped = Callable[[Snapshot, Snapshot], None]


class Configurator:
    """Compiles and swaps configurations. `swapped` is called with (old, new) right after each swap, and does not raise."""

    def __init__(
        self,
        current: Current,
        registry: UpstreamRegistry,
        policies: Sequence[Policy],
        clock: Clock,
        answer_maker: AnswerMaker | None = None,
        swapped: Swapped = lambda before, after: None,
        overlay: RouteOverlay | None = None,
    ) -> None:
        self._overlay = overlay or RouteOverlay()
        self._answer_maker = answer_maker
        self._current = current
        self._clock = clock
        self._registry = registry
        self._policies = tuple(policies)
        self._swapped = swapped

    @property
    def snapshot(self) -> Snapshot:
        return self._current.snapshot

    def apply(self, configuration: Configuration) -> Snapshot:
        """Compile `configuration`, which passed every check, and put it into force: at start, when nothing waits."""
        now = self._clock.monotonic()
        configuration = self._overlay.over(configuration)
        live = self._registry.prepare(configuration.upstreams, now)
        compiled = compile_snapshot(configuration, live, self._policies, answer_maker=self._answer_maker)
        return self._swap(configuration, live, compiled)

    async def apply_in_slices(self, configuration: Configuration) -> Snapshot:
        """The same while requests are served: the event loop gets its turn every few milliseconds, however many routes
        there are, and what was in force is let go in slices, too. One at a time."""
        configuration = self._overlay.over(configuration)
        large = len(configuration.routes) > _MANY
        if large:
            gc.disable()
        try:
            return await self._apply_in_slices(configuration)
        finally:
            if large:
                gc.freeze()
                gc.enable()

    async def _apply_in_slices(self, configuration: Configuration) -> Snapshot:
        live = self._registry.prepare(configuration.upstreams, self._clock.monotonic())
        steps = compiling(configuration, live, self._policies, answer_maker=self._answer_maker)
        compiled: Snapshot | None = None
        while compiled is None:
            until = self._clock.monotonic() + _SLICE
            try:
                while self._clock.monotonic() < until:
                    next(steps)
            except StopIteration as done:
                compiled = done.value
            await asyncio.sleep(0)
        old = await self._parts_in_force()
        snapshot = self._swap(configuration, live, compiled)
        while old:
            del old[:_LET_GO]
            await asyncio.sleep(0)
        return snapshot

    async def _parts_in_force(self) -> list[object]:
        """What the snapshot in force is made of, what holds others first: so it does not go all at once when nobody has it."""
        before = self._current.snapshot
        old: list[object] = []
        for number, part in enumerate(before.table.parts()):
            old.append(part)
            if number % 1000 == 999:
                await asyncio.sleep(0)
        old += before.plans.values()
        old += before.configuration.routes
        return old

    def _swap(self, configuration: Configuration, live: Mapping[str, LiveUpstream], compiled: Snapshot) -> Snapshot:
        now = self._clock.monotonic()
        snapshot = replace(compiled, upstreams=self._registry.view)  # discovered upstreams come and go under it
        before = self._current.snapshot
        self._registry.commit(configuration.upstreams, live, now)
        self._current.snapshot = snapshot
        self._swapped(before, snapshot)
        log.info(
            "configuration %s in force: %d route(s), %d upstream(s)", snapshot.revision, len(snapshot.plans), len(live)
        )
        return snapshot
