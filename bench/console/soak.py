"""An hour's worth of changes through a console, as fast as it takes them.

The scripted gateway floods: 200 changes a second of 10 000 quota windows and of finished requests, beside 1 000 targets and
500 breakers. They pass the real client, feed, store and screens; the pump repaints four times a second, the screen
changes now and then. What an hour leaves behind in memory it leaves behind here; how long the loop was held is told
by a timer, though under a flood it is held far more than it would be in that hour.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable

from bench.console.load import Meter, console_at
from bench.console.parts import MIB, Gateway, line

SCREENS = ("4", "6", "1", "3", "7")


async def drive(gateway: Gateway, hours: float, events: int) -> list[str]:
    """The report's lines."""
    app, meter = console_at(gateway.url), Meter()
    meter.wrap_tick(app)
    store = app.session.store

    def rss() -> float:
        return float(meter.process.memory_info().rss / MIB)

    async with app.run_test(size=(120, 36)) as pilot:
        while not store.rows("quotas"):
            await pilot.pause(0.05)
        await pilot.press("4")
        await pilot.pause(1.0)
        before, seen, began, spent = rss(), store.traffic.total, time.monotonic(), meter.cpu()
        lag = asyncio.create_task(meter.watch_lag())
        gateway.say(f"flood {round(hours * 3600)}")
        done = asyncio.create_task(asyncio.to_thread(gateway.hear))
        most, marks = await watch(pilot, done, rss)
        took, spent = time.monotonic() - began, meter.cpu() - spent
        lag.cancel()
        await pilot.pause(2.0)
        gc.collect()
        total = round(hours * 3600 * events)
        finished = store.traffic.total - seen
        return [
            f"{total} changes ({hours:g} h of {events}/s) in {took:.0f} s, {total / took:.0f} a second, {spent:.0f} s of CPU",
            f"{'memory':<14}{before:.1f} MiB before, {most:.1f} at most, {rss():.1f} after; each tenth: {marks}",
            line("loop lag", meter.lags),
            line("pump tick", meter.ticks),
            line("pump CPU", meter.work),
            f"{'requests':<14}{finished} read of {total // 2} sent, {len(store.traffic)} kept, {store.traffic.dropped} left the ring",
            f"{'events':<14}{len(store.events)} kept, {store.events.dropped} left the ring",
            f"{'rows':<14}{len(store.rows('quotas'))} quota windows, {store.shelves['quotas'].overflow} refused",
            f"{'gaps':<14}{len(store.gaps)}, link {store.link.state}, {store.link.attempt} attempts failed",
        ]


async def watch(pilot: object, done: asyncio.Task[str], rss: Callable[[], float]) -> tuple[float, str]:
    """The most memory while the flood lasts, and about ten samples of it."""
    samples: list[float] = []
    at = 0
    while not done.done():
        await pilot.press(SCREENS[at % len(SCREENS)])  # type: ignore[attr-defined]
        at += 1
        await asyncio.wait({done}, timeout=1.0)
        samples.append(rss())
    step = max(1, len(samples) // 10)
    return max(samples), " ".join(f"{value:.0f}" for value in samples[::step])
