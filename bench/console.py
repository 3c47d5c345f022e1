"""The console under load, measured inside it: `python -m bench.console [--seconds 30] [--rows 10000] [--events 200]`.

A scripted gateway holds 10 000 quota windows, 1 000 targets and 500 breakers and streams 200 changes and samples a second. A
console without a terminal looks at the quotas, moves, sorts and filters. Printed at the end, one line each:

    first paint     start of the process to the first picture of a console on a terminal (a process of its own, under a pty)
    pump tick       time one beat of the pump takes, sorting and placing all rows included; the bar is 20 ms p95
    pump CPU        the same in CPU time, which a busy machine does not stretch as much
    key to paint    a key's arrival to the end of the repaint it causes; the bar is 50 ms p95
    loop lag        how late a 50 ms timer fires: what else would have waited
    memory          resident set, at the start and at the end; the bar is 150 MiB
    dropped         what the bounded rings let go, and revisions that came in the wrong order
    idle CPU        share of a core over ten seconds in which nothing changes; the bar is 1 %

The gateway's work is in a process of its own, so that it is not measured with the console's.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pty
import select
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]
ENV = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}


def percentile(values: list[float], share: float) -> float:
    if not values:
        return float("nan")
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


# ------------------------------------------------------------------------------------------------ the gateway's process


def serve(rows: int, events: int) -> None:
    """Print the URL, then stream changes until standard input closes; a line `quiet` ends the changes."""
    import threading

    from tests.unit.console import seeds
    from tests.unit.console.fake_gateway import FakeGateway

    gateway = FakeGateway()
    gateway.keep_history = False
    now = gateway.now()
    quota, target, breaker = seeds.quotas()[5], seeds.targets(now)[0], seeds.breakers(now)[4]
    gateway.topics["quotas"] = [
        replace(quota, id=f"q{i}", subject=f"spk_{i:04x}…{i % 256:02x}", used=i * 7 % 600, remaining=600 - i * 7 % 600)
        for i in range(rows)
    ]
    gateway.topics["targets"] = [
        replace(target, upstream=f"u{i % 100}", name=f"10.1.{i // 250}.{i % 250}:80") for i in range(1000)
    ]
    gateway.topics["breakers"] = [replace(breaker, name=f"u{i}") for i in range(500)]
    gateway.start()
    print(gateway.url, flush=True)
    quiet = threading.Event()

    def listen() -> None:
        for line in sys.stdin:
            if line.strip() == "quiet":
                quiet.set()
                gateway.ticking = True
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    step = 0
    while True:
        time.sleep(0.1)
        if quiet.is_set():
            continue
        step += 1
        half = events // 20
        changed = [
            replace(
                quota,
                id=f"q{(step * 37 + i * 101) % rows}",
                subject=f"spk_{(step * 37 + i * 101) % rows:04x}…00",
                used=(step + i) % 600,
            )
            for i in range(half)
        ]
        gateway.send("delta", {"topic": "quotas", "rows": changed, "gone": []})
        gateway.send("sample", {"rows": seeds.traffic(gateway.now(), events // 10 - half, step * 100), "rate": 1})


# ------------------------------------------------------------------------------------------------------------- measuring


async def drive(url: str, seconds: float, quiet: Any) -> dict[str, Any]:
    from console.contexts import Context
    from console.session import Session
    from console.ui.app import ConsoleApp

    process = psutil.Process()
    session = Session(Context("bench", url, False, "admin-token"), {})
    app = ConsoleApp(session, {})
    ticks: list[float] = []
    work: list[float] = []
    paints: list[float] = []
    lags: list[float] = []
    plain_tick = app.tick

    def timed_tick() -> None:
        start, cpu = time.perf_counter(), time.thread_time()
        plain_tick()
        ticks.append((time.perf_counter() - start) * 1000)
        work.append((time.thread_time() - cpu) * 1000)

    app.tick = timed_tick  # type: ignore[method-assign]

    async def watch_lag() -> None:
        while True:
            start = time.perf_counter()
            await asyncio.sleep(0.05)
            lags.append((time.perf_counter() - start - 0.05) * 1000)

    async def key(name: str) -> None:
        """From the key's message to the end of the frame it caused."""
        from textual import events

        painted = asyncio.Event()
        start = time.perf_counter()
        app.post_message(events.Key(name, name if len(name) == 1 else None))
        app.main.call_after_refresh(painted.set)
        await asyncio.wait_for(painted.wait(), 5)
        paints.append((time.perf_counter() - start) * 1000)

    async with app.run_test(size=(120, 36)) as pilot:
        while not session.store.rows("quotas"):
            await pilot.pause(0.05)
        await pilot.press("4")
        await pilot.pause(1.0)
        before = process.memory_info().rss
        ticks.clear()
        work.clear()
        lag = asyncio.create_task(watch_lag())
        end = time.monotonic() + seconds
        names = ["j", "j", "ctrl+d", "k", "G", "g", "S", "pagedown", "z", "z"]
        count = 0
        while time.monotonic() < end:
            await key(names[count % len(names)])
            count += 1
            await asyncio.sleep(0.12)
        lag.cancel()
        after = process.memory_info().rss
        busy, worked = list(ticks), list(work)
        quiet()
        await pilot.press("3")
        await pilot.pause(1.5)
        cpu = process.cpu_times()
        await asyncio.sleep(10)
        spent = process.cpu_times()
        idle = (spent.user + spent.system - cpu.user - cpu.system) / 10
        store = session.store
        return {
            "ticks": busy, "work": worked, "paints": paints, "lags": lags, "before": before, "after": after, "idle": idle,
            "rows": len(store.rows("quotas")), "dropped": store.traffic.dropped, "gaps": len(store.gaps), "seen": store.traffic.total,
        }  # fmt: skip


def first_paint(url: str) -> float:
    """Milliseconds from starting `spork-console` under a pseudo-terminal to its first picture; the best of three."""
    best = float("inf")
    for _ in range(3):
        main, side = pty.openpty()
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "console", "--url", url], stdin=side, stdout=side, stderr=side, env=ENV | {"TERM": "xterm-256color",
            "SPORK_ADMIN_TOKEN": "admin-token", "SPORK_CONSOLE_CONFIG": "/nonexistent", "COLUMNS": "120", "LINES": "36"},
        )  # fmt: skip
        os.close(side)
        seen = b""
        while b"READ-ONLY" not in seen and time.perf_counter() - start < 20:
            if select.select([main], [], [], 0.05)[0]:
                seen += os.read(main, 65536)
        best = min(best, (time.perf_counter() - start) * 1000)
        process.terminate()
        process.wait()
        os.close(main)
    return best


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--seconds", type=float, default=30)
    options.add_argument("--rows", type=int, default=10_000)
    options.add_argument("--events", type=int, default=200)
    options.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.serve:
        serve(given.rows, given.events)
        return
    args = [sys.executable, "-m", "bench.console", "--serve", "--rows", str(given.rows), "--events", str(given.events)]
    gateway = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENV, cwd=ROOT)
    assert gateway.stdin is not None
    assert gateway.stdout is not None
    pipe = gateway.stdin
    try:
        url = gateway.stdout.readline().strip()
        found = asyncio.run(drive(url, given.seconds, lambda: (pipe.write("quiet\n"), pipe.flush())))
        paint = first_paint(url)
    finally:
        gateway.kill()
        gateway.wait()
    report(found, paint, given)


def report(found: dict[str, Any], paint: float, given: argparse.Namespace) -> None:
    mib = 1024 * 1024
    ticks, paints, lags = found["ticks"], found["paints"], found["lags"]
    print(
        f"load          {found['rows']} quota rows, 1000 targets, 500 breakers, {given.events} events/s for {given.seconds:.0f} s"
    )
    print(
        f"pump tick     p50 {statistics.median(ticks):6.1f} ms   p95 {percentile(ticks, 0.95):6.1f} ms   max {max(ticks):6.1f} ms   ({len(ticks)})"
    )
    work = found["work"]
    print(
        f"pump CPU      p50 {statistics.median(work):6.1f} ms   p95 {percentile(work, 0.95):6.1f} ms   max {max(work):6.1f} ms"
    )
    print(
        f"key to paint  p50 {statistics.median(paints):6.1f} ms   p95 {percentile(paints, 0.95):6.1f} ms   max {max(paints):6.1f} ms   ({len(paints)})"
    )
    print(
        f"loop lag      p50 {statistics.median(lags):6.1f} ms   p95 {percentile(lags, 0.95):6.1f} ms   max {max(lags):6.1f} ms   ({len(lags)})"
    )
    print(f"memory        {found['before'] / mib:6.1f} MiB at the start, {found['after'] / mib:6.1f} MiB at the end")
    print(f"dropped       {found['dropped']} of {found['seen']} samples left the ring, {found['gaps']} gaps")
    print(f"idle CPU      {found['idle'] * 100:6.2f} % of a core")
    print(f"first paint   {paint:6.0f} ms, best of three")


if __name__ == "__main__":
    main()
