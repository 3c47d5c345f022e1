"""`spork openapi`: OpenAPI documents at the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from spork.domain.openapi.changes import BREAKING, INFO, changes
from spork.domain.openapi.document import Document, NotOpenApi


@click.group()
def openapi() -> None:
    """OpenAPI documents: what a new version breaks."""


@openapi.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--format", "kind", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--all", "everything", is_flag=True, help="Also what clients need not mind.")
def diff(old: Path, new: Path, kind: str, everything: bool) -> None:
    """What NEW changes for clients of OLD. Exit 0: nothing breaks; 2: something does; 1: a file cannot be read."""
    found = changes(read_document(old), read_document(new))
    shown = [change for change in found if everything or change.severity != INFO]
    if kind == "json":
        rows = [
            {
                "severity": c.severity,
                "rule": c.rule,
                "operation": c.operation,
                "where": c.where,
                "detail": c.detail,
            }
            for c in shown
        ]
        click.echo(json.dumps(rows, indent=1))
    else:
        for change in shown:
            click.echo(str(change))
    breaking = sum(change.severity == BREAKING for change in found)
    if breaking:
        click.echo(f"{breaking} breaking change(s)", err=True)
        sys.exit(2)


def read_document(path: Path) -> Document:
    """The document in a file. Raises ClickException."""
    from spork.adapters.yaml.openapi_document import read_openapi

    try:
        return read_openapi(path)
    except NotOpenApi as error:
        raise click.ClickException(f"{path} {error}") from None
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read: {error.strerror}") from None
