"""Which gateway, with which token: command line, environment, console.toml, the gateway of this directory.

    # ~/.config/spork/console.toml
    default = "local"

    [contexts.prod-eu1]
    url = "https://gw-eu1:9443"
    production = true                                   # says PROD, in red; names must be typed to act
    token_command = ["pass", "show", "spork/prod-eu1"]  # or token_file = "...", or token_env = "NAME"
    ca = "/etc/ssl/spork-ca.pem"
    poll = 2.0                                          # no stream, ask every 2 s
    theme = "light"

    [keys]                                              # see spork.console.keys.keymap
    faults = "x"

    [columns]                                           # these two: spork.console.keys.settings
    services = ["state", "service", "rps", "err"]

    [hotkeys]
    "f5" = "services err>5"

A token is never written in the file, never on the command line of another program, and never shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

DEFAULT_URL = "http://127.0.0.1:9000"
TOKEN_SECONDS = 30.0
_FIELDS = {"url", "production", "token_command", "token_file", "token_env", "ca", "poll", "theme"}


class BadContext(ValueError):
    """The configuration of contexts, or a token's source, is of no use; the message says what to mend."""


@dataclass(frozen=True, slots=True)
class Context:
    """One gateway. `token` holds a literal only when given on the command line or in SPORK_ADMIN_TOKEN."""

    name: str
    url: str = DEFAULT_URL
    production: bool = False
    token: str = ""
    token_command: tuple[str, ...] = ()
    token_file: str = ""
    token_env: str = ""
    ca: str = ""
    poll: float | None = None
    theme: str = ""

    def fetch_token(self, environ: Mapping[str, str]) -> str:
        """The token, read now. Raises BadContext. May block as long as the command does (at most 30 s)."""
        if self.token:
            return self.token
        if self.token_command:
            return _from_command(self.token_command)
        if self.token_env:
            value = environ.get(self.token_env, "").strip()
            if not value:
                raise BadContext(f"environment variable {self.token_env} is empty")
            return value
        if self.token_file:
            return _from_file(Path(self.token_file).expanduser())
        return ""

    def __repr__(self) -> str:
        return f"Context({self.name!r}, {self.url!r})"


def _from_command(command: tuple[str, ...]) -> str:
    import subprocess

    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TOKEN_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BadContext(f"token command {command[0]!r} failed: {type(error).__name__}") from error
    token = done.stdout.strip()
    if done.returncode or not token:
        raise BadContext(f"token command {command[0]!r} ended with {done.returncode} and no token")
    return token.splitlines()[0].strip()


def _from_file(path: Path) -> str:
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadContext(f"token file {path} cannot be read: {type(error).__name__}") from error
    if not token:
        raise BadContext(f"token file {path} is empty")
    return token


def default_path(environ: Mapping[str, str]) -> Path:
    home = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".config")
    return Path(environ.get("SPORK_CONSOLE_CONFIG") or Path(home) / "spork" / "console.toml")


def read(path: Path) -> dict[str, Any]:
    """The file as it stands; a missing one is empty. Raises BadContext."""
    if not path.exists():
        return {}
    import tomllib

    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadContext(f"{path}: {error}") from error


def load(path: Path) -> tuple[dict[str, Context], str]:
    """The contexts of a file by name, and the default's name or ''. A missing file has none. Raises BadContext."""
    document = read(path)
    unknown = set(document) - {"default", "contexts", "keys", "columns", "hotkeys"}
    if unknown:
        raise BadContext(
            f"{path}: unknown {', '.join(sorted(unknown))} (known: default, contexts, keys, columns, hotkeys)"
        )
    contexts = document.get("contexts", {})
    if not isinstance(contexts, dict):
        raise BadContext(f"{path}: [contexts.NAME] tables are expected")
    found = {name: _context(path, name, fields) for name, fields in contexts.items()}
    default = str(document.get("default", ""))
    if default and default not in found:
        raise BadContext(f"{path}: default = {default!r} is no context; there are: {', '.join(found) or 'none'}")
    return found, default


def _context(path: Path, name: str, fields: Any) -> Context:
    where = f"{path}: contexts.{name}"
    if not isinstance(fields, dict) or not isinstance(fields.get("url"), str):
        raise BadContext(f"{where}: url is missing")
    unknown = set(fields) - _FIELDS
    if unknown:
        known = ", ".join(sorted(_FIELDS))
        raise BadContext(
            f"{where}: unknown {', '.join(sorted(unknown))} (known: {known}; a token itself is not kept here)"
        )
    command = fields.get("token_command", ())
    if isinstance(command, str) or not all(isinstance(part, str) for part in command):
        raise BadContext(f'{where}: token_command is a list, such as ["pass", "show", "spork"]')
    poll = fields.get("poll")
    return Context(
        name,
        fields["url"].rstrip("/"),
        fields.get("production") is True,
        "",
        tuple(command),
        str(fields.get("token_file", "")),
        str(fields.get("token_env", "")),
        str(fields.get("ca", "")),
        float(poll) if isinstance(poll, (int, float)) else None,
        str(fields.get("theme", "")),
    )


def choose(
    contexts: Mapping[str, Context],
    default: str,
    environ: Mapping[str, str],
    directory: Path,
    *,
    name: str = "",
    url: str = "",
    token: str = "",
    token_file: str = "",
) -> Context:
    """The context to start with. Raises BadContext for a name that does not exist."""
    if name and name not in contexts:
        raise BadContext(f"no context {name!r}; there are: {', '.join(contexts) or 'none'}")
    given_url = url or environ.get("SPORK_CONSOLE_URL", "")
    if name or (default and not given_url):
        chosen = contexts[name or default]
        chosen = replace(chosen, url=url.rstrip("/")) if url else chosen
    else:
        chosen = local(directory, given_url.rstrip("/") or DEFAULT_URL)
    if token_file and not token:
        return replace(chosen, token="", token_command=(), token_env="", token_file=token_file)
    given = token or (environ.get("SPORK_ADMIN_TOKEN", "") if not name else "")
    return replace(chosen, token=given) if given else chosen


def local(directory: Path, url: str = DEFAULT_URL) -> Context:
    """The gateway of this directory: its state_dir holds the token it generated."""
    path = directory / ".spork" / "admin-token"
    loopback = any(f"//{host}" in url for host in ("127.0.0.1", "localhost", "[::1]"))
    return Context("local", url, token_file=str(path) if loopback and path.exists() else "")
