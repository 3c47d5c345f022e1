"""`spork cache`: what a running gateway has stored of a URL, and purging."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from spork.cli.commands.admin_client import DEFAULT_URL, AdminClient, find_token


def _admin(command: Callable[..., Any]) -> Callable[..., Any]:
    """As `admin_options`, but --url is left for what is purged."""

    @click.option(
        "--admin-url", envvar="SPORK_ADMIN_URL", default=DEFAULT_URL, show_default=True, help="The admin API."
    )
    @click.option("--token", envvar="SPORK_ADMIN_TOKEN", help="Admin token.")
    @click.option("--token-file", type=click.Path(path_type=Path), help="File with the token.")
    @functools.wraps(command)
    def with_client(*args: Any, admin_url: str, token: str | None, token_file: Path | None, **options: Any) -> Any:
        return command(*args, client=AdminClient(admin_url, find_token(token, token_file)), **options)

    return with_client


@click.group()
def cache() -> None:
    """The response cache of a running gateway."""


@cache.command()
@click.option(
    "--tag", "tags", multiple=True, help="Everything with this tag (Cache-Groups, Surrogate-Key, Cache-Tag, xkey)."
)
@click.option("--url", "urls", multiple=True, help="Every answer to this URL.")
@click.option("--route", "routes", multiple=True, help="Every answer of this route.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--soft", is_flag=True, help="Keep it as stale, to be revalidated.")
@click.option("--reason", default="", help="Why; goes into the audit trail.")
@click.option("--dry-run", is_flag=True, help="Say what would be purged; purge nothing.")
@_admin
def purge(
    tags: tuple[str, ...],
    urls: tuple[str, ...],
    routes: tuple[str, ...],
    everything: bool,
    soft: bool,
    reason: str,
    dry_run: bool,
    client: AdminClient,
) -> None:
    """Purge stored answers on every node. Exit 1 when a node did not confirm it."""
    wanted = {"tags": tags, "urls": urls, "routes": routes, "everything": everything, "soft": soft, "reason": reason}
    query = "?dry_run=true" if dry_run else ""
    done = client.call("POST", f"/admin/v1/cache/purge{query}", json.dumps(wanted).encode())
    click.echo(f"{done['before']} -> {done['after']}. {done['blast']}")
    if "not confirmed" in done["after"]:
        sys.exit(1)


@cache.command()
@click.argument("address", metavar="URL")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@_admin
def show(address: str, as_json: bool, client: AdminClient) -> None:
    """What the gateway has stored of a URL. Exit 1 when that is nothing."""
    rows = client.call("GET", f"/admin/v1/cache/entry?url={quote(address, safe='')}")["items"]
    click.echo(json.dumps(rows, indent=2) if as_json else "\n".join(map(line, rows)) or "nothing is stored of it")
    if not rows:
        sys.exit(1)


def line(row: dict[str, Any]) -> str:
    """A stored answer on one line."""
    varies = "".join(f", for {name} {value or '(none)'}" for name, value in row["varies"].items())
    owner = "" if row["owner"] == "everyone" else f", of one {row['owner']}"
    return f"{row['route']}: {row['status']}, {row['state']}, age {row['age']} s, ttl {row['ttl']} s, {row['bytes']} bytes{varies}{owner}"
