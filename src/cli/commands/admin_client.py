"""Talking to a running gateway's admin API from commands."""

from __future__ import annotations

import functools
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

DEFAULT_URL = "http://127.0.0.1:9000"


class AdminRefused(click.ClickException):
    """The gateway did not do it. `problem` is its problem document."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.problem = problem
        lines = [f"{status} {problem.get('title', '')}: {problem.get('detail', '')}".rstrip(": ")]
        lines += [place(row) for row in problem.get("errors", [])]
        super().__init__("\n".join(lines))


def place(row: dict[str, Any]) -> str:
    """A configuration problem on one line, as `spork check` writes it."""
    where = f"{row.get('file') or 'configuration'}:{row['line']}:{row['column']}: " if row.get("line") else ""
    subject = f"{row['path']}: " if row.get("path") else ""
    hint = f"; {row['suggestion']}" if row.get("suggestion") else ""
    return f"{where}{row.get('severity', 'error')}: {subject}{row.get('message', '')}{hint}"


class AdminClient:
    """One gateway's admin API."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._token = token

    def call(
        self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json"
    ) -> dict[str, Any]:
        """The answer's JSON. Raises AdminRefused, ClickException."""
        answer: dict[str, Any] = json.loads(self.text(method, path, body, content_type))
        return answer

    def text(self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json") -> bytes:
        request = urllib.request.Request(self._url + path, body, method=method)
        request.add_header("Authorization", f"Bearer {self._token}")
        request.add_header("Content-Type", content_type)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                data: bytes = response.read()
                return data
        except urllib.error.HTTPError as error:
            raise AdminRefused(error.code, _problem(error.read())) from None
        except OSError as error:
            raise click.ClickException(
                f"no admin API answers at {self._url}: {getattr(error, 'reason', error)}"
            ) from None


def _problem(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {"title": body[:200].decode("utf-8", "replace")}
    return document if isinstance(document, dict) else {"title": str(document)}


def find_token(token: str | None, token_file: Path | None) -> str:
    """The token given, else the file's, else that of a gateway started here. Raises ClickException."""
    if token:
        return token
    path = token_file or Path(os.environ.get("SPORK_STATE_DIR", ".spork")) / "admin-token"
    try:
        return path.read_text().strip()
    except OSError:
        raise click.ClickException(
            f"no admin token: give --token, SPORK_ADMIN_TOKEN or --token-file ({path} cannot be read)"
        ) from None


def admin_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --url, --token and --token-file, and hands the command an `AdminClient` as `client`."""

    @click.option("--url", envvar="SPORK_ADMIN_URL", default=DEFAULT_URL, show_default=True, help="The admin API.")
    @click.option("--token", envvar="SPORK_ADMIN_TOKEN", help="Admin token.")
    @click.option("--token-file", type=click.Path(path_type=Path), help="File with the token.")
    @functools.wraps(command)
    def with_client(*args: Any, url: str, token: str | None, token_file: Path | None, **options: Any) -> Any:
        return command(*args, client=AdminClient(url, find_token(token, token_file)), **options)

    return with_client
