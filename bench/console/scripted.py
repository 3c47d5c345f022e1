"""The gateway of the console's measurements, in a process of its own so that its work is not measured with the console's.

Prints its URL, then streams changes until its standard input closes. Understands lines there: `quiet` ends the changes
(the seconds still tick), `flood N` sends N seconds' worth of changes as fast as they are read, then prints `flooded`.
"""

from __future__ import annotations

import argparse
import os
import queue
import sys
import threading
import time
from dataclasses import replace
from typing import Any

from tests.unit.console import seeds
from tests.unit.console.fake_gateway import FakeGateway

import bench.console.parts  # noqa: F401  (the paths)

BEHIND = 200
"""Chunks a reader may be behind before the flood waits for it."""


def filled(rows: int) -> tuple[FakeGateway, Any]:
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
    return gateway, quota


class Changes:
    """A tenth of a second's changes at a time: half of them quota windows, half finished requests."""

    def __init__(self, gateway: FakeGateway, quota: Any, rows: int, events: int) -> None:
        self.gateway, self.quota, self.rows, self.events = gateway, quota, rows, events
        self.step = 0

    def send(self) -> None:
        self.step += 1
        step, rows, half = self.step, self.rows, self.events // 20
        changed = [
            replace(
                self.quota,
                id=f"q{(step * 37 + i * 101) % rows}",
                subject=f"spk_{(step * 37 + i * 101) % rows:04x}…00",
                used=(step + i) % 600,
            )
            for i in range(half)
        ]
        self.gateway.send("delta", {"topic": "quotas", "rows": changed, "gone": []})
        finished = seeds.traffic(self.gateway.now(), self.events // 10 - half, step * 100)
        self.gateway.send("sample", {"rows": finished, "rate": 1})


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, default=10_000)
    options.add_argument("--events", type=int, default=200)
    given = options.parse_args()
    gateway, quota = filled(given.rows)
    gateway.start()
    print(gateway.url, flush=True)
    orders: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for order in sys.stdin:
            orders.put(order.strip())
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    changes, quiet = Changes(gateway, quota, given.rows, given.events), False
    while True:
        time.sleep(0.1)
        while not orders.empty():
            word, _, number = orders.get().partition(" ")
            quiet = quiet or word in ("quiet", "flood")
            if word == "flood":
                flood(gateway, changes, int(number))
        if not quiet:
            changes.send()


def flood(gateway: FakeGateway, changes: Changes, seconds: int) -> None:
    for _ in range(seconds * 10):
        changes.send()
        while gateway.behind() > BEHIND:
            time.sleep(0.005)
    print("flooded", flush=True)


if __name__ == "__main__":
    main()
