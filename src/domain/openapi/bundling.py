"""A document that is spread over several files, as one: what others hold becomes components of the first.

Reading is somebody else's: `bundling` yields the address of each further document it needs and is sent its content. Only
addresses that begin with one of the given origins are asked for; anything else is left as it is and leads nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from typing import Any, Final
from urllib.parse import unquote, urljoin

from spork.domain.openapi.document import NotOpenApi
from spork.domain.openapi.walking import DATA, OBJECT, SCHEMA, member_kind
from spork.domain.transforms.pointers import MISSING, find, unescaped

MOST_DOCUMENTS: Final = 50
DEEPEST: Final = 20
_NOT_NAME: Final = re.compile(r"[^A-Za-z0-9._-]")
#: Member -> section of components in which what it refers to is kept; "": written out where it stands.
_HINTS: Final[Mapping[str, str]] = {
    "parameters": "parameters", "responses": "responses", "headers": "headers", "examples": "examples",
    "requestBody": "requestBodies", "requestBodies": "requestBodies", "links": "links", "callbacks": "callbacks",
    "securitySchemes": "securitySchemes", "paths": "", "pathItems": "", "webhooks": "",
}  # fmt: skip

#: Yields addresses, is sent what is there (None: nothing that can be read), returns the whole document.
Bundling = Generator[str, Any, Mapping[str, Any]]


def bundling(root: Mapping[str, Any], address: str, origin: str) -> Bundling:
    """`root` is the document at `address`. Raises NotOpenApi when it asks for too much."""
    work = _Bundle(root, address, origin)
    made = yield from work.copy(root, OBJECT, "", address, 0)
    assert isinstance(made, dict)
    components = made.setdefault("components", {}) if work.added else {}
    for (section, name), node in work.added.items():
        components.setdefault(section, {})[name] = node
    return made


def spread(root: Any) -> bool:
    """Whether anything refers to another document."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            reference = node.get("$ref")
            if isinstance(reference, str) and not reference.startswith("#"):
                return True
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
    return False


class _Bundle:
    def __init__(self, root: Mapping[str, Any], address: str, origin: str) -> None:
        self.added: dict[tuple[str, str], Any] = {}
        self._main = address
        self._origin = origin
        self._documents: dict[str, Any] = {address: root}
        self._names: dict[tuple[str, str], str] = {}
        components = root.get("components")
        self._taken = {
            (str(section), str(name))
            for section, held in (components.items() if isinstance(components, Mapping) else ())
            for name in (held if isinstance(held, Mapping) else ())
        }

    def copy(self, node: Any, kind: int, hint: str, base: str, depth: int) -> Generator[str, Any, Any]:
        """A copy of a part of the document at `base`; `depth` counts references that were followed."""
        if isinstance(node, Mapping):
            reference = node.get("$ref") if kind <= SCHEMA else None
            if isinstance(reference, str) and (base != self._main or not reference.startswith("#")):
                return (yield from self._referred(node, reference, kind, hint, base, depth))
            made: dict[str, Any] = {}
            for name, value in node.items():
                below = hint if kind > DATA else _HINTS.get(name, "schemas")
                made[name] = yield from self.copy(value, member_kind(kind, name, value), below, base, depth)
            return made
        if isinstance(node, list):
            items = []
            for item in node:
                items.append((yield from self.copy(item, kind, hint, base, depth)))
            return items
        return node

    def _referred(
        self, node: Mapping[str, Any], reference: str, kind: int, hint: str, base: str, depth: int
    ) -> Generator[str, Any, Any]:
        if depth >= DEEPEST:
            raise NotOpenApi(f"follows references through more than {DEEPEST} documents")
        address, _, pointer = urljoin(base, reference).partition("#")
        rest = {name: value for name, value in node.items() if name != "$ref"}
        if address == self._main and pointer.startswith("/"):
            return {"$ref": f"#{pointer}", **rest}
        document = yield from self._document(address)
        target = find(document, tuple(unescaped(unquote(token)) for token in pointer.split("/")[1:]))
        if target is None or target is MISSING:
            return dict(node)
        section = "schemas" if kind == SCHEMA else hint
        if not section:
            whole = yield from self.copy(target, kind, hint, address, depth + 1)
            return {**whole, **rest} if isinstance(whole, dict) else whole
        key = (section, f"{address}#{pointer}")
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = self._free(section, address, pointer)
            self.added[section, name] = {}  # stands there for references to itself
            self.added[section, name] = yield from self.copy(target, kind, hint, address, depth + 1)
        return {"$ref": f"#/components/{section}/{name}", **rest}

    def _document(self, address: str) -> Generator[str, Any, Any]:
        if address not in self._documents:
            if not address.startswith(self._origin):
                return None
            if len(self._documents) > MOST_DOCUMENTS:
                raise NotOpenApi(f"is spread over more than {MOST_DOCUMENTS} documents")
            self._documents[address] = yield address
        return self._documents[address]

    def _free(self, section: str, address: str, pointer: str) -> str:
        last = (pointer or address).rstrip("/").rsplit("/", 1)[-1]
        stem = last.rsplit(".", 1)[0] if not pointer else last
        stem = name = _NOT_NAME.sub("_", unquote(stem)) or "part"
        number = 2
        while (section, name) in self._taken:
            name, number = f"{stem}_{number}", number + 1
        self._taken.add((section, name))
        return name
