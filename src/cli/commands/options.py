"""Options that several commands share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)\Z")


def variables_of(path: Path) -> Iterator[tuple[str, str]]:
    """The variables of an env file, as docker compose and systemd read them: NAME=VALUE, comments, quotes around a value.

    Raises ValueError that names the line.
    """
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        found = _LINE.match(text)
        if found is None:
            raise ValueError(f"{path}:{number}: not NAME=VALUE: {text[:60]!r}")
        value = found["value"]
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        else:
            value = re.sub(r"\s+#.*\Z", "", value)
        yield found["name"], value


def _read_env_file(context: click.Context, option: click.Parameter, paths: tuple[Path, ...]) -> None:
    for path in paths:
        try:
            for name, value in variables_of(path):
                os.environ.setdefault(name, value)
        except (OSError, ValueError) as error:
            raise click.BadParameter(str(error), context, option) from error


def config_option(command: Command) -> Command:
    """`-c` for the configuration file, and `--env-file` for variables it may name."""
    command = click.option(
        "--env-file",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        multiple=True,
        is_eager=True,
        expose_value=False,
        callback=_read_env_file,
        help="File of NAME=VALUE lines; what the environment says already wins. May be given again.",
    )(command)
    return click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="SPORK_CONFIG",
        default=None,
        help="Configuration file. Without one: SPORK_CONFIG, ./spork.yaml if it exists, and services from the environment.",
    )(command)


def chosen_config(config: Path | None) -> Path | None:
    """The file a command works on: the one given, else ./spork.yaml when there is one."""
    default = Path("spork.yaml")
    return config if config is not None else (default if default.exists() else None)
