"""`spork maintenance`: take routes, or the whole gateway, away on every process, and bring them back."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from spork.cli.commands.admin_client import AdminClient, admin_options


@click.group()
def maintenance() -> None:
    """Planned absence of routes, or of the whole gateway: 503 with Retry-After, on every process of the fleet."""


@maintenance.command("on")
@click.argument("routes", nargs=-1)
@click.option("--for", "ttl", type=click.FloatRange(min=1), help="Seconds until it ends by itself.")
@click.option(
    "--retry-after",
    type=click.FloatRange(min=1),
    default=300.0,
    show_default=True,
    help="What clients are told without --for, seconds.",
)
@click.option("--allow", multiple=True, help="Network that is served all the same.")
@click.option("--consumer", "consumers", multiple=True, help="Consumer that is served all the same.")
@click.option("--reason", default="", help="Why; goes into the audit trail.")
@click.option("--dry-run", is_flag=True, help="Say what would happen; change nothing.")
@admin_options
def begin(
    routes: tuple[str, ...],
    ttl: float | None,
    retry_after: float,
    allow: tuple[str, ...],
    consumers: tuple[str, ...],
    reason: str,
    dry_run: bool,
    client: AdminClient,
) -> None:
    """Take ROUTES away; without any, the whole gateway."""
    wanted = {
        "routes": routes, "retry_after": retry_after, "allow": allow, "consumers": consumers, "reason": reason, "ttl": ttl,
    }  # fmt: skip
    query = "?dry_run=true" if dry_run else ""
    said(client.call("POST", f"/admin/v1/maintenance/begin{query}", json.dumps(wanted).encode()))


@maintenance.command("off")
@click.argument("routes", nargs=-1)
@click.option("--reason", default="", help="Why; goes into the audit trail.")
@admin_options
def end(routes: tuple[str, ...], reason: str, client: AdminClient) -> None:
    """Serve ROUTES again; without any, all that an operator took away."""
    said(client.call("POST", "/admin/v1/maintenance/end", json.dumps({"routes": routes, "reason": reason}).encode()))


@maintenance.command("show")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@admin_options
def show(as_json: bool, client: AdminClient) -> None:
    """What is away by an operator's word."""
    rows = client.call("GET", "/admin/v1/maintenance")["items"]
    click.echo(json.dumps(rows, indent=2) if as_json else "\n".join(map(line, rows)) or "nothing is away")


def said(done: dict[str, Any]) -> None:
    click.echo(f"{done['before']} -> {done['after']}. {done['blast']}")
    for warning in done["warnings"]:
        click.echo(f"warning: {warning}", err=True)


def line(row: dict[str, Any]) -> str:
    """One absence on one line."""
    what = "the whole gateway" if row["route"] == "*" else row["route"]
    until = (
        time.strftime("until %Y-%m-%d %H:%M:%S UTC", time.gmtime(row["until"])) if row["until"] else "until it is ended"
    )
    why = f": {row['reason']}" if row["reason"] else ""
    return f"{what}, {until}, by {row['by']}{why}"
