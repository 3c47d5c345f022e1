"""`spork audit`: verify, export, thin out and clear the audit trail, straight on the records."""

from __future__ import annotations

import asyncio
import getpass
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from spork.application.admin.exports import as_csv, as_json_lines, csv_head
from spork.application.telemetry.audit import Anchor, view_of
from spork.application.views import AuditView
from spork.cli.commands.options import chosen_config, config_option


@click.group()
def audit() -> None:
    """The audit trail of admin writes and security decisions."""


@audit.command()
@config_option
@click.option("--head", "known", default="", help="NUMBER:HASH that was written down before: finds a cut end.")
def verify(config: Path | None, known: str) -> None:
    """Find records that were changed, removed or reordered. Exit 1 if there are any."""
    anchor = _anchor(known)

    async def run(trail: Any) -> None:
        findings = await trail.verify(anchor)
        head = await trail.head()
        for finding in findings:
            click.echo(f"record {finding.number}: {finding.kind}: {finding.detail}", err=True)
        if findings:
            sys.exit(1)
        click.echo(f"whole: {head.number} records, head {head.number}:{head.hash}")

    _on_trail(config, run)


@audit.command()
@config_option
@click.option("--format", "kind", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
def export(config: Path | None, kind: str) -> None:
    """Write the whole trail to standard output."""

    async def run(trail: Any) -> None:
        if kind == "csv":
            click.echo(csv_head(AuditView), nl=False)
        async for record in trail.every():
            for line in (as_csv if kind == "csv" else as_json_lines)([view_of(record)]):
                click.echo(line, nl=False)

    _on_trail(config, run)


@audit.command()
@config_option
@click.option("--keep-days", type=click.IntRange(1), required=True, help="Records younger than this stay.")
def retain(config: Path | None, keep_days: int) -> None:
    """Remove records older than so many days. What stays can still be verified."""

    async def run(trail: Any) -> None:
        gone = await trail.drop_before(time.time() - keep_days * 86400)
        click.echo(f"{gone} record(s) removed")

    _on_trail(config, run)


@audit.command()
@config_option
@click.argument("subject")
def erase(config: Path | None, subject: str) -> None:
    """Forget SUBJECT's personal data in every record. The chain stays valid, and the erasure is recorded in it."""

    async def run(trail: Any) -> None:
        click.echo(f"erased in {await trail.erase_subject(subject, time.time(), getpass.getuser())} record(s)")

    _on_trail(config, run)


def _anchor(known: str) -> Anchor | None:
    if not known:
        return None
    number, colon, digest = known.partition(":")
    if not (colon and number.isdigit() and len(digest) == 64):
        raise click.BadParameter("is NUMBER:HASH, as `spork audit verify` prints it", param_hint="--head")
    return Anchor(int(number), digest)


def _on_trail(config: Path | None, act: Callable[[Any], Awaitable[None]]) -> None:
    """Run `act` on the trail of the records that the configuration names."""

    async def run() -> None:
        engine = open_records(config)
        try:
            from spork.adapters.sqlalchemy.audit import SqlAuditTrail
            from spork.adapters.sqlalchemy.migrations import upgrade

            await upgrade(engine)
            await act(SqlAuditTrail(engine))
        finally:
            await engine.dispose()

    asyncio.run(run())


def open_records(config: Path | None) -> Any:
    """An engine for the records that the configuration names. Raises ClickException."""
    import os

    from spork.adapters.sqlalchemy.database import open_database
    from spork.adapters.yaml.load import load
    from spork.application.configuration.problems import check_report

    loaded = load(chosen_config(config), os.environ)
    if loaded.configuration is None:
        raise click.ClickException(check_report(loaded.problems))
    return open_database(loaded.configuration.records, loaded.configuration.state_dir)
