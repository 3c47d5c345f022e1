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
    from spork.application.configuration.problems import check_report, summary
    from spork.composition.material import material_problems

    loaded = load(chosen_config(config), os.environ, material_problems)
    if loaded.problems:
        click.echo(check_report(loaded.problems), err=True)
    if loaded.configuration is None:
        sys.exit(1)
    click.echo(summary(loaded.configuration))


@click.command()
def schema() -> None:
    """Print the JSON Schema of the configuration."""
    from spork.adapters.yaml.schema import schema as build

    click.echo(json.dumps(build(), indent=2))
