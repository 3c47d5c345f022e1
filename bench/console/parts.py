"""What the measurements share: where the project is, percentiles, and a scripted gateway in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT)]
ENV = os.environ | {"PYTHONPATH": str(ROOT)}
MIB = 1024 * 1024


def percentile(values: list[float], share: float) -> float:
    if not values:
        return float("nan")
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def line(name: str, values: list[float], unit: str = "ms") -> str:
    """One line of a report: the middle, the slow end and the worst."""
    worst = max(values, default=float("nan"))
    return (
        f"{name:<14}p50 {percentile(values, 0.5):6.1f} {unit}   p95 {percentile(values, 0.95):6.1f} {unit}   "
        f"max {worst:6.1f} {unit}   ({len(values)})"
    )


class Gateway:
    """The scripted gateway's process. `say` writes a line to it, `hear` reads its next one."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.url = self.hear()

    @property
    def pid(self) -> int:
        return self._process.pid

    def say(self, text: str) -> None:
        pipe: Any = self._process.stdin
        pipe.write(text + "\n")
        pipe.flush()

    def hear(self) -> str:
        pipe: Any = self._process.stdout
        return str(pipe.readline()).strip()


@contextmanager
def scripted_gateway(rows: int, events: int) -> Iterator[Gateway]:
    """`rows` quota windows, 1 000 targets, 500 breakers, and `events` changes a second."""
    command = [sys.executable, "-m", "bench.console.scripted", "--rows", str(rows), "--events", str(events)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENV, cwd=ROOT)
    try:
        yield Gateway(process)
    finally:
        process.kill()
        process.wait()
