"""What a second of many busy routes costs the event loop: CPU, and the longest time that requests wait for their turn.

    python -m bench.heartbeat [--routes 10000]

Every route is asked for once a second. Measured are the gateway alone, with a console on its overview, with a console on
the list of routes, and in a fleet; the best of some seconds counts, so that neighbours on the machine do not.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import time

from tests.admin_rig import AdminRig, target
from tests.closed_exchanges import closed_exchange

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.fleet.nodes import SingleNodeRegistry
from spork.domain.routing.patterns import Match, PathPattern
from spork.domain.upstreams.model import Upstream

UPSTREAMS = 100
SECONDS = 16
#: Seconds until as much leaves the window as comes in.
WARM = 11
CASES = {
    "alone": frozenset[str](),
    "a console's overview": frozenset(("pulse", "services", "breakers", "traffic", "events")),
    "a console's routes": frozenset(("pulse", "routes")),
    "in a fleet": frozenset[str](),
}


class Heard(SingleNodeRegistry):
    """A registry that others listen to."""

    alone = False


def rig_of(routes: int, fleet: bool) -> AdminRig:
    upstreams = tuple(Upstream(f"u{n}", (target(f"127.0.0.1:{7000 + n}"),)) for n in range(UPSTREAMS))
    paths = (RouteConfig(f"r{n}", Match(PathPattern.parse(f"/r{n}/*")), f"u{n % UPSTREAMS}") for n in range(routes))
    configuration = Configuration(revision="r", upstreams=upstreams, routes=tuple(paths))
    return AdminRig(configuration, nodes=Heard() if fleet else SingleNodeRegistry())


async def measure(routes: int, topics: frozenset[str], fleet: bool) -> tuple[float, float]:
    """(milliseconds of CPU in a second, milliseconds of the longest step)."""
    rig = rig_of(routes, fleet)
    asked = [
        closed_exchange(route=f"r{n}", upstream=f"u{n % UPSTREAMS}", target=f"127.0.0.1:{7000 + n % UPSTREAMS}")
        for n in range(routes)
    ]
    watcher = rig.stream.watch(topics, None) if topics else None
    gc.collect()
    gc.freeze()
    found: list[tuple[float, float]] = []
    for second in range(SECONDS):
        for exchange in asked:
            rig.tally.closed(exchange)
        steps = await _steps_of_a_second(rig)
        if second >= WARM:
            found.append((sum(steps) * 1000, max(steps) * 1000))
        while watcher is not None and not watcher.queue.empty():
            watcher.queue.get_nowait()
    gc.unfreeze()
    return min(cpu for cpu, _ in found), min(longest for _, longest in found)


async def _steps_of_a_second(rig: AdminRig) -> list[float]:
    """CPU seconds between the turns of somebody else on the loop, while a heartbeat runs."""
    beating = asyncio.ensure_future(rig.beat())
    steps: list[float] = []
    while not beating.done():
        began = time.thread_time()
        await asyncio.sleep(0)
        steps.append(time.thread_time() - began)
    return steps


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--routes", type=int, default=10_000)
    routes = parser.parse_args().routes
    print(f"{routes} busy routes           ms a second   longest step, ms")
    for name, topics in CASES.items():
        cpu, longest = asyncio.run(measure(routes, topics, name == "in a fleet"))
        print(f"{name:<28}{cpu:>14.1f}{longest:>19.1f}")


if __name__ == "__main__":
    main()
