"""`spork versions`: versions of APIs, and who still calls the ones that go away."""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from spork.application.views import VersionView
from spork.cli.commands.audit import open_records
from spork.cli.commands.options import chosen_config, config_option


@click.command()
@config_option
@click.option("--api", default="", help="Only this API.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def versions(config: Path | None, api: str, as_json: bool) -> None:
    """Each version with its state, its dates, its requests, and its callers of the last 30 days."""
    found = asyncio.run(_read(config, api))
    if as_json:
        click.echo(json.dumps([asdict(view) for view in found], indent=2))
        return
    click.echo("\n".join(lines(found)) if found else "no API has versions")


async def _read(path: Path | None, api: str) -> list[VersionView]:
    from spork.adapters.sqlalchemy.migrations import upgrade
    from spork.adapters.sqlalchemy.usage import SqlUsage
    from spork.adapters.yaml.load import load
    from spork.application.admin.versions import VersionReport, plan_by_name, versions_of
    from spork.application.configuration.problems import check_report

    loaded = load(chosen_config(path), os.environ)
    configuration = loaded.configuration
    if configuration is None:
        raise click.ClickException(check_report(loaded.problems))
    engine = open_records(path)
    try:
        await upgrade(engine)
        report = VersionReport(
            lambda: versions_of(configuration.routes),
            SqlUsage(engine),
            None,
            None,
            plan_by_name(configuration.consumers),
        )
        return await report.report(time.time(), api)
    finally:
        await engine.dispose()


def lines(views: list[VersionView]) -> list[str]:
    """For people: a line per version, and one per caller of versions that are not current."""
    found: list[str] = []
    for view in views:
        ends = f"  sunset {_day(view.sunset)}" if view.sunset is not None else ""
        expected = f"  {view.projected:g} a day expected then" if view.projected is not None else ""
        counts = f"{view.requests_1d} / {view.requests_7d} / {view.requests_30d} requests (1, 7, 30 days)"
        found.append(f"{view.api} {view.version}  {view.state}{ends}  {counts}{expected}")
        if view.deprecated is None and view.sunset is None:
            continue
        for caller in view.consumers:
            plan = f"  plan {caller.plan}" if caller.plan else ""
            found.append(f"    {caller.name}  {caller.requests} requests  last {_day(caller.last)}{plan}")
    return found


def _day(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%MZ")
