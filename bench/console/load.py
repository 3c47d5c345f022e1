"""A console under load, measured inside it, without a terminal.

It looks at 10 000 quota windows while changes stream in, moves, sorts and filters. Then nothing changes but the seconds.

    pump tick       time one beat of the pump takes, sorting and placing all rows included; the bar is 20 ms p95
    pump CPU        the same in CPU time of the console's thread, which a busy machine does not stretch as much
    key to paint    a key's arrival to the end of the repaint it causes; the bar is 50 ms p95
    key CPU         the same in CPU time; of all the thread did until then, the stream's rows included
    loop lag        how late a 50 ms timer fires: what else would have waited
    load CPU        share of a core over the whole of it; the bar is 5 % ... of which typing ten keys a second is most
    idle CPU        share of a core over ten seconds in which nothing changes; the bar is 1 %
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psutil

from bench.console.parts import MIB, Gateway, line

KEYS = ("j", "j", "ctrl+d", "k", "G", "g", "S", "pagedown", "z", "z")
IDLE_SECONDS = 10.0


class Meter:
    """What was measured of one console."""

    def __init__(self) -> None:
        self.ticks: list[float] = []
        self.work: list[float] = []
        self.paints: list[float] = []
        self.paint_work: list[float] = []
        self.lags: list[float] = []
        self.process = psutil.Process()

    def wrap_tick(self, app: Any) -> None:
        plain = app.tick

        def timed() -> None:
            start, cpu = time.perf_counter(), time.thread_time()
            plain()
            self.work.append((time.thread_time() - cpu) * 1000)
            self.ticks.append((time.perf_counter() - start) * 1000)

        app.tick = timed

    async def watch_lag(self) -> None:
        while True:
            start = time.perf_counter()
            await asyncio.sleep(0.05)
            self.lags.append((time.perf_counter() - start - 0.05) * 1000)

    async def key(self, app: Any, name: str) -> None:
        """From the key's message to the end of the frame it caused."""
        from textual import events

        painted = asyncio.Event()
        start, cpu = time.perf_counter(), time.thread_time()
        app.post_message(events.Key(name, name if len(name) == 1 else None))
        app.main.call_after_refresh(painted.set)
        await asyncio.wait_for(painted.wait(), 5)
        self.paint_work.append((time.thread_time() - cpu) * 1000)
        self.paints.append((time.perf_counter() - start) * 1000)

    def cpu(self) -> float:
        spent = self.process.cpu_times()
        return spent.user + spent.system


def console_at(url: str) -> Any:
    from spork.console.gateway.contexts import Context
    from spork.console.session.session import ConsoleSession
    from spork.console.ui.app import ConsoleApp

    return ConsoleApp(ConsoleSession(Context("bench", url, False, "admin-token"), {}), {})


async def drive(gateway: Gateway, seconds: float) -> list[str]:
    """The report's lines."""
    app, meter = console_at(gateway.url), Meter()
    meter.wrap_tick(app)
    store = app.session.store
    async with app.run_test(size=(120, 36)) as pilot:
        while not store.rows("quotas"):
            await pilot.pause(0.05)
        await pilot.press("4")
        await pilot.pause(1.0)
        meter.ticks.clear()
        meter.work.clear()
        lag, began = asyncio.create_task(meter.watch_lag()), time.monotonic()
        end, count, before = began + seconds, 0, meter.cpu()
        while time.monotonic() < end:
            await meter.key(app, KEYS[count % len(KEYS)])
            count += 1
            await asyncio.sleep(0.12)
        lag.cancel()
        busy = (meter.cpu() - before) / (time.monotonic() - began)
        report = [
            line("pump tick", list(meter.ticks)),
            line("pump CPU", list(meter.work)),
            line("key to paint", meter.paints),
            line("key CPU", meter.paint_work),
            line("loop lag", meter.lags),
            f"{'load CPU':<14}{busy * 100:.1f} % of a core, with {count / seconds:.0f} keys/s",
        ]
        before = meter.cpu()
        await asyncio.sleep(5)
        watched = (meter.cpu() - before) / 5
        report.append(f"{'watching CPU':<14}{watched * 100:.1f} % of a core: the same changes, nobody types")
        gateway.say("quiet")
        report.append(f"{'memory':<14}{meter.process.memory_info().rss / MIB:.1f} MiB")
        for key, name in (("4", "quotas"), ("3", "breakers"), ("1", "pulse")):
            await pilot.press(key)
            await pilot.pause(1.5)
            before = meter.cpu()
            await asyncio.sleep(IDLE_SECONDS)
            idle = (meter.cpu() - before) / IDLE_SECONDS
            report.append(f"{'idle CPU':<14}{idle * 100:.2f} % of a core, on {name}")
    return report
