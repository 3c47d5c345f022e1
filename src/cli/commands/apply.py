"""`spork apply` and `spork diff`: a configuration against a running gateway."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import quote

import click

from spork.cli.commands.admin_client import AdminClient, admin_options, place
from spork.cli.commands.options import chosen_config, config_option

#: Exit codes of `spork diff`: like diff(1), but 2 for different, so that 1 stays an error.
SAME, FAILED, DIFFERENT = 0, 1, 2


@click.command()
@config_option
@click.option("--note", default="", help="Why; goes into history and the audit trail.")
@click.option("--dry-run", is_flag=True, help="Check and say what would change; change nothing.")
@admin_options
def apply(config: Path | None, note: str, dry_run: bool, client: AdminClient) -> None:
    """Put a configuration into force on every node of a running gateway, or change nothing."""
    text = written(config)
    query = f"?note={quote(note)}&dry_run={'true' if dry_run else 'false'}"
    done = client.call("PUT", f"/admin/v1/config{query}", text, "application/yaml")
    for warning in done.get("warnings", []):
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"{done['before']} -> {done['after']}. {done['blast']}")
    if "not yet on" in done["after"]:
        sys.exit(FAILED)


@click.command()
@config_option
@admin_options
def diff(config: Path | None, client: AdminClient) -> None:
    """How a configuration differs from the one in force. Exit 0: same, 2: different, 1: it has errors."""
    answer = client.call("POST", "/admin/v1/config/diff", written(config), "application/yaml")
    for problem in answer["problems"]:
        click.echo(place(problem), err=True)
    if not answer["revision"]:
        sys.exit(FAILED)
    if answer["same"]:
        click.echo(f"same: revision {answer['running']} is in force")
        return
    click.echo(answer["diff"] or "only secrets differ")
    sys.exit(DIFFERENT)


def written(config: Path | None) -> bytes:
    """The whole configuration as one text: includes and variables resolved here, where they can be.

    Raises ClickException with every problem.
    """
    import os

    from spork.adapters.yaml.load import load
    from spork.application.configuration.problems import check_report

    path = chosen_config(config)
    if path is None:
        raise click.ClickException("no configuration: give -c, or start where there is a spork.yaml")
    loaded = load(path, os.environ)
    if loaded.configuration is None:
        raise click.ClickException(check_report(loaded.problems))
    return loaded.full.encode()
