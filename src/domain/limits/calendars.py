"""Days and months in a time zone, as windows of Unix time. Pure: no clock is read here.

A local day may have 23 or 25 hours; a window runs from the first instant of one local date to the first instant of
the next, whatever the zone does in between.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_MICRO = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Calendar:
    """Windows of one `unit` (day or month) in `time_zone` (IANA name). Raises ValueError for words it does not know."""

    __slots__ = ("_end", "_start", "_zone", "time_zone", "unit")

    def __init__(self, unit: str, time_zone: str = "UTC") -> None:
        if unit not in ("day", "month"):
            raise ValueError(f"{unit!r} is no calendar period: day or month")
        try:
            self._zone = ZoneInfo(time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{time_zone!r} is no time zone") from error
        self.unit = unit
        self.time_zone = time_zone
        # The last answer: requests ask about the same window again and again.
        self._start = self._end = 0

    def window(self, now: int) -> tuple[int, int]:
        """Start and end (Unix microseconds) of the window that holds `now`: start <= now < end."""
        if self._start <= now < self._end:
            return self._start, self._end
        today = (_EPOCH + timedelta(microseconds=now)).astimezone(self._zone).date()
        first = today if self.unit == "day" else today.replace(day=1)
        self._start, self._end = self._begin(first), self._begin(self._next(first))
        return self._start, self._end

    def _next(self, first: date) -> date:
        if self.unit == "day":
            return first + timedelta(days=1)
        return date(first.year + first.month // 12, first.month % 12 + 1, 1)

    def _begin(self, day: date) -> int:
        """The first instant of a local date. Where midnight is skipped or comes twice, the earlier reading counts."""
        return (datetime(day.year, day.month, day.day, tzinfo=self._zone).astimezone(UTC) - _EPOCH) // _MICRO
