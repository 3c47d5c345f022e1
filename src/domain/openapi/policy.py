"""What a configuration says about OpenAPI documents, as values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DocumentSource:
    """Where an upstream's document comes from: a path of its targets, asked for every `every` seconds, or a file."""

    path: str = ""
    file: str = ""
    every: float = 60.0


@dataclass(frozen=True, slots=True)
class DocsPolicy:
    """The merged document and its pages. `version` is 3.1 or 3.2, `audience` roles or all, `on_breaking` warn or keep.

    `logo`, `css` and `intro` name files; `ui` are the pages that may be shown by their own renderers.
    """

    title: str = "API"
    version: str = "3.1"
    logo: str = ""
    css: str = ""
    intro: tuple[str, ...] = ()
    audience: str = "roles"
    ui: tuple[str, ...] = ("swagger", "redoc")
    on_breaking: str = "warn"


@dataclass(frozen=True, slots=True)
class ValidationRule:
    """What a route checks by its upstream's document: each of `requests` and `responses` is off, observe or enforce;
    `unknown` operations pass or are refused. Bodies and answers larger than `maximum` bytes are not looked into."""

    requests: str = "enforce"
    responses: str = "off"
    unknown: str = "pass"
    maximum: int = 1024 * 1024
