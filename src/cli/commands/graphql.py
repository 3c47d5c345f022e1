"""`spork graphql`: documents checked and registered, and what a gateway was asked for."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from spork.cli.commands.admin_client import AdminClient, admin_options
from spork.cli.commands.options import chosen_config, config_option
from spork.domain.graphql.policy import GraphQLPolicy


@click.group()
def graphql() -> None:
    """GraphQL documents: check them against a route, register them, and see what was asked for."""


@graphql.command()
@config_option
@click.option("--route", default="", help="The route whose policy counts; needed where several have one.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), required=True)
def check(config: Path | None, route: str, as_json: bool, files: tuple[Path, ...]) -> None:
    """What a route's policy says of the operations in FILES: bounds, cost, rules, and the schema where it has one.

    Exit 1 when one would be refused.
    """
    policy = _policy(config, route)
    rows = [row for name, text in _documents(files) for row in _judged(policy, name, text)]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    else:
        for row in rows:
            click.echo(_line(row))
    if any(row["problems"] for row in rows):
        sys.exit(1)


@graphql.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The manifest: JSON of ids and texts.")
@click.option(
    "--schema", type=click.Path(path_type=Path), help="SDL file: documents that it does not allow are refused."
)
@click.option(
    "--seen", type=click.Path(path_type=Path), help="What `spork graphql report --json` wrote: register those."
)
@click.option("--least", default=1, show_default=True, help="Of --seen, only what was asked for this often.")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
def register(out: Path, schema: Path | None, seen: Path | None, least: int, files: tuple[Path, ...]) -> None:
    """Add documents to a manifest, each under the SHA-256 of its text; those that are in it stay.

    Exit 1 when one cannot be read or is not what the schema allows; then nothing is written.
    """
    from spork.domain.graphql.identity import digest_of
    from spork.domain.graphql.reading import read

    known: dict[str, str] = {}
    if out.exists():
        known = _manifest(out)
    before = len(known)
    wrong: list[str] = []
    sdl = _text(schema) if schema is not None else ""
    for name, text in (*_documents(files), *_seen(seen, least)):
        try:
            read(text)
            problems = _validated(text, sdl) if sdl else []
        except ValueError as error:
            problems = [str(error)]
        wrong += [f"{name}: {problem}" for problem in problems]
        known.setdefault(digest_of(text), text)
    if wrong:
        raise click.ClickException("\n".join(wrong))
    out.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    click.echo(f"{len(known) - before} added, {len(known)} registered in {out}")


@graphql.command()
@admin_options
@click.option("--route", default="", help="Only this route.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with the documents.")
def report(client: AdminClient, route: str, as_json: bool) -> None:
    """Operations that a running gateway was asked for: the dearest first, with who asked, and why some were refused."""
    found = client.call("GET", "/admin/v1/graphql" + (f"?route={quote(route)}" if route else ""))["items"]
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    if not found:
        click.echo("no operation was asked for")
    for row in found:
        state = "registered" if row["known"] else "not registered"
        last = datetime.fromtimestamp(row["last"], UTC).strftime("%Y-%m-%d %H:%MZ")
        name = row["name"] or "(anonymous)"
        click.echo(
            f"{row['route']}  {row['type']} {name}  {row['id'][:19]}  {state}  {row['requests']} requests"
            f"  cost {row['cost']}  last {last}"
        )
        if row["reasons"]:
            click.echo("    refused: " + ", ".join(f"{reason} {count}" for reason, count in row["reasons"].items()))
        callers = list(row["consumers"].items())
        click.echo("    " + ", ".join(f"{who} {count}" for who, count in callers[:8]))


def _policy(path: Path | None, route: str) -> GraphQLPolicy:
    """The GraphQL policy of a route. Raises ClickException."""
    from spork.adapters.yaml.load import load
    from spork.application.configuration.problems import check_report
    from spork.application.guards.policy import declared

    loaded = load(chosen_config(path), os.environ)
    if loaded.configuration is None:
        raise click.ClickException(check_report(loaded.problems))
    found = {
        each.name: policy
        for each in loaded.configuration.routes
        if (policy := declared(each, GraphQLPolicy)) is not None
    }
    if not found:
        raise click.ClickException("no route has graphql")
    if route and route not in found:
        raise click.ClickException(f"no route {route!r} with graphql; there are {', '.join(found)}")
    if not route and len(found) > 1:
        raise click.ClickException(f"several routes have graphql; choose one with --route: {', '.join(found)}")
    return found[route] if route else next(iter(found.values()))


def _judged(policy: GraphQLPolicy, name: str, text: str) -> Iterator[dict[str, Any]]:
    from spork.application.graphql.judging import Judge
    from spork.composition.graphql import ConfiguredSources
    from spork.domain.graphql.identity import digest_of

    try:
        judge = Judge(policy, ConfiguredSources().schema(policy))
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{policy.schema}: {error}") from None
    digest = digest_of(text)
    known = judge.read(text, digest, {})
    found = [] if not policy.schema else _validated(text, _text(Path(policy.schema)))
    base: dict[str, Any] = {"file": name, "id": f"sha256:{digest}"}
    if known.refusal is not None:
        yield base | {"problems": [known.refusal.message, *found]}
        return
    for judged in known.operations.values():
        operation, measures = judged.operation, judged.measures
        cost = 0 if judged.refusal is not None else judge.cost_of(judged, known.document, {})
        problems = [] if judged.refusal is None else [_said(judged.refusal)]
        if policy.cost is not None and 0 < policy.cost.most < cost:
            problems.append(f"costs {cost}, more than {policy.cost.most}")
        yield base | {
            "operation": operation.name, "type": operation.kind, "depth": measures.depth, "fields": measures.fields,
            "aliases": measures.aliases, "root_fields": measures.root_fields, "directives": measures.directives,
            "cost": cost, "cost_by_variables": judged.cost is None and judged.refusal is None,
            "problems": [*problems, *found],
        }  # fmt: skip


def _said(refusal: Any) -> str:
    return (
        f"{refusal.message} ({refusal.code}: {refusal.found} of {refusal.limit})"
        if refusal.limit >= 0
        else refusal.message
    )


def _line(row: dict[str, Any]) -> str:
    head = f"{row['file']}: "
    if "type" in row:
        cost = f"{row['cost']}{' and by variables' if row['cost_by_variables'] else ''}"
        head += (
            f"{row['type']} {row['operation'] or '(anonymous)'}  depth {row['depth']}  fields {row['fields']}"
            f"  aliases {row['aliases']}  cost {cost}  {row['id'][:19]}"
        )
    return "\n".join([head, *(f"    refused: {problem}" for problem in row["problems"])])


def _validated(text: str, sdl: str) -> list[str]:
    try:
        from spork.adapters.graphql_core.validation import problems_of
    except ImportError:
        raise click.ClickException("a schema needs graphql-core: pip install graphql-core") from None
    try:
        return problems_of(text, sdl)
    except ValueError as error:
        raise click.ClickException(f"the schema cannot be read: {error}") from None


def _documents(files: tuple[Path, ...]) -> list[tuple[str, str]]:
    """(file, text) of each document: a file of its own, or one of a manifest."""
    found: list[tuple[str, str]] = []
    for path in files:
        if path.suffix == ".json":
            found += [(f"{path} {given[:20]}", text) for given, text in _manifest(path).items()]
        else:
            found.append((str(path), _text(path).strip()))
    return found


def _manifest(path: Path) -> dict[str, str]:
    from spork.adapters.files.documents import NotAManifest, read_manifest

    try:
        return read_manifest([str(path)])
    except NotAManifest as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read: {error.strerror}") from None


def _seen(path: Path | None, least: int) -> list[tuple[str, str]]:
    if path is None:
        return []
    try:
        rows = json.loads(_text(path))
        return [(row["id"][:19], row["document"]) for row in rows if row["requests"] >= least and row["document"]]
    except (ValueError, TypeError, KeyError):
        raise click.ClickException(f"{path} is not what `spork graphql report --json` wrote") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{path} cannot be read: {error}") from None
