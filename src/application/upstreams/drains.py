"""Drained targets of a fleet: what one process is told to drain, every process drains, late comers too.

Each process writes what its operators did and reads the whole set twice a second. A store that was emptied (a restart of
Redis without its data) gets back what the processes know; while it is gone everything stays as it is. A gateway without
a shared store keeps its drains in a file, so that a restart does not undo them.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from spork.application.kernel.clock import Clock
from spork.application.kernel.tasks import end
from spork.application.upstreams.registry import UpstreamRegistry

log = logging.getLogger("spork.drains")

Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Drain:
    """Why a target is drained, and for how many seconds more; None until it is undrained."""

    reason: str
    remaining: float | None


class DrainStore(Protocol):
    """The fleet's drained targets by (upstream, target). Raises StoreGone."""

    async def put(self, name: Name, drain: Drain) -> None: ...

    async def remove(self, name: Name) -> None: ...

    async def current(self) -> Mapping[Name, Drain] | None:
        """All that last; None when the store knows nothing of this fleet (then it wants to be told)."""

    async def found(self, drains: Mapping[Name, Drain]) -> None:
        """Tell an empty store what there is."""


class StoreGone(Exception):
    """The store does not answer."""


class FleetDrains:
    """Keeps the drained targets of this process and of the fleet the same. `open` and `close` with the process."""

    def __init__(self, registry: UpstreamRegistry, store: DrainStore, clock: Clock, poll: float = 0.5) -> None:
        self._registry = registry
        self._store = store
        self._clock = clock
        self._poll = poll
        self._pending: dict[Name, Drain | None] = {}
        self._seen: set[Name] = set()
        self._gone = False
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._following = False
        #: Held while the store and this process are brought together, so that an act is not met half done.
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        self._registry.on_drained.append(self._drained)
        await self.follow()
        self._task = asyncio.create_task(self._follow_on(), name="drains")

    async def close(self) -> None:
        if self._task is not None:
            await end([self._task])

    async def drain(self, upstream: str, target: str, reason: str, ttl: float | None, now: float) -> None:
        """Drain a target here and in the fleet, for `ttl` seconds or until undrained.

        Raises OSError when the fleet cannot be told, KeyError when there is no such target; then nothing is done.
        """
        self._registry.find(upstream, target)
        async with self._turn:
            await self._told(self._store.put((upstream, target), Drain(reason, ttl)))
            self._pending.pop((upstream, target), None)
            self._seen.add((upstream, target))
            self._quietly(lambda: self._registry.drain(upstream, target, reason, ttl, now))

    async def undrain(self, upstream: str, target: str, reason: str, now: float) -> None:
        """Undo a drain here and in the fleet. Raises as `drain` does."""
        self._registry.find(upstream, target)
        async with self._turn:
            await self._told(self._store.remove((upstream, target)))
            self._pending.pop((upstream, target), None)
            self._seen.discard((upstream, target))
            self._quietly(lambda: self._registry.undrain(upstream, target, reason, now))

    @staticmethod
    async def _told(asked: Awaitable[None]) -> None:
        try:
            await asked
        except StoreGone as error:
            raise OSError(f"the shared store did not take it: {error}") from error

    def _quietly(self, act: Callable[[], object]) -> None:
        """Do something in this process that the store knows already."""
        self._following = True
        try:
            act()
        finally:
            self._following = False

    def _drained(self, upstream: str, target: str, drain: tuple[str, float | None] | None) -> None:
        """An operator's act in this process, or one taken over from the fleet."""
        if not self._following:
            self._pending[upstream, target] = None if drain is None else Drain(*drain)
            self._wake.set()

    async def _follow_on(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._poll):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self.follow()
            except Exception:
                log.exception("following drains")

    async def follow(self) -> None:
        """Write what is pending, then take over what the fleet has."""
        async with self._turn:
            await self._follow()

    async def _follow(self) -> None:
        try:
            while self._pending:
                name, drain = next(iter(self._pending.items()))
                await (self._store.remove(name) if drain is None else self._store.put(name, drain))
                if self._pending.get(name) is drain:
                    del self._pending[name]
            current = await self._store.current()
            if current is None:
                current = self._known()
                await self._store.found(current)
        except StoreGone as error:
            if not self._gone:
                log.info("drains stay as they are: %s", error)
            self._gone = True
            return
        self._gone = False
        self._take_over(current)

    def _known(self) -> dict[Name, Drain]:
        now = self._clock.monotonic()
        known: dict[Name, Drain] = {}
        for upstream in self._registry:
            for target in upstream.targets:
                if now < target.drained_until:
                    remaining = None if math.isinf(target.drained_until) else target.drained_until - now
                    known[upstream.name, target.name] = Drain(target.drain_reason, remaining)
        return known

    def _take_over(self, current: Mapping[Name, Drain]) -> None:
        now = self._clock.monotonic()
        here = self._known()

        def take() -> None:
            for name, drain in current.items():
                if name not in self._pending and self._there(name) and not _same(here.get(name), drain):
                    self._registry.drain(*name, drain.reason, drain.remaining, now)
            for name in self._seen - current.keys():
                if name in here and name not in self._pending:
                    self._registry.undrain(*name, "undrained elsewhere", now)

        self._quietly(take)
        self._seen = set(current)

    def _there(self, name: Name) -> bool:
        live = self._registry.get(name[0])
        return live is not None and live.find(name[1]) is not None


def _same(here: Drain | None, there: Drain) -> bool:
    """Whether a drain in force is the one the fleet has; ends a second apart are the same."""
    if here is None or here.reason != there.reason:
        return False
    if here.remaining is None or there.remaining is None:
        return here.remaining is there.remaining
    return abs(here.remaining - there.remaining) < 1.0
