"""An hour of rate, errors, p95 and refusals by service and by route, in bounded memory.

One sample each `STEP` seconds, of the window that ends then; `MOST` names at most, the longest idle one making room.
This process's own requests: a fleet's are added up by whoever collects metrics.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from typing import Final

from spork.application.telemetry.rolling import WINDOW, Window, Windows
from spork.application.views import HistoryView

STEP: Final = WINDOW
SECONDS: Final = 3600
SLOTS: Final = SECONDS // STEP
#: Names that are kept: about 6 kB each.
MOST: Final = 500
TOTAL: Final = ("total", "")
Name = tuple[str, str]


class _Series:
    """Four rings of floats; NaN where nothing was measured. `last` is the step of the newest sample."""

    __slots__ = ("errors", "last", "p95", "rate", "refused")

    def __init__(self) -> None:
        self.rate, self.errors, self.p95, self.refused = (array("f", [math.nan]) * SLOTS for _ in range(4))
        self.last = 0

    def put(self, step: int, window: Window) -> None:
        for missed in range(max(self.last + 1, step - SLOTS + 1), step) if self.last else ():
            self._set(missed % SLOTS, 0.0, 0.0, math.nan, 0.0)
        p95 = window.percentile_ms(0.95)
        self._set(
            step % SLOTS, window.rps, window.error_ratio, math.nan if p95 is None else p95, window.throttled / WINDOW
        )
        self.last = step

    def _set(self, at: int, rate: float, errors: float, p95: float, refused: float) -> None:
        self.rate[at], self.errors[at], self.p95[at], self.refused[at] = rate, errors, p95, refused


class History:
    """See the module. `sample` after every second's tick; most calls do nothing."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._series: dict[Name, _Series] = {}
        self._step = 0
        self.dropped = 0

    def due(self, unix: float) -> bool:
        """Is a sample due?"""
        return int(unix) // STEP > self._step

    def sample(self, windows: Windows, unix: float) -> None:
        """The last ten seconds, at `unix`."""
        step = self._step = int(unix) // STEP
        self._put(TOTAL, step, windows.total)
        for name, window in windows.upstreams.items():
            self._put(("service", name), step, window)
        for name, window in windows.routes.items():
            if name:
                self._put(("route", name), step, window)

    def _put(self, name: Name, step: int, window: Window) -> None:
        series = self._series.get(name)
        if series is None:
            if len(self._series) >= self._most:
                idle = min((key for key in self._series if key != TOTAL), key=lambda key: self._series[key].last)
                if self._series[idle].last >= step:
                    self.dropped += 1
                    return
                del self._series[idle]
            series = self._series[name] = _Series()
        series.put(step, window)

    def rows(self, kind: str = "", name: str = "", minutes: int = 60) -> list[HistoryView]:
        """The last `minutes` of what is kept, oldest sample first; `kind` is total, service or route, '' all."""
        slots = max(1, min(SLOTS, minutes * 60 // STEP))
        return [
            self._view(key, series, slots)
            for key, series in sorted(self._series.items())
            if kind in ("", key[0]) and name in ("", key[1])
        ]

    def _view(self, key: Name, series: _Series, slots: int) -> HistoryView:
        first = self._step - slots + 1
        steps = range(first, self._step + 1)
        oldest = series.last - SLOTS

        def points(ring: array[float], still: float | None) -> tuple[float | None, ...]:
            return tuple(
                still
                if step > series.last
                else None
                if step <= oldest or math.isnan(v := ring[step % SLOTS])
                else round(v, 4)
                for step in steps
            )

        return HistoryView(
            kind=key[0],
            name=key[1],
            step=float(STEP),
            until=float(self._step * STEP),
            rate=points(series.rate, 0.0),
            errors=points(series.errors, 0.0),
            p95_ms=points(series.p95, None),
            refused=points(series.refused, 0.0),
        )


def by_name(rows: list[HistoryView]) -> Mapping[Name, HistoryView]:
    return {(row.kind, row.name): row for row in rows}
