"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

config_option = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="SPORK_CONFIG",
    default=None,
    help="Configuration file. Without one: SPORK_CONFIG, ./spork.yaml if it exists, and services from the environment.",
)


def chosen_config(config: Path | None) -> Path | None:
    """The file a command works on: the one given, else ./spork.yaml when there is one."""
    default = Path("spork.yaml")
    return config if config is not None else (default if default.exists() else None)
