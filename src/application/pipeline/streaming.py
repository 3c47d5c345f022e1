"""Answers that outlive their head: event streams and long downloads, listed while they go on, ended when they must."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable
from typing import Any, Final

from spork.application.exchange.exchange import Exchange, RoutePlan
from spork.application.exchange.sinks import PassingSink
from spork.application.kernel.faults import FaultError
from spork.application.kernel.streams import ResponseSink
from spork.application.live.endings import Ending
from spork.application.live.registry import DOWNLOAD, STREAM, LiveExchanges
from spork.application.upstreams.transport import UpstreamResponse
from spork.domain.http.event_stream import HEARTBEAT, EventBoundaries, EventNames, StreamPolicy, retry_line
from spork.domain.http.head import Header
from spork.domain.outcomes import ANSWERED, Fault, FaultKind, Side

#: A declared body of at least this many bytes is a long download; less is over before anybody could list it.
LONG: Final = 1024 * 1024
#: Seconds that the event under way gets to end before a stream that has to go is cut.
_LAST_EVENT: Final = 2.0
#: The least silence, seconds, that an event stream may have without a policy: much longer than other answers.
PATIENCE: Final = 300.0
#: The reason of an exchange whose target told its failure by an event.
ERROR_EVENT: Final = "error_event"
_NO_POLICY: Final = StreamPolicy()


def live_kind(headers: list[Header]) -> str:
    """What an answer whose body is still to come is listed as; "" when it is short."""
    kind = DOWNLOAD  # of undeclared length: it may go on for ever
    for name, value in headers:
        if name == b"content-type":
            if value[:17].lower() == b"text/event-stream" or value[:20].lower() == b"application/x-ndjson":
                return STREAM
        elif name == b"content-length" and len(value) <= 7 and int(value) < LONG:
            kind = ""
    return kind


async def copy(exchange: Exchange, response: UpstreamResponse, sink: ResponseSink) -> None:
    """The rest of the target's answer, as fast as both sides go."""
    while True:
        if sink.paused:
            await sink.drain()
        piece = await response.read()
        if not piece:
            break
        sink.write(piece)
    sink.finish()
    exchange.outcome = ANSWERED[exchange.status]


async def live_copy(
    exchange: Exchange, plan: RoutePlan, response: UpstreamResponse, live: LiveExchanges, kind: str, sink: ResponseSink
) -> None:
    """`copy`, listed among what is live. What has to go is cut, so that the client cannot take it for whole."""
    task = asyncio.current_task()
    assert task is not None

    def end(_: Ending) -> None:
        if asyncio.current_task() is not task:
            task.cancel()

    entry = live.enter(kind, plan.name, exchange.client, exchange.principal, end)
    try:
        if entry.ending is None:
            await copy(exchange, response, sink)
    except asyncio.CancelledError:
        if entry.ending is None:
            raise
        task.uncancel()
    finally:
        live.leave(entry)
    if entry.ending is not None and not exchange.outcome:
        exchange.reason = entry.ending.reason
        exchange.outcome = ANSWERED[exchange.status]
        sink.abort()


async def copy_events(
    exchange: Exchange,
    plan: RoutePlan,
    response: UpstreamResponse,
    live: LiveExchanges,
    sink: ResponseSink,
    clock: Callable[[], float],
    begun: bytes,
) -> None:
    """An event stream, under the route's `stream` policy: heartbeats between events, limits of silence and of life.

    What ends it in good order (lifetime, drain) waits for the end of the event under way; what takes trust back cuts.
    """
    policy = plan.stream or _NO_POLICY
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[Ending] = loop.create_future()

    def end(ending: Ending) -> None:
        if not stop.done():
            stop.set_result(ending)

    entry = live.enter(STREAM, plan.name, exchange.client, exchange.principal, end, policy.lifetime)
    boundaries = EventBoundaries(lines=_is_ndjson(response.headers))
    boundaries.advance(begun)
    response.patience(policy.idle or PATIENCE)
    watching = _Watching(sink, boundaries, policy.error_event)
    watching.look(begun)
    began = heard = beat = clock()
    reading: asyncio.Future[bytes] = asyncio.ensure_future(response.read())
    try:
        while True:
            ending = stop.result() if stop.done() else None
            if ending is not None and (not ending.orderly or boundaries.between or clock() - heard > _LAST_EVENT):
                _finish(exchange, watching, policy, ending, boundaries.between)
                return
            waits = [math.inf]
            now = clock()
            if policy.heartbeat:
                waits.append(beat + policy.heartbeat - now)
            if policy.first_event and not boundaries.events:
                waits.append(began + policy.first_event - now)
            if policy.idle:
                waits.append(heard + policy.idle - now)
            if ending is not None:
                waits.append(_LAST_EVENT)
            wait = min(waits)
            waiting: set[asyncio.Future[Any]] = {reading} if ending is not None else {reading, stop}
            await asyncio.wait(
                waiting, timeout=None if wait == math.inf else max(wait, 0.0), return_when=asyncio.FIRST_COMPLETED
            )
            now = clock()
            if reading.done():
                piece = reading.result()
                if not piece:
                    sink.finish()
                    exchange.outcome = ANSWERED[exchange.status]
                    return
                heard = beat = now
                watching.write(piece)
                if sink.paused:
                    await sink.drain()
                reading = asyncio.ensure_future(response.read())
                continue
            if (policy.first_event and not boundaries.events and now - began >= policy.first_event) or (
                policy.idle and now - heard >= policy.idle
            ):
                raise FaultError(
                    Fault(FaultKind.CONNECTION_READ_TIMEOUT, Side.UPSTREAM, note="the event stream is silent")
                )
            if policy.heartbeat and now - beat >= policy.heartbeat:
                beat = now
                if boundaries.between and not sink.paused and not _is_ndjson(response.headers):
                    watching.inner.write(HEARTBEAT)
    finally:
        if watching.failed:
            exchange.reason = exchange.reason or ERROR_EVENT
        if not reading.done():
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await reading
        live.leave(entry)


class _Watching(PassingSink):
    """Notes what passes."""

    def __init__(self, inner: ResponseSink, boundaries: EventBoundaries, error_event: str = "") -> None:
        super().__init__(inner)
        self._boundaries = boundaries
        self._names = EventNames(error_event) if error_event else None

    @property
    def failed(self) -> bool:
        """An event that means failure was among what passed."""
        return self._names is not None and self._names.seen

    def look(self, data: bytes) -> None:
        """What was written before."""
        if self._names is not None:
            self._names.advance(data)

    def write(self, data: bytes) -> None:
        self._boundaries.advance(data)
        self.look(data)
        self.inner.write(data)


def _finish(exchange: Exchange, sink: _Watching, policy: StreamPolicy, ending: Ending, between: bool) -> None:
    exchange.reason = ending.reason
    exchange.outcome = ANSWERED[exchange.status]
    if ending.orderly and between:
        if line := retry_line(policy.retry):
            sink.inner.write(line)
        sink.finish()
    else:
        sink.abort()


def _is_ndjson(headers: list[Header]) -> bool:
    return any(name == b"content-type" and value[:20].lower() == b"application/x-ndjson" for name, value in headers)


def unbuffered(headers: list[Header]) -> None:
    """Tell caches and proxies in front of us to pass each event as it comes, where the target did not."""
    names = {name for name, _ in headers}
    if b"cache-control" not in names:
        headers.append((b"cache-control", b"no-store"))
    if b"x-accel-buffering" not in names:
        headers.append((b"x-accel-buffering", b"no"))
