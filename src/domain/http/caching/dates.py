"""HTTP dates (RFC 9110 5.6.7): IMF-fixdate and the two obsolete forms; anything else is no date."""

from __future__ import annotations

import re
from calendar import timegm
from datetime import UTC, datetime
from typing import Final

_MONTHS: Final = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_DAY: Final = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY: Final = rb"(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
_MONTH: Final = rb"(?P<month>" + b"|".join(_MONTHS) + rb")"
_TIME: Final = rb"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
# The names are case-sensitive in the grammar; senders are known to shout them, and there is nothing else they could mean.
_FORMS: Final = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        _DAY + rb", (?P<day>\d\d) " + _MONTH + rb" (?P<year>\d{4}) " + _TIME + rb" GMT",
        _LONG_DAY + rb", (?P<day>\d\d)-" + _MONTH + rb"-(?P<year>\d\d) " + _TIME + rb" GMT",
        _DAY + rb" " + _MONTH + rb" (?P<day>[ \d]\d) " + _TIME + rb" (?P<year>\d{4})",
    )
)


def parse_date(value: bytes, now: float) -> float | None:
    """Unix seconds of an HTTP date, or None. A two-digit year that would lie more than 50 years ahead of `now` is a past one."""
    for form in _FORMS:
        found = form.fullmatch(value)
        if found is not None:
            break
    else:
        return None
    month = _MONTHS.index(found["month"].title()) + 1
    year, day = int(found["year"]), int(found["day"])
    hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"])
    if not 1 <= day <= 31 or hour > 23 or minute > 59 or second > 60:
        return None
    if len(found["year"]) == 2:
        year += 1900 if year + 2000 > 1970 + now / 31556952 + 50 else 2000
    return float(timegm((year, month, day, hour, minute, second)))


_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def format_date(unix: float) -> bytes:
    """An IMF-fixdate."""
    t = datetime.fromtimestamp(int(unix), UTC)
    month = _MONTHS[t.month - 1].decode("ascii")
    return f"{_WEEKDAYS[t.weekday()]}, {t.day:02d} {month} {t.year:04d} {t:%H:%M:%S} GMT".encode("ascii")
