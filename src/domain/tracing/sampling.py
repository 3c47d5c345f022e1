"""Which traces are kept. Decided in this order: a trusted caller's flag, a forced trace, the ratio by trace id, the cap.

The ratio goes by the low 64 bits of the trace id, as OpenTelemetry's TraceIdRatioBased does: services that sample by the
same ratio keep the same traces, and a higher ratio keeps all of a lower one.
"""

from __future__ import annotations

from typing import Final

_ALL: Final = 1 << 64


class SecondCap:
    """At most so many a second; 0 means no cap. Times in monotonic seconds."""

    __slots__ = ("_left", "_per_second", "_second")

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._second = -1
        self._left = per_second

    def take(self, now: float) -> bool:
        """Whether there is room for one more in the second of `now`."""
        if not self._per_second:
            return True
        second = int(now)
        if second != self._second:
            self._second = second
            self._left = self._per_second
        if self._left <= 0:
            return False
        self._left -= 1
        return True


def bound_of(ratio: float) -> int:
    """The ratio 0..1 as a bound on the low 64 bits of a trace id."""
    return min(_ALL, round(ratio * _ALL))


def within(trace_id: bytes, bound: int) -> bool:
    """Whether a trace id (32 hex digits) falls under the bound."""
    if bound >= _ALL:
        return True
    return bound > 0 and int(trace_id[16:], 16) < bound


def head_sampled(parent: bool | None, forced: bool, trace_id: bytes, bound: int, cap: SecondCap, now: float) -> bool:
    """Whether a request's trace is kept and its targets are told so. `parent` is a trusted caller's flag, if it set one.

    Only what the ratio keeps is capped: a trusted caller's trace would have a hole, a forced one was asked for.
    """
    if parent is not None:
        return parent
    if forced:
        return True
    return within(trace_id, bound) and cap.take(now)
