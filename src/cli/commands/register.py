"""`spork register`: announce a service, keep its lease alive, take it back at the end."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import httpx

#: Tries to reach a gateway that does not answer are this far apart, seconds.
PAUSE = 1.0


class Announcer:
    """Keeps one service registered. Use it as a context manager around the time the service serves.

    `admin_url` is the gateway's admin listener, `token` a token with the role operator. A heartbeat goes every third of
    `ttl`; when the registration is gone (a restart of the gateway, an expired lease) it registers again. Raises
    click.ClickException when the gateway refuses the registration for good.
    """

    def __init__(self, admin_url: str, token: str, service: str, url: str, ttl: float = 30.0, **more: object) -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(base_url=admin_url, headers=headers, timeout=5, trust_env=False)
        self._announcement = {"service": service, "url": url, "ttl": ttl, **more}
        self._every = ttl / 3
        self._heartbeat = ""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Announcer:
        self.announce()
        self._thread = threading.Thread(target=self._beat, name="registration", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)
        if self._heartbeat:
            try:
                self._client.delete(self._heartbeat)
            except httpx.HTTPError:
                click.echo("the gateway is not there: the lease will end by itself", err=True)
        self._client.close()

    def announce(self) -> None:
        """Register; waits for a gateway that is not there yet, and says so once for each reason."""
        told = ""
        while not self._stop.is_set():
            try:
                answer = self._client.post("/discovery/register", json=self._announcement)
            except httpx.HTTPError as error:
                if str(error) != told:
                    told = str(error)
                    click.echo(f"{self._client.base_url} does not answer: {error}; waiting for it", err=True)
                self._stop.wait(PAUSE)
                continue
            if answer.status_code == 201:
                self._heartbeat = str(answer.json()["heartbeat"])
                return
            if answer.status_code < 500:
                raise click.ClickException(f"refused with {answer.status_code}: {_detail(answer)}")
            self._stop.wait(PAUSE)

    def _beat(self) -> None:
        pause = self._every
        while not self._stop.wait(pause):
            try:
                answer = self._client.put(self._heartbeat)
                if answer.status_code == 404:
                    self.announce()
                pause = self._every
            except (httpx.HTTPError, click.ClickException) as error:
                click.echo(f"heartbeat: {error}", err=True)
                pause = min(PAUSE, self._every)


def _detail(answer: httpx.Response) -> str:
    try:
        document: dict[str, Any] = answer.json()
    except ValueError:
        return answer.text[:200]
    errors = [f"{e['path']}: {e['message']}" for e in document.get("errors", [])]
    return "; ".join(errors) or str(document.get("detail") or document.get("title", ""))


@click.command()
@click.argument("service")
@click.argument("url")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--admin", default="http://127.0.0.1:9000", envvar="SPORK_ADMIN_URL", show_default=True, help="Admin URL."
)
@click.option("--token", default="", envvar="SPORK_TOKEN", help="Token with the role operator.")
@click.option("--token-file", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="File that holds it.")
@click.option("--ttl", default=30.0, show_default=True, help="Lease in seconds.")
@click.option("--weight", default=1, show_default=True)
@click.option("--health", default="", help="Path of an active probe, e.g. /health.")
def register(
    service: str,
    url: str,
    command: Sequence[str],
    admin: str,
    token: str,
    token_file: Path | None,
    ttl: float,
    weight: int,
    health: str,
) -> None:
    """Register SERVICE at URL and renew its lease until Ctrl-C or SIGTERM; then deregister.

    With a COMMAND (after --) run it meanwhile, and end with it:

        spork register orders http://10.1.2.3:8080 -- python -m orders
    """
    if token_file is not None:
        token = token_file.read_text().strip()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with Announcer(admin, token, service, url, ttl, weight=weight, health=health):
        click.echo(f"{service} is registered at {url}", err=True)
        if not command:
            ended.wait()
            return
        child = subprocess.Popen(list(command))
        while child.poll() is None and not ended.wait(0.1):
            pass
        if child.poll() is None:
            child.terminate()
        code = child.wait()
    sys.exit(code if code >= 0 else 128 - code)
