"""`spork openapi`: OpenAPI documents at the command line."""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

import click

from spork.cli.commands.admin_client import DEFAULT_URL, AdminClient, find_token
from spork.domain.openapi.changes import BREAKING, INFO, changes
from spork.domain.openapi.document import Document, NotOpenApi
from spork.domain.upstreams.model import Upstream


@click.group(invoke_without_command=True)
@click.option(
    "--as", "roles", multiple=True, metavar="ROLE", help="What the holder of this role gets; may be repeated."
)
@click.option("--scope", "scopes", multiple=True, help="And of this scope.")
@click.option("--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@click.option(
    "-c", "--config", type=click.Path(path_type=Path), help="Of this configuration, without a running gateway."
)
@click.option("--url", envvar="SPORK_ADMIN_URL", default=DEFAULT_URL, show_default=True, help="The admin API.")
@click.option("--token", envvar="SPORK_ADMIN_TOKEN", help="Admin token.")
@click.option("--token-file", type=click.Path(path_type=Path), help="File with the token.")
@click.pass_context
def openapi(
    context: click.Context,
    roles: tuple[str, ...],
    scopes: tuple[str, ...],
    form: str,
    config: Path | None,
    url: str,
    token: str | None,
    token_file: Path | None,
) -> None:
    """The OpenAPI document that a gateway publishes: of a running one, or of a configuration (-c)."""
    if context.invoked_subcommand is not None:
        return
    if config is not None:
        click.echo(_of_configuration(config, form, roles, scopes), nl=False)
        return
    asked = [("form", form), *(("role", role) for role in roles), *(("scope", scope) for scope in scopes)]
    text = AdminClient(url, find_token(token, token_file)).text("GET", f"/admin/v1/openapi?{urlencode(asked)}")
    click.echo(text, nl=False)


def _of_configuration(path: Path, form: str, roles: tuple[str, ...], scopes: tuple[str, ...]) -> bytes:
    """The document; what is left out goes to standard error. Files are read, and paths asked of the first target."""
    from spork.adapters.litestar.problems import status_of
    from spork.adapters.yaml.load import load
    from spork.application.catalog.offline import merged_offline, text_offline
    from spork.application.catalog.site import read_site
    from spork.application.configuration.problems import check_report
    from spork.domain.openapi.policy import DocsPolicy
    from spork.domain.openapi.rendering import Title

    loaded = load(path, os.environ)
    configuration = loaded.configuration
    if configuration is None:
        raise click.ClickException(check_report(loaded.problems))
    merged = merged_offline(configuration, _document_of, time.time(), status_of)
    for left in (*merged.left_out, *merged.lost):
        click.echo(f"left out: {left.upstream} {left.place}: {left.why}", err=True)
    docs = configuration.docs or DocsPolicy()
    title = Title(docs.title, description=read_site(docs).intro, scheme="https" if configuration.tls else "")
    return text_offline(merged, configuration, title, form, frozenset(roles), frozenset(scopes))


def _document_of(upstream: Upstream) -> Document | None:
    """From its file, or from its first target. One that cannot be had is told of and left out."""
    from spork.adapters.yaml.openapi_document import MOST_BYTES, parse_openapi

    source = upstream.openapi
    if source is None:
        return None
    try:
        if source.file:
            return parse_openapi(Path(source.file).read_bytes())
        target = next((t for t in upstream.targets if t.unix_path is None and not t.lookup), None)
        if target is None:
            raise OSError("it has no target with a plain address")
        address = f"{target.scheme}://{target.authority.decode()}{target.base_path.decode()}{source.path}"
        with urllib.request.urlopen(address, timeout=15) as answer:
            return parse_openapi(answer.read(MOST_BYTES))
    except (OSError, NotOpenApi) as error:
        click.echo(f"left out: {upstream.name}: its document {error}", err=True)
        return None


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
