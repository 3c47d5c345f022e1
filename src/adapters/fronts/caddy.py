"""Caddy, by `forward_auth`."""

from __future__ import annotations

from spork.adapters.fronts.settings import FrontSettings, address, quoted, title
from spork.domain.decisions.fronts import IDENTITY_FIELDS


def files(settings: FrontSettings) -> dict[str, str]:
    """`Caddyfile`."""
    host, port = address(settings.listen)
    decide = f"unix/{settings.unix}" if settings.unix else settings.decide
    copied = " ".join(title(field.decode()) for field in IDENTITY_FIELDS)
    lines = [
        "# spork decides whether a request may pass, Caddy forwards it. Made by `spork export caddy`.",
        "{",
        "\tadmin off",
        "\tauto_https off",
        "}",
        f"http://:{port} {{",
        *([f"\tbind {host}"] if host else []),
        f"\tforward_auth {decide} {{",
        "\t\turi /decide/caddy",
        *([f"\t\theader_up X-Gateway-Decide {quoted(settings.secret)}"] if settings.secret else []),
        f"\t\tcopy_headers {copied}",
        "\t}",
        f"\treverse_proxy {settings.target}",
        "}",
    ]
    return {"Caddyfile": "\n".join(lines) + "\n"}
