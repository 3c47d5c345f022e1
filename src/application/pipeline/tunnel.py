"""Two raw byte streams joined, after an upgrade."""

from __future__ import annotations

import asyncio
import contextlib

from spork.application.kernel.streams import Tunnel


async def splice(client: Tunnel, target: Tunnel) -> None:
    """Copy both ways until either side closes; then both are closed. Backpressure is each side's `drain`."""
    halves = [
        asyncio.ensure_future(_copy(client, target)),
        asyncio.ensure_future(_copy(target, client)),
    ]
    try:
        await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for half in halves:
            half.cancel()
        client.close()
        target.close()
        for half in halves:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await half


async def _copy(source: Tunnel, sink: Tunnel) -> None:
    while piece := await source.read():
        sink.write(piece)
        await sink.drain()
