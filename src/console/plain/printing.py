"""The console's data without a screen: `get`, `watch` and `--plain`, one line per row, no cursor addressing.

The same tables, words and filters as on the screen; JSON is the gateway's own fields, cleaned.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from spork.console.gateway.client import ConsoleClient, Page
from spork.console.gateway.contexts import BadContext, Context
from spork.console.gateway.faults import LinkFault, Unauthenticated
from spork.console.gateway.topics import LIVE, TOPICS
from spork.console.pictures import pulse
from spork.console.pictures.attention import ATTENTION, concerns
from spork.console.pictures.columns import (
    GAP,
    BadFilter,
    Column,
    Table,
    compile_filter,
    layout,
    natural_width,
    order,
    select,
)
from spork.console.pictures.explaining import config_head, config_tab
from spork.console.pictures.tables import TABLES
from spork.console.session.feed import Feed
from spork.console.session.store import Store
from spork.console.text.formats import clock
from spork.console.text.moment import Moment
from spork.console.text.spans import Line, fit, plain

OK, FAULTY, USAGE = 0, 1, 2
WIDE = 100_000
WIDEST = 60
"""Cells of a column at most, but for the last: one long path must not push the rest of all rows away."""


def run(options: argparse.Namespace, context: Context) -> int:
    """The command's exit code; faults are told on stderr."""
    try:
        return asyncio.run(_run(options, context))
    except BadContext as error:
        return _complain(str(error), Unauthenticated.exit_code)
    except BadFilter as error:
        return _complain(str(error), USAGE)
    except LinkFault as fault:
        return _complain(f"{fault.word}: {fault} ({context.url})", fault.exit_code)
    except (KeyboardInterrupt, asyncio.CancelledError):
        return OK
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _complain(text: str, code: int) -> int:
    print(f"spork-console: {text}", file=sys.stderr)
    return code


async def _run(options: argparse.Namespace, context: Context) -> int:
    if options.command == "record":
        from spork.console.plain.recorded import record

        if await asyncio.to_thread(os.path.exists, options.file) and not options.force:
            return _complain(f"{options.file} is there already; --force overwrites it", USAGE)
        return await record(options, context)
    client = ConsoleClient(context.url, context.fetch_token(os.environ), verify=context.ca or True)
    try:
        if options.command is None:
            return await _plain(client)
        if options.command == "watch":
            return await _watch(options, client)
        return await _get(options, client)
    finally:
        await client.aclose()


async def read(client: ConsoleClient, topic: str, top: int) -> Page:
    """A topic's rows by its own call; page after page until `top` rows or the end."""
    if topic == "pulse":
        found = await client.snapshot(("pulse",))
        rows = found.rows.get("pulse", []) if found is not None else []
        return Page(0, found.as_of if found is not None else 0.0, found.nodes if found is not None else None, rows)
    params: dict[str, str | int] = {"limit" if topic in ("traffic", "events") else "top": top}
    page = await client.page(topic, **params)
    items, cursor = list(page.items), page.next_cursor
    while cursor and len(items) < top:
        more = await client.page(topic, cursor=cursor, **params)
        items += more.items
        cursor = more.next_cursor
    return Page(page.rev, page.as_of, page.nodes, items[:top], cursor, page.total)


def table_of(topic: str) -> Table | None:
    """How a topic's rows are printed; None for what is no table."""
    return ATTENTION if topic == "concerns" else TABLES.get(topic)


async def _get(options: argparse.Namespace, client: ConsoleClient) -> int:
    topic = options.topic
    page = await read(client, topic, max(1, options.top))
    table = table_of(topic)
    rows = page.items
    if table is not None:
        rows = _chosen(table, rows, options)
        if options.name and not rows:
            return _complain(f"no {topic.removesuffix('s')} {options.name!r}", FAULTY)
    partial = page.nodes is not None and page.nodes.seen < page.nodes.total
    if partial and page.nodes is not None:
        silent = ", ".join(page.nodes.silent) or "unnamed"
        print(
            f"spork-console: PARTIAL {page.nodes.seen}/{page.nodes.total} nodes (silent: {silent}); sums are lower bounds",
            file=sys.stderr,
        )
    if options.output == "json":
        _json(rows[0] if TOPICS[topic].single and rows else rows)
    elif table is not None:
        print("\n".join(text_table(table, rows, Moment(page.as_of or time.time(), partial, ascii_only=True))))
    else:
        _print_single(topic, rows, page.as_of)
    faulty = table is not None and options.check and any(table.faulty(row) for row in rows)
    return FAULTY if faulty else OK


def _chosen(table: Table, rows: Sequence[Any], options: argparse.Namespace) -> list[Any]:
    found = select(table, rows, compile_filter(options.filter, table))
    if options.name:
        found = [
            row
            for row in found
            if options.name in (table.key(row), getattr(row, "name", ""), getattr(row, "upstream", None))
        ]
    column = table.column(options.sort or table.order[0])
    if column is None:
        raise BadFilter(f"no column {options.sort!r}; there are {', '.join(c.name for c in table.columns)}")
    return order(found, column, table.order[1] if not options.sort else column.right, table.key)


def text_table(table: Table, rows: Sequence[Any], moment: Moment) -> list[str]:
    """Title line and a line per row, every column, as wide as its widest cell."""
    sizes = [(column, min(WIDEST, natural_width(column, rows, moment))) for column in table.columns if column.title]
    if sizes:  # the last one is padded by nothing, and may be as long as it is
        sizes[-1] = (sizes[-1][0], natural_width(sizes[-1][0], rows, moment))
    head = (" " * GAP).join(fit(column.title, width, column.right) for column, width in sizes).rstrip()
    return [head, *(row_text(sizes, row, moment) for row in rows)]


def row_text(sizes: Sequence[tuple[Column, int]], row: Any, moment: Moment) -> str:
    return (" " * GAP).join(fit(column.cell(row, moment)[0], width, column.right) for column, width in sizes).rstrip()


def _json(value: object) -> None:
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
    sys.stdout.flush()


def _print_single(topic: str, rows: Sequence[Any], as_of: float) -> None:
    moment = Moment(as_of or time.time(), ascii_only=True)
    for row in rows:
        lines: list[Line] = (
            pulse.traffic_tile(row, 60, moment)
            if topic == "pulse"
            else [*config_head(row, moment), *config_tab(row, "file")]
        )
        print("\n".join(plain(line) for line in lines))


async def _plain(client: ConsoleClient) -> int:
    """What the Pulse says, once, for eyes that use a reader and for logs."""
    store = Store()
    feed = Feed(store, client)
    store.who = await client.whoami()
    await feed.read(LIVE, first=True)
    moment = Moment(store.server_now(time.monotonic(), time.time()), store.partial, ascii_only=True)
    for line in pulse.one_line(store, moment):
        print(plain(line))
    found = concerns(store, moment.now)
    print("\n".join(text_table(ATTENTION, found, moment)) if found else ATTENTION.empty(store, False))
    return OK


async def _watch(options: argparse.Namespace, client: ConsoleClient) -> int:
    """Each change of the topic as a line, as it comes; the gateway going away is a line too, not the end."""
    store = Store()
    feed = Feed(store, client)
    table = table_of(options.topic)
    test = compile_filter(options.filter, table)
    running = asyncio.create_task(feed.run())
    seen: dict[str, Any] = {}
    printed, state = 0, ""
    show = _shower(options.output, table)
    try:
        while not options.count or printed < options.count:
            if store.link.state != state:
                state = store.link.state
                fault = store.link.fault
                print(f"# {state}{f' {fault.word}: {fault}' if fault is not None else ''}", file=sys.stderr, flush=True)
                if state in ("UNAUTHENTICATED", "DENIED") and fault is not None:
                    raise fault
            for row in _changed(store, options.topic, seen):
                if test is not None and table is not None and not select(table, [row], test):
                    continue
                show(row, Moment(store.server_now(time.monotonic(), time.time()), store.partial, ascii_only=True))
                printed += 1
                if options.count and printed >= options.count:
                    break
            await asyncio.sleep(0.1)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return OK


def _changed(store: Store, topic: str, seen: dict[str, Any]) -> list[Any]:
    key = TOPICS[topic].key
    fresh = []
    for row in reversed(store.rows(topic)) if topic in ("traffic", "events") else store.rows(topic):
        name = key(row)
        if seen.get(name) != row:
            seen[name] = row
            fresh.append(row)
    return fresh


def _shower(output: str, table: Table | None) -> Callable[[Any, Moment], None]:
    sizes = layout(table.columns, WIDE, wide=True) if table is not None else []
    sizes = [(column, min(width, column.width + 20)) for column, width in sizes if column.title]
    head = (" " * GAP).join(fit(column.title, width, column.right) for column, width in sizes).rstrip()
    headed = [False]

    def show(row: Any, moment: Moment) -> None:
        if output == "json" or table is None:
            print(msgspec.json.encode(row).decode(), flush=True)
            return
        if not headed[0]:
            headed[0] = True
            print(f"# {'AT':<9} {head}", flush=True)
        print(f"{clock(moment.now)}Z   {row_text(sizes, row, moment)}", flush=True)

    return show
