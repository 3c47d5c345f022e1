"""Putting many routes into force while requests are served: the event loop gets its turns, and the last good one stays."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace

import pytest

from spork.application.configuration.model import Configuration
from tests.unit.application.pipeline.test_forwarder import House, route

ROUTES = tuple(route(f"/a{index % 7}/b{index}/*", name=f"r{index}") for index in range(1500))


async def test_the_loop_gets_a_turn_every_few_routes() -> None:
    house = House()
    configurator = house.configurator
    wanted = Configuration(revision="two", upstreams=configurator.snapshot.configuration.upstreams, routes=ROUTES)
    now = [0.0]

    def reads() -> float:
        now[0] += 0.001
        return now[0]

    configurator._clock = type("Clock", (), {"monotonic": staticmethod(reads), "unix": staticmethod(reads)})()
    turns = 0
    seen: set[str] = set()

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1
            seen.add(configurator.snapshot.revision)

    task = asyncio.create_task(others())
    await configurator.apply_in_slices(wanted)
    assert turns > len(ROUTES) / 5, "a slice ends after four milliseconds, here: four routes"
    assert seen <= {"", "two"}, "never a part of it"
    assert (await house.get("/a3/b3/x")).status == 200
    assert gc.isenabled()
    turns = 0
    await configurator.apply_in_slices(replace(wanted, revision="three", routes=ROUTES[:1]))
    assert turns > len(ROUTES) / 200, "what was in force is let go in slices, too"
    task.cancel()


async def test_what_cannot_be_compiled_changes_nothing() -> None:
    house = House()
    before = house.configurator.snapshot

    class Broken:
        phase = "broken"

        def compile(self, config: object, configuration: object) -> None:
            raise RuntimeError("no")

    house.configurator._policies = (Broken(),)  # type: ignore[assignment]
    with pytest.raises(RuntimeError):
        await house.configurator.apply_in_slices(replace(before.configuration, routes=ROUTES))
    assert house.configurator.snapshot is before
    assert gc.isenabled()
