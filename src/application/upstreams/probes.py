"""Active probes and the watch over health: who is asked when, what the answers change, and who hears of it.

One task per probed target: probe, observe, wait `every` +-10 %. The first probe goes at once and decides. One more task
looks every second at ejections that ended and at services whose state changed. Nothing here is on the request path.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

from spork.application.kernel.clock import Clock
from spork.application.kernel.events import EventSink
from spork.application.kernel.faults import FaultError
from spork.application.kernel.tasks import end
from spork.application.upstreams.registry import UpstreamRegistry
from spork.application.upstreams.target import LiveTarget
from spork.domain.outcomes import cause
from spork.domain.upstreams.health import ProbePolicy, ProbeVerdict, passes, probe_pause
from spork.domain.upstreams.model import Target

log = logging.getLogger("spork.probe")

#: First probes are spread over this many seconds.
SPREAD = 0.05
WATCH_EVERY = 1.0


class Prober(Protocol):
    """Asks one target once, on a connection of its own. Follows no redirects."""

    async def ask(self, target: Target, policy: ProbePolicy) -> int:
        """The answer's status, 0 for a connection that was enough. Raises FaultError within `policy.timeout`."""

    async def close(self) -> None: ...


class Probes:
    """Keeps one probing task per target that has a probe policy. `open` and `close` with the process."""

    def __init__(
        self,
        registry: UpstreamRegistry,
        prober: Prober,
        clock: Clock,
        chance: Callable[[], float],
        events: EventSink | None = None,
    ) -> None:
        self._registry = registry
        self._prober = prober
        self._clock = clock
        self._chance = chance
        self._events = events
        self._tasks: dict[LiveTarget, asyncio.Task[None]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._ejected: set[LiveTarget] = set()

    async def open(self) -> None:
        self._registry.on_changed.append(self.follow)
        self._watch = asyncio.create_task(self._watching(), name="health watch")
        self.follow()

    async def close(self) -> None:
        if self.follow in self._registry.on_changed:
            self._registry.on_changed.remove(self.follow)
        tasks = [*self._tasks.values(), *([self._watch] if self._watch is not None else [])]
        self._tasks.clear()
        self._watch = None
        await end(tasks)
        await self._prober.close()

    def follow(self) -> None:
        """Probe exactly the targets there are now."""
        wanted = {t for upstream in self._registry for t in upstream.targets if t.probe is not None}
        for target in [t for t in self._tasks if t not in wanted]:
            self._tasks.pop(target).cancel()
        for target in wanted - self._tasks.keys():
            self._tasks[target] = asyncio.create_task(self._probing(target), name=f"probe {target.name}")

    async def probe_now(self, target: LiveTarget) -> str:
        """Probe `target` once, outside its rhythm; how it went, as a sentence."""
        policy = ProbePolicy() if target.probe is None else target.probe.policy
        passed, said, seconds = await self._once(target, policy)
        return f"{target.name} {'is well' if passed else 'is not well'}: {said} after {seconds * 1000:.0f} ms"

    async def _probing(self, target: LiveTarget) -> None:
        await asyncio.sleep(SPREAD * self._chance())
        while target.probe is not None:
            policy = target.probe.policy
            await self._once(target, policy)
            await asyncio.sleep(probe_pause(policy, self._chance()))

    async def _once(self, target: LiveTarget, policy: ProbePolicy) -> tuple[bool, str, float]:
        began = self._clock.monotonic()
        error: str | None = None
        passed = False
        try:
            status = await self._prober.ask(target.declared, policy)
            passed = status == 0 or passes(policy, status)
            said = "connected" if status == 0 else f"answered {status}"
            error = None if passed else f"probe: {said}"
        except FaultError as fault:
            said = fault.fault.kind.value
            error = f"probe: {cause(fault.fault)}"
        except Exception:
            log.exception("probe of %s", target.name)
            said = error = "probe: internal error"
        now = self._clock.monotonic()
        target.upstream.history.add(passed, now - began, now)
        if target.probed(passed, now - began, now, error):
            self._verdict_changed(target, said)
        return passed, said, now - began

    def _verdict_changed(self, target: LiveTarget, said: str) -> None:
        target.upstream.changed()
        assert target.probe is not None
        up = target.probe.verdict is ProbeVerdict.UP
        name = f"{target.upstream.name}/{target.name}"
        self._tell("target.up" if up else "target.down", name, {"detail": f"its probe says so: {said}"})

    # ---------------------------------------------------------------------------------------------------- the watch

    async def _watching(self) -> None:
        while True:
            with contextlib.suppress(Exception):
                self.look()
            await asyncio.sleep(WATCH_EVERY)

    def look(self) -> None:
        """Publish an event for each ejection that ended."""
        now = self._clock.monotonic()
        ejected: set[LiveTarget] = set()
        for upstream in self._registry:
            ejected |= {t for t in upstream.targets if t.ejection is not None and t.ejection.out(now)}
        for target in self._ejected - ejected:
            if not target.retired:
                self._tell("target.returned", f"{target.upstream.name}/{target.name}", {"detail": "ejection is over"})
        self._ejected = ejected

    def _tell(self, kind: str, subject: str, data: dict[str, object]) -> None:
        if self._events is not None:
            self._events.publish(kind, subject, data)
