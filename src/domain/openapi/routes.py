"""The routes that an OpenAPI document asks for, and what of it no route can say. Nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from spork.domain.openapi.document import Document, Operation
from spork.domain.routing.patterns import PathPattern
from spork.domain.upstreams.model import parse_target

_WORD: Final = re.compile(r"[^A-Za-z0-9_]+")


@dataclass(slots=True)
class Imported:
    """`upstream` is the name of the one upstream and `targets` its URLs; `routes` are ready to be written as YAML.

    `left_out` are (place in the document as a JSON pointer, why).
    """

    upstream: str
    targets: list[str] = field(default_factory=list)
    routes: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)


def routes_of(document: Document, upstream: str, group_by: str) -> Imported:
    """One route for each path with its methods; by `tag` also one for each tag of it, called after the tag."""
    found = Imported(upstream)
    _servers(document, found)
    groups: dict[tuple[str, str], list[Operation]] = {}
    for operation in document.operations():
        tags = operation.node.get("tags")
        tag = str(tags[0]) if group_by == "tag" and isinstance(tags, list) and tags else ""
        groups.setdefault((tag, operation.path), []).append(operation)
    names: set[str] = set()
    for (tag, path), operations in groups.items():
        pattern, why = _pattern(path)
        pointer = "/paths/" + path.replace("~", "~0").replace("/", "~1")
        if pattern is None:
            found.left_out.append((pointer, why))
            continue
        methods = [operation.method for operation in operations if operation.method != "TRACE"]
        if len(methods) < len(operations):
            found.left_out.append((f"{pointer}/trace", "TRACE is never served"))
        if methods:
            name = _name(f"{tag}-{pattern}" if tag else pattern, names)
            route: dict[str, Any] = {"name": name, "match": {"path": pattern, "methods": methods}, "upstream": upstream}
            if tag:
                route["metadata"] = {"tag": tag}
            found.routes.append(route)
        for operation in operations:
            if any(alternative for alternative in document.security(operation)):
                place = f"{pointer}/{operation.method.lower()}"
                schemes = " or ".join(" and ".join(sorted(a)) or "nothing" for a in document.security(operation))
                found.left_out.append((place, f"needs {schemes}; write auth: for it"))
    return found


def _servers(document: Document, found: Imported) -> None:
    listed = document.root.get("servers")
    for at, server in enumerate(listed if isinstance(listed, list) else ()):
        url = str(server.get("url", "")) if isinstance(server, Mapping) else ""
        parts = urlsplit(url)
        if "{" in url or parts.scheme not in ("http", "https"):
            found.left_out.append((f"/servers/{at}", f"{url or 'nothing'} is no whole http(s) address"))
            continue
        try:
            parse_target(url)
        except ValueError as error:
            found.left_out.append((f"/servers/{at}", str(error).partition("|")[0]))
            continue
        if found.targets:
            found.left_out.append((f"/servers/{at}", "only the first server is taken; servers are not replicas"))
        else:
            found.targets.append(url)


def _pattern(path: str) -> tuple[str | None, str]:
    """A route's pattern for a path template: parameter names become identifiers."""
    parts = []
    for part in path.split("/"):
        inner = part[1:-1] if part.startswith("{") and part.endswith("}") else None
        if inner is not None and "{" not in inner and "}" not in inner:
            name = _WORD.sub("_", inner)
            parts.append("{" + (name if name.isidentifier() else f"p_{name}") + "}")
        else:
            parts.append(part)
    try:
        return PathPattern.parse("/".join(parts)).text, ""
    except ValueError as error:
        return None, str(error)


def _name(text: str, names: set[str]) -> str:
    stem = _WORD.sub("-", text).strip("-") or "root"
    name, number = stem, 2
    while name in names:
        name, number = f"{stem}-{number}", number + 1
    names.add(name)
    return name
