"""What stands around the published document: logo, style sheet, pages of introduction."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spork.domain.openapi.policy import DocsPolicy

#: Largest file taken, bytes.
MOST: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Site:
    """`logo` and `css` are the files' contents, empty for none; `intro` is Markdown."""

    title: str = "API"
    logo: bytes = b""
    logo_type: str = "image/svg+xml"
    css: bytes = b""
    intro: str = ""
    ui: tuple[str, ...] = ()


NO_SITE: Final = Site()


def read_site(policy: DocsPolicy) -> Site:
    """Read the files. One that cannot be read is left out; `spork check` has said so."""
    kind = mimetypes.guess_type(policy.logo)[0] if policy.logo else None
    pages = [_read(name).decode("utf-8", "replace").strip() for name in policy.intro]
    return Site(
        policy.title,
        _read(policy.logo),
        kind or "application/octet-stream",
        _read(policy.css),
        "\n\n".join(page for page in pages if page),
        policy.ui,
    )


def _read(name: str) -> bytes:
    try:
        return Path(name).read_bytes()[:MOST] if name else b""
    except OSError:
        return b""
