"""`spork doctor`: whether this machine and what the configuration names are fit to serve."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spork.cli.commands.options import chosen_config, config_option

if TYPE_CHECKING:
    from spork.application.configuration.model import Configuration

#: Descriptors that a gateway with many connections needs; two for each.
DESCRIPTORS = 16_384
#: Seconds by which clocks may differ before tokens and limits suffer, and within which a store has to answer.
CLOCKS_APART, PATIENCE = 1.0, 2.0
#: Free bytes of state_dir below which logs and records are in danger.
FREE = 512 * 1024 * 1024
#: Days before its end from which a certificate should be renewed.
RENEW = 14.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `verdict` is ok, warn or fail; `remedy` is empty when nothing is to be done."""

    what: str
    verdict: str
    found: str
    remedy: str = ""


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def doctor(config: Path | None, as_json: bool) -> None:
    """Look at this machine and at everything the configuration names: Redis, records, files, certificates, clock.

    Changes nothing. Exit 0 when nothing fails, 1 otherwise.
    """
    findings = list(look(chosen_config(config)))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        wide = max(len(finding.what) for finding in findings)
        for finding in findings:
            click.echo(f"{finding.verdict:<4}  {finding.what:<{wide}}  {finding.found}")
            if finding.remedy:
                click.echo(f"      {'':<{wide}}  -> {finding.remedy}")
    if any(finding.verdict == "fail" for finding in findings):
        sys.exit(1)


def look(path: Path | None) -> Iterator[Finding]:
    """Every finding, the machine's first."""
    yield program()
    yield event_loop()
    yield descriptors()
    from spork.adapters.yaml.load import load
    from spork.application.configuration.problems import errors
    from spork.composition.material import material_problems

    loaded = load(path, os.environ, material_problems)
    where = str(path or "the environment alone")
    if loaded.configuration is None:
        bad = errors(loaded.problems)
        yield Finding(
            "configuration", "fail", f"{where}: {len(bad)} error(s), first: {bad[0]}", "spork check shows every one"
        )
        return
    warnings = len(loaded.problems)
    yield Finding(
        "configuration",
        "warn" if warnings else "ok",
        f"{where}: {len(loaded.configuration.routes)} route(s), {warnings} warning(s)",
        "spork check shows every one" if warnings else "",
    )
    configuration = loaded.configuration
    yield state_dir(Path(configuration.state_dir))
    yield from certificates(configuration)
    yield asyncio.run(_within("redis", lambda: redis(configuration.shared)))
    yield asyncio.run(_within("records", lambda: records(configuration)))


def program() -> Finding:
    """Which Python, which version, compiled or not."""
    from spork.application.pipeline import forwarder
    from spork.composition.identity import own_version

    version = ".".join(map(str, sys.version_info[:3]))
    compiled = not forwarder.__file__.endswith(".py")
    found = f"spork {own_version()} on Python {version}, request path {'compiled' if compiled else 'interpreted'}"
    return Finding(
        "program", "ok", found, "" if compiled else "make native compiles it: about half the CPU for each request"
    )


def event_loop() -> Finding:
    """Whether the fast event loop is there."""
    if importlib.util.find_spec("uvloop") is not None:
        return Finding("event loop", "ok", "uvloop")
    return Finding("event loop", "warn", "asyncio's own", "pip install uvloop: less CPU for each request")


def descriptors() -> Finding:
    """Whether enough connections can be open at once."""
    try:
        import resource
    except ImportError:  # Windows
        return Finding("open files", "ok", "not limited by this system")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = soft == resource.RLIM_INFINITY
    found = f"{'unlimited' if unlimited else soft} (at most {'unlimited' if hard == resource.RLIM_INFINITY else hard})"
    if unlimited or soft >= DESCRIPTORS:
        return Finding("open files", "ok", found)
    return Finding(
        "open files", "warn", found, f"ulimit -n {DESCRIPTORS}, or LimitNOFILE={DESCRIPTORS} in the systemd unit"
    )


def state_dir(directory: Path) -> Finding:
    """Whether state can be written, and is nobody else's to read."""
    there = directory
    while not there.exists() and there != there.parent:
        there = there.parent
    if not os.access(there, os.W_OK | os.X_OK) or not there.is_dir():
        return Finding(
            "state_dir",
            "fail",
            f"{directory}: {there} is not writable for this user",
            f"chown or chmod {there}, or set state_dir",
        )
    if there == directory and directory.stat().st_mode & 0o077:
        return Finding(
            "state_dir",
            "warn",
            f"{directory} can be read by others",
            f"chmod 700 {directory}: the admin token and keys are in it",
        )
    stats = os.statvfs(there)
    free = stats.f_bavail * stats.f_frsize
    if free < FREE:
        return Finding(
            "state_dir",
            "warn",
            f"{directory}: {free // 2**20} MiB free",
            "make room: records and logs stop when it is full",
        )
    return Finding("state_dir", "ok", f"{directory}, {free // 2**30} GiB free")


def certificates(configuration: Configuration) -> Iterator[Finding]:
    """When each certificate that is shown ends."""
    files = [str(configuration.tls.cert)] if configuration.tls is not None else []
    files += [each.tls.cert for each in configuration.upstreams if each.tls is not None and each.tls.cert]
    for file in dict.fromkeys(files):
        from cryptography import x509

        try:
            chain = x509.load_pem_x509_certificates(Path(file).read_bytes())
        except (OSError, ValueError) as error:
            yield Finding("certificate", "fail", f"{file}: {error}", "a PEM file, readable for this user")
            continue
        left = (min(each.not_valid_after_utc.timestamp() for each in chain) - time.time()) / 86_400
        said = f"{file} ended {-left:.0f} days ago" if left < 0 else f"{file} ends in {left:.0f} days"
        yield Finding(
            "certificate",
            "fail" if left < 0 else "warn" if left < RENEW else "ok",
            said,
            "renew it" if left < RENEW else "",
        )


async def _within(what: str, ask: Callable[[], Awaitable[Finding]]) -> Finding:
    """The finding of `ask`, or that it did not come in time."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await ask()
    except TimeoutError:
        return Finding(
            what, "fail", f"no answer within {PATIENCE:.0f} s", "is the address right, and reachable from here?"
        )
    except Exception as error:
        reason = str(getattr(error, "orig", error)).partition("\n")[0]
        return Finding(
            what, "fail", f"{type(error).__name__}: {reason}", "is it running, and are user and password right?"
        )


async def redis(shared: str) -> Finding:
    """Whether the fleet's store answers, and whether its clock is ours. Raises what its client raises."""
    if shared == "memory":
        return Finding("redis", "ok", "not used: this process counts by itself (shared: memory)")
    from spork.composition.stores import background_connection

    connection = background_connection(shared, 1, PATIENCE)
    try:
        began = time.time()
        seconds, micros = await connection.client.time()
        ended = time.time()
    finally:
        await connection.close()
    apart = int(seconds) + int(micros) / 1e6 - (began + ended) / 2
    took = f"answers in {(ended - began) * 1000:.1f} ms, its clock is {apart:+.2f} s from ours"
    if abs(apart) > CLOCKS_APART:
        return Finding("redis", "warn", took, "synchronize the clocks (NTP): tokens and limits go by them")
    return Finding("redis", "ok", took)


async def records(configuration: Configuration) -> Finding:
    """Whether the records answer and are of this version. A file that is not there yet is not made. Raises what SQLAlchemy raises."""
    from sqlalchemy import text

    from spork.adapters.sqlalchemy.database import database_url, is_sqlite, open_database
    from spork.adapters.sqlalchemy.migrations import pending

    url = database_url(configuration.records, configuration.state_dir)
    if url.get_backend_name() == "sqlite" and not os.path.exists(url.database or ""):  # noqa: ASYNC240 - alone here
        return Finding("records", "ok", f"{url.database} will be made at the first start")
    engine = open_database(configuration.records, configuration.state_dir)
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
        missing = await pending(engine)
    finally:
        await engine.dispose()
    where = engine.url.render_as_string(hide_password=True)
    if missing and not is_sqlite(engine):
        return Finding("records", "fail", f"{where} lacks {', '.join(missing)}", "spork records upgrade")
    return Finding("records", "ok", where)
