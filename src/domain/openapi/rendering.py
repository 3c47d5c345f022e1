"""The documents that are served: a choice of what was merged, as text, piece by piece.

A document for a caller holds the operations that the caller could call and the components they need. Text is made one path
or component at a time, so that a large document never holds the event loop up.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from spork.domain.openapi.naming import SECTIONS
from spork.domain.openapi.protection import PROBLEM, PROBLEM_TYPE, own_reference, refusal
from spork.domain.openapi.publication import Merged, PublishedOperation

_ORDER: Final = ("get", "head", "query", "post", "put", "patch", "delete", "options")
#: Whether an operation is in the document.
Chosen = Callable[[PublishedOperation], bool]


@dataclass(frozen=True, slots=True)
class Title:
    """What a document says about itself. `scheme` is that of servers which only a host names; "" for the document's own."""

    title: str = "API"
    version: str = "1"
    description: str = ""
    scheme: str = ""
    members: Mapping[str, Any] = field(default_factory=dict)


def everything(operation: PublishedOperation) -> bool:
    return True


def rendering(
    merged: Merged, title: Title, chosen: Chosen = everything, operators: bool = False
) -> Generator[None, None, list[tuple[tuple[str, ...], Any]]]:
    """The document as (where, what) pieces: the path to a member and its value. One operation or component a step."""
    pieces: list[tuple[tuple[str, ...], Any]] = [
        (("openapi",), "3.2.0" if merged.version == "3.2" else "3.1.1"),
        (("info",), _info(title)),
        (("servers",), [{"url": "/"}]),
    ]
    operations = [operation for operation in merged.operations if chosen(operation)]
    used = {tag for operation in operations for tag in operation.node.get("tags", ())}
    known = [tag for tag in merged.tags if tag["name"] in used]
    known += [{"name": name} for name in sorted(used - {tag["name"] for tag in known})]
    if known:
        pieces.append((("tags",), known))
    paths: dict[str, list[PublishedOperation]] = {}
    for operation in operations:
        paths.setdefault(operation.path, []).append(operation)
    if not paths:
        pieces.append((("paths",), {}))
    for path, held in paths.items():
        pieces.append((("paths", path), _item(held, merged, title, operators)))
        yield
    yield from _components(operations, merged, pieces)
    return pieces


def _info(title: Title) -> dict[str, Any]:
    info: dict[str, Any] = {"title": title.title, "version": title.version}
    if title.description:
        info["description"] = title.description
    return {**info, **title.members}


def _item(operations: list[PublishedOperation], merged: Merged, title: Title, operators: bool) -> dict[str, Any]:
    """A path item. Hosts that all of its operations share are its servers."""
    item: dict[str, Any] = {}
    shared = {operation.hosts for operation in operations}
    if len(shared) == 1 and (hosts := operations[0].hosts):
        item["servers"] = _servers(hosts, title.scheme)
    for operation in sorted(operations, key=lambda o: _ORDER.index(o.method) if o.method in _ORDER else 99):
        node = dict(operation.node)
        if len(shared) > 1 and operation.hosts:
            node["servers"] = _servers(operation.hosts, title.scheme)
        if operators:
            node["x-spork-route"] = operation.route
            owner = merged.exposures[operation.route].metadata.get("owner")
            if owner:
                node["x-spork-owner"] = owner
        item[operation.method] = node
    return item


def _servers(hosts: Iterable[str], scheme: str) -> list[dict[str, Any]]:
    scheme = f"{scheme}:" if scheme else ""
    servers: list[dict[str, Any]] = []
    for host in hosts:
        if host.startswith("*."):
            variables = {"name": {"default": "www", "description": f"Any name below {host[2:]}"}}
            servers.append({"url": f"{scheme}//{{name}}.{host[2:]}", "variables": variables})
        else:
            servers.append({"url": f"{scheme}//{host}"})
    return servers


def _components(
    operations: list[PublishedOperation], merged: Merged, pieces: list[tuple[tuple[str, ...], Any]]
) -> Generator[None, None, None]:
    needed: set[tuple[str, str]] = set()
    for operation in operations:
        waiting = list(operation.needs)
        while waiting:
            need = waiting.pop()
            if need not in needed:
                needed.add(need)
                waiting.extend(merged.components[need][1] - needed)
        yield
    in_order = sorted(needed)
    refused: dict[str, Mapping[str, Any]] = {}
    used: set[str] = set()
    problem = False
    for operation in operations:
        for status, response in operation.node["responses"].items():
            if "$ref" not in response:
                problem = problem or PROBLEM_TYPE in (response.get("content") or ())
            elif status.isdigit() and response["$ref"] == own_reference(int(status)):
                name, whole = refusal(int(status))
                refused[name] = whole
        used.update(scheme for one in operation.node["security"] for scheme in one)
        yield
    for section in SECTIONS:
        for key in in_order[bisect_left(in_order, (section, "")) : bisect_left(in_order, (section + "\0", ""))]:
            pieces.append((("components", *key), merged.components[key][0]))
            yield
        if section == "schemas" and (refused or problem):
            pieces.append((("components", "schemas", "Problem"), PROBLEM))
        if section == "responses":
            pieces += ((("components", "responses", name), refused[name]) for name in sorted(refused))
    for name, scheme in merged.schemes.items():
        if name in used:
            pieces.append((("components", "securitySchemes", name), scheme))


def document_of(pieces: Iterable[tuple[tuple[str, ...], Any]]) -> dict[str, Any]:
    """The pieces put together."""
    root: dict[str, Any] = {}
    for where, value in pieces:
        node = root
        for name in where[:-1]:
            node = node.setdefault(name, {})
        node[where[-1]] = value
    return root


def json_text(pieces: Iterable[tuple[tuple[str, ...], Any]]) -> Generator[None, None, bytes]:
    """The document as JSON, one piece a step."""
    parts: list[bytes] = [b"{"]
    above: tuple[str, ...] = ()
    first = True
    for where, value in pieces:
        same = 0
        while same < len(above) and same < len(where) - 1 and above[same] == where[same]:
            same += 1
        text = "}" * (len(above) - same) + ("" if first else ",")
        text += "".join(json.dumps(name) + ":{" for name in where[same:-1])
        text += json.dumps(where[-1]) + ":" + json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        parts.append(text.encode("utf-8", "replace"))
        above, first = where[:-1], False
        yield
    parts.append(b"}" * (len(above) + 1))
    return b"".join(parts)
