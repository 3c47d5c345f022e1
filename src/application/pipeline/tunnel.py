"""Two raw byte streams joined, after an upgrade."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from spork.application.exchange.exchange import Exchange, RoutePlan
from spork.application.kernel.streams import Tunnel
from spork.application.live.endings import Ending
from spork.application.live.registry import WEBSOCKET, LiveExchanges

#: Seconds that the frame under way gets to end, before a tunnel that has to go is cut.
FRAME_GRACE: Final = 1.0


async def splice(client: Tunnel, target: Tunnel, stop: asyncio.Future[None] | None = None) -> None:
    """Copy both ways until either side closes or `stop` is done; then both are closed. Backpressure is each side's
    `drain`."""
    halves = [
        asyncio.ensure_future(_copy(client, target)),
        asyncio.ensure_future(_copy(target, client)),
    ]
    try:
        await asyncio.wait([*halves, stop] if stop is not None else halves, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for half in halves:
            half.cancel()
        client.close()
        target.close()
        for half in halves:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await half


async def live_splice(exchange: Exchange, plan: RoutePlan, live: LiveExchanges, client: Tunnel, target: Tunnel) -> None:
    """`splice`, listed among what is live: when it has to go, the client is told why between two frames."""
    loop = asyncio.get_running_loop()
    stop = loop.create_future()

    def end(ending: Ending) -> None:
        client.go_away(ending.code, ending.text)
        loop.call_later(FRAME_GRACE, _done, stop)

    entry = live.enter(WEBSOCKET, plan.name, exchange.client, exchange.principal, end)
    try:
        await splice(client, target, stop)
    finally:
        live.leave(entry)
        if entry.ending is not None:
            exchange.reason = entry.ending.reason


def _done(stop: asyncio.Future[None]) -> None:
    if not stop.done():
        stop.set_result(None)


async def _copy(source: Tunnel, sink: Tunnel) -> None:
    while piece := await source.read():
        sink.write(piece)
        await sink.drain()
