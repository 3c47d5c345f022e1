"""`spork-console record`: what a gateway tells, into a file, without a screen."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import ssl
import sys
from contextlib import suppress
from pathlib import Path

import httpx

from spork.console.gateway.client import ConsoleClient
from spork.console.gateway.contexts import Context
from spork.console.gateway.faults import LinkFault
from spork.console.gateway.topics import LIVE, TOPICS
from spork.console.session.feed import Feed
from spork.console.session.recording import Recorder, RecordingTransport
from spork.console.session.store import Store

SNAPSHOT_EVERY = 30.0
"""Seconds between whole pictures: how far a replay has to read ahead after a jump."""
PAGES_EVERY = 10.0


async def record(options: argparse.Namespace, context: Context) -> int:
    """Until the time is over, or it is interrupted. Raises a LinkFault if the gateway cannot be read at the beginning."""
    path = Path(options.file)
    token = context.fetch_token(os.environ)
    recorder = Recorder(path)
    inner = httpx.AsyncHTTPTransport(verify=ssl.create_default_context(cafile=context.ca) if context.ca else True)
    client = ConsoleClient(context.url, token, transport=RecordingTransport(inner, recorder))
    store = Store()
    feed = Feed(store, client)
    work: list[asyncio.Task[None]] = []
    try:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _cancel, asyncio.current_task())
        store.who = await client.whoami()
        print(f"# recording {context.url} into {path}, interrupt to end", file=sys.stderr, flush=True)
        work = [
            asyncio.create_task(feed.run()),
            asyncio.create_task(_pages(client)),
            asyncio.create_task(_pictures(client)),
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(options.seconds or None):
                await asyncio.gather(*work)
    except asyncio.CancelledError:
        pass  # interrupted: what is here is whole
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await client.aclose()
        print(f"# {recorder.entries} entries, {recorder.close()} bytes", file=sys.stderr)
    return 0


def _cancel(task: asyncio.Task[object] | None) -> None:
    if task is not None:
        task.cancel()


async def _pages(client: ConsoleClient) -> None:
    """What no stream carries. What is denied, or not there, is left out."""
    missing: set[str] = set()
    while True:
        for topic in (name for name in TOPICS if name not in LIVE and name not in missing):
            try:
                await client.page(topic)
            except LinkFault as fault:
                if fault.word in ("DENIED", "ABSENT"):
                    missing.add(topic)
        await asyncio.sleep(PAGES_EVERY)


async def _pictures(client: ConsoleClient) -> None:
    while True:
        await asyncio.sleep(SNAPSHOT_EVERY)
        with suppress(LinkFault):
            await client.snapshot(LIVE)
