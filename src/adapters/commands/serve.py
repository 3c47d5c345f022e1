"""`spork serve`."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import click

from adapters.commands.options import chosen_config, config_option


@click.command()
@config_option
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Worker processes.")
def serve(config: Path | None, workers: int) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; SIGHUP reads the configuration again."""
    from adapters.main import Sockets, run
    from adapters.uvicorn.sockets import CannotListen, listening_socket
    from adapters.yaml.load import load
    from application.diagnostics import check_report

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
    path = chosen_config(config)
    loaded = load(path, os.environ)
    if loaded.problems:
        click.echo(check_report(loaded.problems), err=True)
    configuration = loaded.configuration
    if configuration is None:
        raise SystemExit(1)
    try:
        data = listening_socket(configuration.host, configuration.port)
        admin = configuration.admin
        sockets = Sockets(data, listening_socket(admin.host, admin.port) if admin.enabled else None)
    except CannotListen as error:
        option = "listen" if (error.host, error.port) == (configuration.host, configuration.port) else "admin.listen"
        raise click.ClickException(f"{error}. End it, or set another address with {option}.") from error

    def started() -> None:
        click.echo(f"spork serves http://{configuration.host}:{configuration.port}", err=True)

    run(configuration, path, sockets, started)
