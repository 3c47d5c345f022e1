"""`spork support`: one file with what somebody needs who helps with a gateway, without secrets."""

from __future__ import annotations

import io
import json
import platform
import sys
import tarfile
import time
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import click

from spork.cli.commands.admin_client import AdminClient, AdminRefused, admin_options

#: Name in the bundle -> what is asked of the admin API.
ASKED = {
    "config.json": "/admin/v1/config",
    "config-history.json": "/admin/v1/config/history",
    "health.json": "/health/detailed",
    "events.json": "/admin/v1/events?limit=500",
    "metrics.txt": "/metrics",
    "performance.json": "/metrics/performance",
    "upstreams.json": "/admin/v1/upstreams",
    "breakers.json": "/admin/v1/breakers",
    "nodes.json": "/admin/v1/nodes",
    "routes.json": "/admin/v1/routes",
    "logging.json": "/admin/v1/logging",
}


@click.command()
@admin_options
@click.option("--out", type=click.Path(path_type=Path), default=Path("spork-support.tar.gz"), show_default=True)
def support(client: AdminClient, out: Path) -> None:
    """Gather configuration (secrets replaced), versions, health, events and metrics of a running gateway into one file."""
    now = time.time()
    files = {"versions.json": _json(versions())}
    missing = []
    for name, path in ASKED.items():
        try:
            files[name] = _clean(name, client.text("GET", path))
        except AdminRefused as error:
            if error.status in (401, 403):
                raise
            missing.append(f"{path}: {error.message}")
        except click.ClickException as error:
            missing.append(f"{path}: {error.message}")
    if len(files) == 1:
        raise click.ClickException(missing[0])
    files["missing.txt"] = "\n".join(missing).encode("utf-8")
    try:
        with tarfile.open(out, "w:gz") as bundle:
            for name, content in sorted(files.items()):
                entry = tarfile.TarInfo(f"spork-support/{name}")
                entry.size, entry.mtime, entry.mode = len(content), int(now), 0o600
                bundle.addfile(entry, io.BytesIO(content))
    except OSError as error:
        raise click.ClickException(f"{out} cannot be written: {error.strerror}") from None
    for line in missing:
        click.echo(f"left out: {line}", err=True)
    click.echo(f"{out}: {len(files)} files. Look through it before you send it to anybody.")


def versions() -> dict[str, Any]:
    """Of the machine this command runs on: packages, interpreter, platform."""
    packages = {found.metadata["Name"]: found.version for found in distributions()}
    return {"python": sys.version, "platform": platform.platform(), "packages": dict(sorted(packages.items()))}


def _clean(name: str, content: bytes) -> bytes:
    """Redacted once more, as logs are: by field name in JSON, by pattern everywhere."""
    from spork.adapters.structlog.redaction import redact, redact_value

    text = content.decode("utf-8", "replace")
    if name.endswith(".json"):
        try:
            return _json(redact_value(json.loads(text)))
        except ValueError:
            pass  # not JSON after all: as text
    return "\n".join(_lines(text, redact)).encode("utf-8")


def _lines(text: str, redact: Any) -> Iterator[str]:
    for line in text.splitlines():
        yield redact(line)


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str).encode("utf-8")
