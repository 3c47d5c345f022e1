"""What every front's configuration is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Fields of a refusal that its client needs to see.
REFUSAL_FIELDS: Final = (
    "www-authenticate",
    "retry-after",
    "location",
    "content-type",
    "ratelimit",
    "ratelimit-policy",
    "x-request-id",
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "vary",
)
#: Fields of an allowing answer that its client may see.
SUCCESS_FIELDS: Final = ("ratelimit", "ratelimit-policy")


@dataclass(frozen=True, slots=True)
class FrontSettings:
    """Where things are: `decide` answers decisions (`host:port`, or `unix:/path`), the front listens on `listen`, and what
    is allowed goes to `target` (`host:port`). `request_fields` are the clients' fields that decisions look at, lower-case;
    `folder` is where the front finds its files."""

    decide: str
    listen: str
    target: str
    secret: str
    request_fields: tuple[str, ...]
    folder: str = "."

    @property
    def unix(self) -> str:
        """The path of the decisions' unix socket; empty where they have an address."""
        return self.decide.removeprefix("unix:") if self.decide.startswith("unix:") else ""


def address(text: str) -> tuple[str, int]:
    """Host and port of `host:port`; brackets of IPv6 are taken off."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def title(field: str) -> str:
    """`x-user-id` as people write it: X-User-Id."""
    return "-".join(part.capitalize() for part in field.split("-"))


def quoted(text: str) -> str:
    """`text` in double quotes, for the languages in which a backslash escapes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
