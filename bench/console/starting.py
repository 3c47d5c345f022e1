"""How long until the console shows something, beside the least any Textual program takes.

Both are started under a pseudo-terminal of 120x36, turn by turn, and timed from the start of the process; CPU is what the
process had spent by then. The floor is a `textual.app.App` with one Static and nothing else.

    first paint     the console's frame: which gateway, the tabs, CONNECTING
    taking over     Textual's first picture of it: keys work (those typed before are not lost)
    live            the first numbers of the gateway
    floor           the bare application's first picture
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass

from bench.console.parts import ENV
from bench.measure import cpu_seconds

FLOOR = """
from textual.app import App
from textual.widgets import Static
class Bare(App):
    def compose(self):
        yield Static("FLOOR PAINTED")
Bare().run()
"""
PATIENCE = 20.0
MARKS = (("first paint", b"READ-ONLY", 0), ("taking over", b"READ-ONLY", 1), ("live", b"LIVE", 1))
"""What is told: its name, the bytes that mean it, and whether they count only once Textual holds the terminal."""
TEXTUAL_HOLDS = b"\x1b[?2004h"


@dataclass
class Seen:
    """Milliseconds after the start, in wall time and in CPU time of the process."""

    wall: float
    cpu: float


def watch(command: list[str], marks: tuple[tuple[str, bytes, int], ...]) -> dict[str, Seen]:
    """Start `command` on a terminal of its own and note when each mark is first on it."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))
    env = {name: value for name, value in ENV.items() if name not in ("COLUMNS", "LINES", "PYTHONDONTWRITEBYTECODE")}
    more = {"TERM": "xterm-256color", "SPORK_ADMIN_TOKEN": "admin-token", "SPORK_CONSOLE_CONFIG": "/nonexistent"}
    began = time.perf_counter()
    process = subprocess.Popen(command, stdin=side, stdout=side, stderr=side, env=env | more, start_new_session=True)
    os.close(side)
    seen, found = b"", {}
    try:
        while len(found) < len(marks) and time.perf_counter() - began < PATIENCE:
            if select.select([main], [], [], 0.05)[0]:
                seen += os.read(main, 65536)
            now, spent = time.perf_counter() - began, cpu_seconds(process.pid)
            held = seen.partition(TEXTUAL_HOLDS)[2]
            for name, what, later in marks:
                if name not in found and what in (held if later else seen):
                    found[name] = Seen(now * 1000, spent * 1000)
    finally:
        process.terminate()
        process.wait()
        os.close(main)
    return found


def measure(url: str, rounds: int = 7) -> dict[str, list[Seen]]:
    """All rounds of the console at `url` and of the bare application, turn by turn."""
    taken: dict[str, list[Seen]] = {}
    console = [sys.executable, "-m", "spork.console", "--url", url]
    bare = [sys.executable, "-c", FLOOR]
    for _ in range(rounds):
        for name, seen in watch(console, MARKS).items():
            taken.setdefault(name, []).append(seen)
        for seen in watch(bare, (("floor", b"FLOOR PAINTED", 0),)).values():
            taken.setdefault("floor", []).append(seen)
    return taken


def report(taken: dict[str, list[Seen]]) -> None:
    for name in ("first paint", "taking over", "live", "floor"):
        found = taken.get(name)
        if not found:
            print(f"{name:<13} never within {PATIENCE:.0f} s")
            continue
        walls, cpus = sorted(s.wall for s in found), sorted(s.cpu for s in found)
        middle = len(walls) // 2
        print(
            f"{name:<13} wall {walls[0]:5.0f} ms best {walls[middle]:5.0f} median   "
            f"CPU {cpus[0]:5.0f} ms best {cpus[middle]:5.0f} median   ({len(found)})"
        )
