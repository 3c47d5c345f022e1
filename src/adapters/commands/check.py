"""`spork check` and `spork schema`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from adapters.commands.options import chosen_config, config_option


@click.command()
@config_option
def check(config: Path | None) -> None:
    """Compile the configuration exactly as serve would and show every error with its place. Exit 1 on errors."""
    from adapters.caller_material import material_problems
    from adapters.yaml.load import load
    from application.diagnostics import check_report, summary

    loaded = load(chosen_config(config), os.environ, material_problems)
    if loaded.problems:
        click.echo(check_report(loaded.problems), err=True)
    if loaded.configuration is None:
        sys.exit(1)
    click.echo(summary(loaded.configuration))


@click.command()
def schema() -> None:
    """Print the JSON Schema of the configuration."""
    from adapters.yaml.schema import schema as build

    click.echo(json.dumps(build(), indent=2))
