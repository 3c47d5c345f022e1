"""A sampling profiler of this process: a thread looks at all stacks so many times a second, for a bounded time.

It needs no restart and no instrumentation, and costs nothing while it does not run. Modules compiled to native code have no
Python frames: their time is seen in whoever called them. Output: Brendan Gregg's collapsed stacks, or speedscope's file format.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import FrameType

#: Bounds of one profile: seconds, samples a second, frames of a stack, different stacks that are kept.
LONGEST, MOST_OFTEN, DEEPEST, MOST_STACKS = 60.0, 1000, 128, 20_000
_OTHER = ("(other stacks)",)


@dataclass(slots=True)
class Profile:
    """How often each stack was seen, outermost frame first. `interval` in seconds."""

    seconds: float
    interval: float
    samples: int = 0
    stacks: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def collapsed(self) -> bytes:
        """One line a stack: frames joined by `;`, a space, how often."""
        lines = [f"{';'.join(stack)} {count}" for stack, count in self.stacks.most_common()]
        return ("\n".join(lines) + "\n").encode("utf-8", "replace")

    def speedscope(self, name: str) -> bytes:
        """speedscope's JSON, type `sampled`; open it at speedscope.app or with the offline copy."""
        frames: dict[str, int] = {}
        samples = [[frames.setdefault(frame, len(frames)) for frame in stack] for stack in self.stacks]
        weights = [count * self.interval for count in self.stacks.values()]
        document = {
            "$schema": "https://www.speedscope.app/file-format-schema.json",
            "name": name,
            "shared": {"frames": [{"name": frame} for frame in frames]},
            "profiles": [
                {
                    "type": "sampled",
                    "name": name,
                    "unit": "seconds",
                    "startValue": 0,
                    "endValue": sum(weights),
                    "samples": samples,
                    "weights": weights,
                }
            ],
        }
        return json.dumps(document).encode("utf-8", "replace")


class Profiler:
    """Takes one profile at a time. `take` blocks: call it in a thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @property
    def busy(self) -> bool:
        return self._lock.locked()

    def take(self, seconds: float, hertz: int) -> Profile | None:
        """None when another profile is being taken. Values beyond the bounds are cut to them."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            return self._sample(min(LONGEST, max(0.01, seconds)), min(MOST_OFTEN, max(1, hertz)))
        finally:
            self._lock.release()

    @staticmethod
    def _sample(seconds: float, hertz: int) -> Profile:
        interval = 1.0 / hertz
        profile = Profile(seconds, interval)
        own = threading.get_ident()
        began = time.perf_counter()
        due = began
        while due < began + seconds:
            names = {thread.ident: thread.name for thread in threading.enumerate()}
            for ident, frame in sys._current_frames().items():
                if ident != own:
                    stack = (names.get(ident, "thread"), *stack_of(frame))
                    known = stack in profile.stacks or len(profile.stacks) < MOST_STACKS
                    profile.stacks[stack if known else _OTHER] += 1
            profile.samples += 1
            due += interval
            now = time.perf_counter()
            if due > now:
                time.sleep(due - now)
            else:
                due = now  # behind: fewer samples, never a busy loop
                time.sleep(0.0005)
        return profile


def stack_of(frame: FrameType | None) -> list[str]:
    """The frames of a stack, outermost first: `function (module:line)`."""
    found: list[str] = []
    while frame is not None and len(found) < DEEPEST:
        code = frame.f_code
        module = frame.f_globals.get("__name__", "?")
        found.append(
            f"{code.co_qualname if hasattr(code, 'co_qualname') else code.co_name} ({module}:{frame.f_lineno})"
        )
        frame = frame.f_back
    found.reverse()
    return [name.replace(";", ",") for name in found]
