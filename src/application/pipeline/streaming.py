"""Answers that outlive their head: event streams and long downloads, listed while they go on, ended when they must."""

from __future__ import annotations

import asyncio
from typing import Final

from spork.application.exchange.exchange import Exchange, RoutePlan
from spork.application.kernel.streams import ResponseSink
from spork.application.live.endings import Ending
from spork.application.live.registry import DOWNLOAD, STREAM, LiveExchanges
from spork.application.upstreams.transport import UpstreamResponse
from spork.domain.http.head import Header
from spork.domain.outcomes import ANSWERED

#: A declared body of at least this many bytes is a long download; less is over before anybody could list it.
LONG: Final = 1024 * 1024


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
