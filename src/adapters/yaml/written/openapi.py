"""OpenAPI as written: where documents come from, the one that is published, and checks by them."""

from __future__ import annotations

from typing import Annotated, Literal

from spork.adapters.yaml.scalars import Duration, RoutePath, Size
from spork.adapters.yaml.written.form import Written, WrittenPolicy
from spork.domain.openapi.policy import ValidationRule

Mode = Literal["off", "observe", "enforce"]


class OpenApiSource(Written, frozen=True):
    """Where the OpenAPI 3 document of an upstream comes from: a path of its own, or a file."""

    path: Annotated[RoutePath | None, "Asked of the targets, as /openapi.json; below the target's base path."] = None
    file: Annotated[str, "A file instead, JSON or YAML; watched."] = ""
    every: Annotated[Duration, "How often the path is asked, conditionally."] = 60.0


class Docs(Written, frozen=True):
    """One OpenAPI document of everything that is served, and pages that show it. Left out: neither."""

    title: Annotated[str, "Title of the document and the pages."] = "API"
    version: Annotated[Literal["3.1", "3.2"], "Version of OpenAPI that is published."] = "3.1"
    logo: Annotated[str, "Image file shown on the pages."] = ""
    css: Annotated[str, "Style sheet added to the pages."] = ""
    intro: Annotated[tuple[str, ...], "Markdown files that open the document."] = ()
    audience: Annotated[
        Literal["roles", "all"], "roles: callers see what they could call; all: everybody sees everything."
    ] = "roles"
    ui: Annotated[
        tuple[Literal["swagger", "redoc"], ...],
        "Pages shown by Swagger UI (/docs) and Redoc (/redoc), where installed; else by the built-in page.",
    ] = ("swagger", "redoc")
    on_breaking: Annotated[
        Literal["warn", "keep"],
        "When an upstream's new document breaks clients: warn, or keep publishing and enforcing the old one.",
    ] = "warn"


class Validate(WrittenPolicy, frozen=True):
    """Checks by the document of the route's upstream."""

    requests: Annotated[Mode, "enforce: refuse requests that do not fit; observe: count them."] = "enforce"
    responses: Annotated[Mode, "enforce: answer 502 in place of an answer that does not fit; observe: count it."] = (
        "off"
    )
    unknown: Annotated[Literal["pass", "refuse"], "Operations that the document does not have."] = "pass"
    bytes: Annotated[Size, "Largest body that is looked into; larger requests are refused, larger answers pass."] = (
        1024 * 1024
    )

    def compiled(self) -> ValidationRule:
        return ValidationRule(self.requests, self.responses, self.unknown, self.bytes)
