"""`spork import`: routes from what other tools wrote. What could not be carried over is listed, never guessed."""

from __future__ import annotations

from pathlib import Path

import click


@click.group(name="import")
def importing() -> None:
    """Routes from what other tools wrote."""


@importing.command(name="openapi")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--group-by", type=click.Choice(["path", "tag"]), default="path", show_default=True)
@click.option("--upstream", default="api", show_default=True, help="Name of the upstream.")
def openapi(file: Path, group_by: str, upstream: str) -> None:
    """Write routes and an upstream for the OpenAPI document FILE to standard output; what is left out to standard error."""
    import yaml

    from spork.adapters.yaml.load import loads
    from spork.application.configuration.problems import check_report, errors
    from spork.cli.commands.openapi import read_document
    from spork.domain.openapi.routes import routes_of

    found = routes_of(read_document(file), upstream, group_by)
    if not found.targets:
        click.echo(f"left out: {file}: no server is a whole http(s) address; set targets yourself", err=True)
    targets = found.targets or ["http://127.0.0.1:7001"]
    written = {"upstreams": {upstream: {"targets": targets}}, "routes": found.routes}
    text: str = yaml.safe_dump(written, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    failed = errors(loads(text).problems)
    if failed:
        raise click.ClickException(f"{file} gives routes that cannot be served:\n{check_report(failed)}")
    click.echo(f"# From {file.name}\n{text}", nl=False)
    for pointer, why in found.left_out:
        click.echo(f"left out: {file}#{pointer}: {why}", err=True)
