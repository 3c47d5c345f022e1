"""Answers from the cache: the stored fields with this delivery's own, whole, in part, as a 304, or while they arrive."""

from __future__ import annotations

from typing import Final

from spork.application.caching.filling import Filling
from spork.application.exchange.exchange import Exchange, RoutePlan
from spork.application.kernel.clock import Clock
from spork.application.pipeline.own_fields import own_fields
from spork.domain.http.caching.ranges import Part, part_of
from spork.domain.http.caching.stored import StoredResponse
from spork.domain.http.caching.validation import not_modified, not_modified_fields
from spork.domain.http.head import Header
from spork.domain.outcomes import Local

_ASKED: Final = frozenset((b"if-none-match", b"if-modified-since", b"range"))
_OF_THE_WHOLE: Final = frozenset((b"content-length", b"content-range"))
#: Outcomes by status: one is needed for every hit.
_GIVEN: Final = {status: Local(status, "cache") for status in range(600)}


class Delivery:
    """Gives stored answers to clients."""

    def __init__(self, clock: Clock) -> None:
        self._monotonic = clock.monotonic

    def whole(self, exchange: Exchange, plan: RoutePlan, entry: StoredResponse, said: Header, now: float) -> None:
        """Answer from an entry with its whole body."""
        status = entry.status
        body = entry.body
        headers = self._fields(plan, entry, said, now)
        for name, _ in exchange.head.headers:
            if name in _ASKED:
                status, headers, body = _as_asked(exchange, entry, headers, now)
                break
        exchange.status = status
        exchange.answer_started = self._monotonic()
        sink = exchange.sink if plan.answer is None else plan.answer.relayed(exchange)
        sink.start(status, own_fields(exchange, plan, headers, self._monotonic))
        if body:
            sink.write(body)
        sink.finish()
        exchange.outcome = _GIVEN[status]

    async def arriving(
        self, exchange: Exchange, plan: RoutePlan, filling: Filling, number: int, said: Header, now: float
    ) -> None:
        """Answer from a filling: the head at once, the pieces as they come. Raises FaultError when it breaks."""
        entry = filling.entry
        sink = exchange.sink if plan.answer is None else plan.answer.relayed(exchange)
        if not_modified(entry, exchange.head.headers, now):
            exchange.status = 304
            exchange.answer_started = self._monotonic()
            headers = not_modified_fields(self._fields(plan, entry, said, now))
            sink.start(304, own_fields(exchange, plan, headers, self._monotonic))
            sink.finish()
            exchange.outcome = _GIVEN[304]
            return
        exchange.status = entry.status
        exchange.answer_started = self._monotonic()
        sink.start(entry.status, own_fields(exchange, plan, self._fields(plan, entry, said, now), self._monotonic))
        while True:
            if sink.paused:
                await sink.drain()
            piece = await filling.read(number)
            if not piece:
                break
            sink.write(piece)
        sink.finish()
        exchange.outcome = _GIVEN[entry.status]

    def _fields(self, plan: RoutePlan, entry: StoredResponse, said: Header, now: float) -> list[Header]:
        """The stored fields that this route gives, with Age and Cache-Status. What the target said in Cache-Status stands before
        ours (RFC 9211 2)."""
        delivery = entry.delivery
        if delivery is None or entry.delivery_plan is not plan:
            owned = plan.gateway_owned_fields
            delivery = entry.delivery = [header for header in entry.headers if header[0] not in owned]
            entry.delivery_plan = plan
        return [*delivery, (b"age", b"%d" % entry.age(now)), said]


def _as_asked(
    exchange: Exchange, entry: StoredResponse, headers: list[Header], now: float
) -> tuple[int, list[Header], bytes]:
    """Status, fields and body for a request with conditions or a range."""
    head = exchange.head
    if not_modified(entry, head.headers, now):
        return 304, not_modified_fields(headers), b""
    part = part_of(entry, head.headers) if head.method == "GET" else Part.WHOLE
    if part is Part.WHOLE:
        return entry.status, headers, entry.body
    fields = [header for header in headers if header[0] not in _OF_THE_WHOLE]
    if part is Part.UNSATISFIABLE:
        fields += ((b"content-range", b"bytes */%d" % entry.length), (b"content-length", b"0"))
        return 416, fields, b""
    assert isinstance(part, tuple)
    first, last = part
    fields.append((b"content-range", b"bytes %d-%d/%d" % (first, last, entry.length)))
    fields.append((b"content-length", b"%d" % (last + 1 - first)))
    return 206, fields, entry.body[first : last + 1]
