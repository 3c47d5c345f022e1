"""`spork export`: the configuration of a proxy in front that asks this gateway for decisions."""

from __future__ import annotations

import os
from pathlib import Path

import click

from spork.cli.commands.options import chosen_config, config_option


@click.command()
@click.argument("front", type=click.Choice(["nginx", "caddy", "haproxy", "envoy", "traefik"]))
@config_option
@click.option("--listen", default="127.0.0.1:8080", show_default=True, help="Where the front listens.")
@click.option(
    "--target", default="", help="host:port that allowed requests go to; left out: the first target there is."
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Write the files into this folder.")
def export(front: str, config: Path | None, listen: str, target: str, out: Path | None) -> None:
    """Print the configuration with which FRONT asks this gateway whether a request may pass (docs/decisions.md)."""
    from spork.adapters.fronts import EXPORTS
    from spork.adapters.fronts.settings import FrontSettings
    from spork.adapters.yaml.load import load
    from spork.application.configuration.problems import check_report
    from spork.application.decisions.fields import request_fields

    loaded = load(chosen_config(config), os.environ)
    configuration = loaded.configuration
    if configuration is None:
        click.echo(check_report(loaded.problems), err=True)
        raise SystemExit(1)
    decisions = configuration.decisions
    if decisions is None or front not in decisions.fronts:
        raise click.ClickException(
            f"{front} may not ask: write decisions: {{from: [127.0.0.0/8], fronts: [{front}]}} into the configuration"
        )
    targets = [f"{each.host}:{each.port}" for upstream in configuration.upstreams for each in upstream.targets]
    given = target or next((each for each in targets if not each.endswith(":0")), "")
    if not given:
        raise click.ClickException("no upstream has a target: say with --target where allowed requests go")
    host = "127.0.0.1" if configuration.host in ("0.0.0.0", "::") else configuration.host  # noqa: S104 - compared
    decide = decisions.listen or f"{host}:{configuration.port}"
    if decide.startswith("unix:"):
        decide = "unix:" + os.path.abspath(decide.removeprefix("unix:"))
    elif decide.startswith(":"):
        decide = "127.0.0.1" + decide
    folder = str(out.resolve()) if out is not None else "."
    try:
        files = EXPORTS[front](
            FrontSettings(decide, listen, given, decisions.secret, request_fields(configuration), folder)
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (out / name).write_text(text, encoding="utf-8")
            click.echo(str(out / name))
        return
    for name, text in files.items():
        if len(files) > 1:
            click.echo(f"#### {name}")
        click.echo(text, nl=False)
