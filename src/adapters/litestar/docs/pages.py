"""The pages of the published document: Swagger UI and Redoc where their assets are installed, else the built-in page.

Everything comes from this origin; the policy that each page is sent with says so to the browser. The assets are read from
packages that hold nothing else (`spork-gateway[docs]`) and are never imported.
"""

from __future__ import annotations

import html
import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from spork.application.catalog.site import Site

OWN: Final = Path(__file__).with_name("assets")
_TYPES: Final = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}

#: Nothing but this origin. Renderers set styles by themselves, so pages of theirs may have styles in them.
STRICT: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
WITH_STYLES: Final = STRICT.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
WITH_FONTS: Final = WITH_STYLES.replace("font-src 'self'", "font-src 'self' data:")
#: What a bundle would ask of its maker's servers, and what it gets instead: an empty picture.
_OUTSIDE: Final = (
    (b"https://cdn.redoc.ly/redoc/", b"data:image/svg+xml,#"),
    (b"https://cdn.redocly.com/icons/", b"data:image/svg+xml,#"),
)


@dataclass(frozen=True, slots=True)
class Renderer:
    """A page's scripts and styles, in order, and the policy it needs. `files` are where they are, by their names."""

    scripts: tuple[str, ...]
    styles: tuple[str, ...]
    policy: str
    files: dict[str, Path]
    cls: str = ""


def _own(*names: str) -> dict[str, Path]:
    return {name: OWN / name for name in names}


BUILT_IN: Final = Renderer(
    ("bar.js", "page.js"), ("page.css",), STRICT, _own("bar.js", "page.js", "page.css"), "built-in"
)


@lru_cache(maxsize=1)
def installed() -> dict[str, Renderer]:
    """Renderers whose assets are installed: swagger, redoc."""
    found: dict[str, Renderer] = {}
    swagger = _folder("flask_swagger_ui", "dist")
    if swagger is not None and (swagger / "swagger-ui-bundle.js").is_file():
        files = {name: swagger / name for name in ("swagger-ui-bundle.js", "swagger-ui.css")}
        found["swagger"] = Renderer(
            ("swagger-ui-bundle.js", "bar.js", "swagger.js"),
            ("page.css", "swagger-ui.css"),
            WITH_STYLES,
            {**files, **_own("bar.js", "swagger.js", "page.css")},
        )
    redoc = _folder("flask_openapi_redoc", "")
    bundle = next(iter(sorted(redoc.rglob("redoc*.js"))), None) if redoc is not None else None
    if bundle is not None:
        found["redoc"] = Renderer(
            ("bar.js", "redoc.js"),
            ("page.css",),
            WITH_FONTS,
            {"redoc-bundle.js": bundle, **_own("bar.js", "redoc.js", "page.css")},
        )
    return found


def _folder(package: str, below: str) -> Path | None:
    """Where a package is installed, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / below


def renderer_of(name: str, site: Site) -> Renderer:
    """Of the page `name` (swagger or redoc): its own where it is wanted and installed."""
    found = installed().get(name) if name in site.ui else None
    return found or BUILT_IN


def file_names() -> list[str]:
    """Every file that a page may ask for."""
    known = [BUILT_IN, *installed().values()]
    return sorted({"brand.css", "logo", *(name for renderer in known for name in renderer.files)})


def page(folder: str, site: Site, renderer: Renderer) -> str:
    """The HTML of a page under `/docs` or `/redoc`."""
    title = html.escape(site.title)
    styles = "".join(f'<link rel="stylesheet" href="{folder}/{name}">' for name in renderer.styles)
    brand = f'<link rel="stylesheet" href="{folder}/brand.css">' if site.css else ""
    logo = f'<img src="{folder}/logo" alt="">' if site.logo else ""
    scripts = "".join(f'<script src="{folder}/{name}" defer></script>' for name in renderer.scripts)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"{styles}{brand}</head><body>"
        f'<header id="bar">{logo}<a href="{folder}">{title}</a><span id="note" role="status"></span>'
        f'<form id="credential"></form></header><main id="page" class="{renderer.cls}"></main>{scripts}</body></html>'
    )


def asset(name: str, renderer: Renderer) -> tuple[bytes, str] | None:
    """(content, media type) of one of the page's files."""
    path = renderer.files.get(name)
    return None if path is None else (_content(path), _TYPES.get(path.suffix, "application/octet-stream"))


@lru_cache(maxsize=16)
def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if path.parent != OWN:
        for there, here in _OUTSIDE:
            content = content.replace(there, here)
    return content
