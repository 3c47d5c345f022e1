"""Cost that a route's answers tell: read as they pass, charged when they are over.

The answer is never held back nor changed. JSON of at most 256 KiB is kept as it passes and read at the end; of an event stream only events that
name one of the fields are read. A coded answer cannot be read: targets of such routes are not told which codings the client takes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final

from spork.application.exchange.exchange import Exchange
from spork.application.exchange.sinks import PassingSink
from spork.application.kernel.streams import ResponseSink
from spork.domain.http.head import Header
from spork.domain.limits.cost import MOST_JSON, CostSource, EventData, number_at
from spork.domain.limits.limit import Charge, RateLimiter
from spork.domain.outcomes import Abandoned, Answered, Failed

#: Told (limit, units) of each charge that was settled.
Count = Callable[[str, int], None]
_CLIENT_ERRORS: Final = 400


class CostReader(PassingSink):
    """Reads the cost fields of an answer as it passes."""

    def __init__(self, inner: ResponseSink, sources: Sequence[CostSource]) -> None:
        super().__init__(inner)
        self._sources = sources
        self._paths = {name: tuple(name.split(".")) for source in sources for name, _ in source.fields}
        self._merges = {name: source.merge for source in sources for name, _ in source.fields}
        self._headers: dict[bytes, int] = {}
        self._kept: list[bytes] | None = None
        self._size = 0
        self._events: EventData | None = None
        self._values: dict[str, int] = {}

    def start(self, status: int, headers: list[Header]) -> None:
        kind, coded = b"", False
        for name, value in headers:
            if name == b"content-type":
                kind = value.partition(b";")[0].strip().lower()
            elif name == b"content-encoding" and value.lower() != b"identity":
                coded = True
            if any(source.header == name for source in self._sources) and _is_number(value):
                self._headers[name] = int(value)
        if self._paths and not coded:
            if kind == b"text/event-stream":
                last = {path[-1].encode() for path in self._paths.values()}
                self._events = EventData(tuple(last))
            elif kind == b"application/json" or kind.endswith(b"+json"):
                self._kept = []
        self.inner.start(status, headers)

    def write(self, data: bytes) -> None:
        if self._events is not None:
            for event in self._events.advance(data):
                self._read(event)
        elif self._kept is not None:
            self._size += len(data)
            if self._size > MOST_JSON:
                self._kept = None
            else:
                self._kept.append(data)
        self.inner.write(data)

    def units(self, source: CostSource) -> int | None:
        """What the answer said so far, as `source` counts it."""
        if self._kept:
            whole, self._kept = b"".join(self._kept), None
            self._read(whole)
        name = b"trailer " + source.trailer if source.trailer else source.header
        return source.units(self._values, self._headers.get(name))

    def ended(self, trailers: Sequence[Header]) -> None:
        """The answer is over, and `trailers` came behind it."""
        for name, value in trailers:
            if any(source.trailer == name for source in self._sources) and _is_number(value):
                self._headers[b"trailer " + name] = int(value)

    def _read(self, text: bytes) -> None:
        if not any(path[-1].encode() in text for path in self._paths.values()):
            return
        try:
            document = json.loads(text)
        except ValueError:  # [DONE], or not JSON
            return
        for name, path in self._paths.items():
            found = number_at(document, path)
            if found is None:
                continue
            merge = self._merges[name]
            if merge == "sum":
                found += self._values.get(name, 0)
            elif merge == "max":
                found = max(found, self._values.get(name, found))
            self._values[name] = found


def _is_number(value: bytes) -> bool:
    return value.strip().isdigit() and len(value) < 16


class Settlement:
    """Charges the difference between what was reserved and what the answer cost, when the exchange is over."""

    __slots__ = ("_at", "_charges", "_count", "_limiter", "_own_time", "_reader")

    def __init__(
        self, limiter: RateLimiter, charges: Sequence[tuple[Charge, CostSource]], at: float, reader: CostReader,
        own_time: bool, count: Count,
    ) -> None:  # fmt: skip
        self._limiter = limiter
        self._charges = charges
        self._at = at
        self._reader = reader
        self._own_time = own_time
        self._count = count

    def __call__(self, exchange: Exchange) -> None:
        due: list[Charge] = []
        if exchange.trailers:
            self._reader.ended(exchange.trailers)
        for charge, source in self._charges:
            units = cost_of(exchange, self._reader.units(source), source)
            exchange.cost_units = max(exchange.cost_units, units)
            self._count(charge.limit.name, units)
            if units != charge.cost:
                due.append(charge._replace(cost=units - charge.cost))
        if due:
            self._limiter.settle(due, self._at, None if self._own_time else exchange.unix + exchange.seconds)


def cost_of(exchange: Exchange, seen: int | None, source: CostSource) -> int:
    """The units an exchange costs. What a target answered whole costs what it said, `missing` if it said nothing and was no
    error; what was cut, or left by its client, at least what was reserved; what no target answered nothing."""
    outcome = exchange.outcome
    if isinstance(outcome, Answered) and not exchange.reason:
        if seen is not None:
            return seen
        return source.missing if exchange.status < _CLIENT_ERRORS else 0
    if isinstance(outcome, Answered) or (isinstance(outcome, Failed) and outcome.status == 0):
        return max(source.reserve, seen or 0)
    if isinstance(outcome, Abandoned) and exchange.attempts:
        return max(source.reserve, seen or 0)
    return 0
