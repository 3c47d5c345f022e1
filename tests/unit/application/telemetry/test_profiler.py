"""The profiler sees what threads do, in bounded time and size, one profile at a time."""

from __future__ import annotations

import json
import threading
import time

import pytest

from spork.application.telemetry import profiler
from spork.application.telemetry.profiler import Profiler


def spin_here(stop: threading.Event) -> None:
    while not stop.is_set():
        sum(range(200))


def test_a_busy_thread_is_seen_in_both_formats() -> None:
    stop = threading.Event()
    worker = threading.Thread(target=spin_here, args=(stop,), name="spinner")
    worker.start()
    try:
        taken = Profiler().take(0.3, 200)
    finally:
        stop.set()
        worker.join()
    assert taken is not None
    assert taken.samples > 5
    lines = taken.collapsed().decode().splitlines()
    assert any(line.startswith("spinner;") and "spin_here (" in line for line in lines)
    document = json.loads(taken.speedscope("spork"))
    profile = document["profiles"][0]
    frames = [frame["name"] for frame in document["shared"]["frames"]]
    assert any("spin_here" in name for name in frames)
    assert len(profile["samples"]) == len(profile["weights"])
    assert max(at for sample in profile["samples"] for at in sample) < len(frames)
    assert abs(profile["endValue"] - sum(profile["weights"])) < 1e-9
    assert not any("Profiler" in name for name in frames), "it does not look at itself"


def test_one_at_a_time() -> None:
    shared = Profiler()
    worker = threading.Thread(target=shared.take, args=(0.5, 50))
    worker.start()
    while not shared.busy:
        time.sleep(0.001)  # until the other profile has begun
    assert shared.take(0.1, 50) is None
    worker.join()
    assert shared.take(0.01, 50) is not None


def test_seconds_and_different_stacks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiler, "LONGEST", 0.05)
    monkeypatch.setattr(profiler, "MOST_STACKS", 0)
    stop = threading.Event()
    worker = threading.Thread(target=spin_here, args=(stop,))
    worker.start()
    began = time.monotonic()
    try:
        taken = Profiler().take(30.0, 100)
    finally:
        stop.set()
        worker.join()
    assert time.monotonic() - began < 5
    assert taken is not None
    assert list(taken.stacks) == [("(other stacks)",)]
