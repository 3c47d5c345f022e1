"""`spork usage`: what consumers used, from the records, for people and for billing."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import click

from spork.application.admin.exports import as_csv, as_json_lines, csv_head
from spork.application.telemetry.usage import UsageRow, totals
from spork.cli.commands.audit import open_records
from spork.cli.commands.options import config_option


@click.command()
@config_option
@click.option("--consumer", default="", help="Only this consumer.")
@click.option("--route", default="", help="Only this route.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True)
@click.option("--format", "kind", type=click.Choice(["table", "jsonl", "csv"]), default="table", show_default=True)
def usage(config: Path | None, consumer: str, route: str, days: float, kind: str) -> None:
    """Requests, cost units and bytes per consumer and route; jsonl and csv also by hour."""
    rows = asyncio.run(_read(config, consumer, route, days))
    if kind == "table":
        for line in table(rows):
            click.echo(line)
        return
    if kind == "csv":
        click.echo(csv_head(UsageRow), nl=False)
    for line in (as_csv if kind == "csv" else as_json_lines)(rows):
        click.echo(line, nl=False)


async def _read(config: Path | None, consumer: str, route: str, days: float) -> list[UsageRow]:
    engine = open_records(config)
    try:
        from spork.adapters.sqlalchemy.migrations import upgrade
        from spork.adapters.sqlalchemy.usage import SqlUsage

        await upgrade(engine)
        now = time.time()
        since, until = int((now - days * 86400) // 3600), int(now // 3600) + 1
        return list(await SqlUsage(engine).rows(since, until, consumer, route, 1_000_000))
    finally:
        await engine.dispose()


def table(rows: list[UsageRow]) -> list[str]:
    """Sums per consumer and route, and of all, as aligned lines."""
    head = ("consumer", "route", "requests", "errors", "refused", "units", "bytes in", "bytes out")
    lines: list[tuple[str, ...]] = [head]
    for (consumer, route), row in totals(rows).items():
        cells = (row.requests, row.errors, row.refused, row.units, row.bytes_in, row.bytes_out)
        lines.append((consumer or "-", route or "-", *(str(cell) for cell in cells)))
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return ["  ".join(_cell(text, widths[at], at) for at, text in enumerate(line)).rstrip() for line in lines]


def _cell(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column < 2 else text.rjust(width)
