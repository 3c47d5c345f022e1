"""`spork check` and `spork schema`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from spork.cli.commands.options import chosen_config, config_option


@click.command()
@config_option
def check(config: Path | None) -> None:
    """Compile the configuration exactly as serve would and show every error with its place. Exit 1 on errors."""
    from spork.adapters.yaml.load import load
    from spork.adapters.yaml.plugins import described
    from spork.application.configuration.problems import check_report, summary
    from spork.composition.material import material_problems

    loaded = load(chosen_config(config), os.environ, material_problems)
    if loaded.problems:
        click.echo(check_report(loaded.problems), err=True)
    if loaded.configuration is None:
        sys.exit(1)
    for line in described(loaded.configuration.plugins):
        click.echo(line)
    click.echo(summary(loaded.configuration))


@click.command()
@click.option("--plugin", "plugins", multiple=True, help="package.module:Class of a plugin whose options belong to it.")
def schema(plugins: tuple[str, ...]) -> None:
    """Print the JSON Schema of the configuration."""
    from spork.adapters.yaml.schema import schema as build
    from spork.plugins.finding import find

    try:
        found = [find(use) for use in plugins]
    except ValueError as error:
        raise click.ClickException(str(error).partition("|")[0]) from error
    click.echo(json.dumps(build(found), indent=2))
