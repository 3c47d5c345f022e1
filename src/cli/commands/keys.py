"""`spork keys` and `spork records`: API keys, straight on the records. A running gateway follows within a second."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeVar

import click

from spork.application.admin.callers import key_view
from spork.application.callers.issuing import bad_networks, request_of, unknown_names
from spork.application.callers.keys import IssuedKey, KeyRequest, Keys, UnknownKey
from spork.application.callers.moving import Brought
from spork.application.callers.ports import Conflict
from spork.application.configuration.model import Configuration
from spork.application.views import ApiKeyView
from spork.cli.commands.options import chosen_config, config_option

if TYPE_CHECKING:
    from spork.adapters.sqlalchemy.identity import SqlRecords

T = TypeVar("T")

#: What the records call the mark of the pepper their keys are made with.
PEPPER_FACT = "key-pepper"


def configuration_of(config: Path | None) -> Configuration:
    """The configuration a command works on, or the reasons why there is none."""
    from spork.adapters.yaml.load import load
    from spork.application.configuration.problems import check_report

    loaded = load(chosen_config(config), os.environ)
    if loaded.configuration is None:
        raise click.ClickException(check_report(loaded.problems))
    return loaded.configuration


@asynccontextmanager
async def opened_keys(configuration: Configuration) -> AsyncIterator[Keys]:
    """Keys over the configured records, which are upgraded first when they are an SQLite file."""
    from spork.adapters.sqlalchemy.database import is_sqlite, open_database
    from spork.adapters.sqlalchemy.identity import SqlRecords
    from spork.adapters.sqlalchemy.migrations import upgrade

    engine = open_database(configuration.records, configuration.state_dir)
    try:
        if is_sqlite(engine):
            await upgrade(engine)
        records = SqlRecords(engine)
        pepper = await _pepper_of(records, configuration.state_dir)
        yield Keys(records, pepper, revoke_everywhere=records.record)
    finally:
        await engine.dispose()


async def _pepper_of(records: SqlRecords, state_dir: str) -> bytes:
    """The pepper that the keys in these records are made with. Raises ClickException when it is another one, or is not
    here: a key made with it would open nothing."""
    from spork.composition.secrets import given_pepper, key_pepper, pepper_mark

    noted = await records.noted(PEPPER_FACT)
    given = given_pepper(state_dir)
    if noted is None or (given is not None and pepper_mark(given) == noted):
        pepper = given if given is not None else key_pepper(state_dir)
        await records.fact(PEPPER_FACT, pepper_mark(pepper))
        return pepper
    raise click.ClickException(
        "the keys in these records are made with another pepper: set SPORK_KEY_PEPPER (or the state_dir) of the gateway"
    )


def on_keys(config: Path | None, act: Callable[[Keys], Awaitable[T]]) -> T:
    async def run() -> T:
        async with opened_keys(configuration_of(config)) as keys:
            return await act(keys)

    try:
        return asyncio.run(run())
    except UnknownKey as error:
        raise click.ClickException(f"there is no key {error}") from error
    except (Conflict, ValueError) as error:
        raise click.ClickException(str(error)) from error


@click.group()
def keys() -> None:
    """Issue, rotate, revoke and list API keys."""


def _words(given: tuple[str, ...]) -> frozenset[str]:
    return frozenset(word for text in given for word in text.replace(",", " ").split())


@keys.command()
@config_option
@click.argument("consumer")
@click.option("--plan", default="", help="Plan of this key; left out: its consumer's.")
@click.option("--owner", default="", help="Who answers for it: a team or a mail address.")
@click.option("--tenant", default="", help="Tenant it belongs to.")
@click.option("--scope", "scopes", multiple=True, help="Scope it has; may be repeated.")
@click.option("--role", "roles", multiple=True, help="Role it has; may be repeated.")
@click.option("--route", "routes", multiple=True, help="Route it may call; left out: any.")
@click.option("--cidr", "cidrs", multiple=True, help="Network it may be used from; left out: any.")
@click.option("--days", type=click.FloatRange(0, 36500, min_open=True), help="How long it lives; left out: for ever.")
@click.option("--force", is_flag=True, help="Issue it although the configuration has no such plan, consumer or route.")
def issue(
    config: Path | None,
    consumer: str,
    plan: str,
    owner: str,
    tenant: str,
    scopes: tuple[str, ...],
    roles: tuple[str, ...],
    routes: tuple[str, ...],
    cidrs: tuple[str, ...],
    days: float | None,
    force: bool,
) -> None:
    """A new key for CONSUMER. Its text is shown this once."""
    request = KeyRequest(
        consumer,
        owner,
        plan,
        tenant,
        _words(scopes),
        _words(roles),
        _words(routes),
        tuple(sorted(_words(cidrs))),
        None if days is None else days * 86400,
    )
    _refuse_unknown(request, configuration_of(config), force)
    _show(on_keys(config, lambda found: found.issue(request, time.time())))


def _refuse_unknown(request: KeyRequest, configuration: Configuration, force: bool) -> None:
    """Stop at what the configuration does not know; say it only when the operator means it."""
    wrong = [said for _, said in bad_networks(request.cidrs)]
    unknown = [said for _, said in unknown_names(request, configuration)]
    if wrong or (unknown and not force):
        hint = "" if wrong else " (--force issues it all the same)"
        raise click.ClickException("; ".join(wrong + unknown) + hint)
    for said in unknown:
        click.echo(f"warning: {said}", err=True)


@keys.command()
@config_option
@click.argument("id")
@click.option(
    "--overlap", type=click.FloatRange(0), default=24.0, show_default=True, help="Hours the old one stays good."
)
def rotate(config: Path | None, id: str, overlap: float) -> None:
    """A second secret for a key; the one it has ends after the overlap."""
    _show(on_keys(config, lambda found: found.rotate(id, time.time(), overlap * 3600)))


@keys.command()
@config_option
@click.argument("id")
@click.option("--reason", default="", help="Kept with the revocation.")
def revoke(config: Path | None, id: str, reason: str) -> None:
    """End a key for good."""
    on_keys(config, lambda found: found.revoke(id, time.time(), reason, "spork keys"))
    click.echo(f"revoked {id}")


@keys.command("revoke-all")
@config_option
@click.argument("consumer")
@click.option("--reason", default="", help="Kept with each revocation.")
@click.confirmation_option("--yes", prompt="End every key of this consumer?")
def revoke_all(config: Path | None, consumer: str, reason: str) -> None:
    """End every key of CONSUMER for good."""

    async def act(found: Keys) -> int:
        after, ended, now = "", 0, time.time()
        while True:
            page, after = await found.search(consumer, after=after, limit=500, now=now)
            ended += await found.revoke_all([key.id for key in page], now, reason, "spork keys")
            if not after:
                return ended

    click.echo(f"revoked {on_keys(config, act)} key(s) of {consumer}")


@keys.command("export")
@config_option
@click.option("--consumer", default="", help="Only keys of this consumer.")
def export_keys(config: Path | None, consumer: str) -> None:
    """All keys as JSON lines, with the digests of their secrets: good in records with the same pepper."""

    async def act(found: Keys) -> None:
        after = ""
        while True:
            page, after = await found.search(consumer, after=after, limit=500, now=time.time())
            for key in page:
                click.echo(json.dumps(found.row_of(key)))
            if not after:
                return

    on_keys(config, act)


@keys.command("import")
@config_option
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--force", is_flag=True, help="Also keys that name what the configuration has not.")
@click.option("--dry-run", is_flag=True, help="Only say what would be brought.")
def import_keys(config: Path | None, file: TextIO, force: bool, dry_run: bool) -> None:
    """Bring keys along from FILE (- for standard input): JSON lines of an export, or each with `consumer` and `text` or `sha256`.

    All of them or none; those that are there already stay as they are.
    """
    rows: list[object] = []
    for number, line in enumerate(file, 1):
        try:
            rows += [json.loads(line)] if line.strip() else []
        except (ValueError, RecursionError) as error:
            raise click.ClickException(f"line {number} is not JSON") from error
    configuration = configuration_of(config)

    async def act(found: Keys) -> Brought:
        brought, wrong = found.read_rows(rows, time.time())
        if not force:
            wrong += sorted({said for key in brought for _, said in unknown_names(request_of(key), configuration)})
        if wrong:
            raise ValueError("; ".join(wrong[:20]))
        return Brought(len(brought), 0) if dry_run else await found.bring(brought)

    done = on_keys(config, act)
    click.echo(f"{'would bring' if dry_run else 'added'} {done.added}, {done.there} there already")


@keys.command("list")
@config_option
@click.option("--consumer", default="", help="Only keys of this consumer.")
@click.option(
    "--state", type=click.Choice(["active", "rotating", "revoked", "expired"]), help="Only keys in this state."
)
@click.option("--search", default="", help="Part of an id, consumer or owner.")
@click.option("--after", default="", help="Go on behind this id.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=200, show_default=True)
def list_keys(config: Path | None, consumer: str, state: str | None, search: str, after: str, limit: int) -> None:
    """Keys and their state; nothing of their secrets."""
    now = time.time()
    found, following = on_keys(config, lambda keys: keys.search(consumer, search, state or "", after, limit, now))
    rows = [_row(key_view(key, time.time())) for key in found]
    heads = ("ID", "CONSUMER", "STATE", "PLAN", "SCOPES", "CREATED", "EXPIRES", "LAST USED")
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    for row in [heads, *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if following:
        click.echo(f"more: --after {following}", err=True)


def _row(view: ApiKeyView) -> tuple[str, ...]:
    return (
        view.id,
        view.consumer,
        view.state,
        view.plan or "-",
        " ".join(view.scopes) or "-",
        _date(view.created_at),
        _date(view.expires_at),
        _date(view.last_used_at),
    )


def _date(unix: float | None) -> str:
    return "-" if unix is None else datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M")


def _show(issued: IssuedKey) -> None:
    """The text alone on standard output, so that it can be piped; the rest beside it."""
    click.echo(str(issued.text))
    click.echo(f"key {issued.key.id} of {issued.key.consumer}; this text is not shown again", err=True)


@click.group()
def records() -> None:
    """The database of consumers, keys, audit and usage."""


@records.command("upgrade")
@config_option
def upgrade_records(config: Path | None) -> None:
    """Bring the records' schema up to this version. SQLite files are upgraded by themselves."""
    from spork.adapters.sqlalchemy.database import open_database
    from spork.adapters.sqlalchemy.migrations import SchemaTooNew, upgrade

    configuration = configuration_of(config)

    async def run() -> list[str]:
        engine = open_database(configuration.records, configuration.state_dir)
        try:
            return await upgrade(engine)
        finally:
            await engine.dispose()

    try:
        ran = asyncio.run(run())
    except (SchemaTooNew, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"upgraded: {', '.join(ran)}" if ran else "up to date")
