"""The system's clocks, behind `ports.Clock`."""

from __future__ import annotations

import time


class SystemClock:
    """`time.monotonic` and `time.time`, bound once."""

    monotonic = staticmethod(time.monotonic)
    unix = staticmethod(time.time)
