"""Parts of one upstream's document, carried over into the merged one: references, words, and nothing internal.

What is applied to each part: newer words for 3.0 and older ones for 3.2, references to components by their global names,
anchors with the upstream's prefix, links by the merged document's operation ids; and taken away: `x-internal` parts,
extensions that are not about reading, addresses of targets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote

from spork.domain.openapi.document import METHODS, Document
from spork.domain.openapi.naming import SECTIONS, Key, Names, component
from spork.domain.openapi.publication import LeftOut, UpstreamDocument
from spork.domain.openapi.upgrading import new_words, object_31, schema_31
from spork.domain.openapi.walking import OBJECT, SCHEMA, Finished, copied
from spork.domain.transforms.pointers import unescaped

#: Extensions that are for readers; any other stays inside.
KEPT_EXTENSIONS: Final = frozenset(
    (
        "x-codeSamples",
        "x-code-samples",
        "x-enum-varnames",
        "x-enumNames",
        "x-enumDescriptions",
        "x-displayName",
        "x-sunset",
    )
)
_DEEPEST: Final = 30

#: (method in upper case, path in the document) or an operationId -> the merged document's id; None: not published.
FindOperation = Callable[[object], str | None]


class Carrier:
    """Copies parts of one document. `needed` collects the components that were referred to since it was last emptied."""

    def __init__(self, source: UpstreamDocument, names: Names, version: str, find_operation: FindOperation) -> None:
        self.source = source
        self.needed: set[tuple[str, str]] = set()
        self.lost: dict[tuple[str, str], LeftOut] = {}
        self._document: Document = source.document
        self._names = names
        self._prefix = names.prefixes[source.upstream]
        self._find = find_operation
        spoken = str(self._document.root.get("openapi", ""))
        self._old = spoken.startswith("3.0")
        self._new = not spoken.startswith(("3.0", "3.1")) and version != "3.2"
        self._depth = 0
        self._inner = _inner(source.authorities)
        self._ids = _ids(self._document)
        self._anchors: dict[str, str] | None = None

    def carried(self, node: Any, kind: int = OBJECT) -> Any:
        """A copy of `node` for the merged document; None when it is internal."""
        return copied(node, kind, self._change, self._text)

    def component(self, key: Key) -> Mapping[str, Any]:
        """A component's copy; empty (which allows anything) when it is internal."""
        kind = SCHEMA if key[0] == "schemas" else OBJECT
        node = component(self._document, key)
        made = self.carried(node, kind) if isinstance(node, Mapping) else None
        return made if isinstance(made, dict) else {}

    # ---------------------------------------------------------------------------------------------------------- parts

    def _text(self, text: str) -> str:
        return text if self._inner is None else self._inner.sub("", text)

    def _change(self, node: Mapping[str, Any], kind: int) -> Mapping[str, Any] | None:
        if node.get("x-internal") is True:
            return None
        if kind == SCHEMA:
            node = self._schema(node)
        else:
            if "propertyName" in node and isinstance(node.get("mapping"), Mapping):
                node = self._discriminator(node)
            if "operationId" in node or "operationRef" in node:
                linked = self._linked(node)
                if linked is None:
                    return None
                node = linked
            if self._new:
                for word in new_words(node):
                    self._lose(word, f"`{word}` has no word in 3.1")
                node = object_31(node)
        if any(name.startswith("x-") and name not in KEPT_EXTENSIONS for name in node):
            node = {n: v for n, v in node.items() if not n.startswith("x-") or n in KEPT_EXTENSIONS}
        reference = node.get("$ref")
        return self._referred(node, reference, kind) if isinstance(reference, str) else node

    def _schema(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        if self._old:
            node = schema_31(node)
        made: dict[str, Any] | None = None
        for name in ("$id", "$schema"):
            if name in node:
                made = made or dict(node)
                del made[name]
        for name in ("$anchor", "$dynamicAnchor"):
            if isinstance(node.get(name), str):
                made = made or dict(node)
                made[name] = f"{self._prefix}_{node[name]}"
        dynamic = node.get("$dynamicRef")
        if isinstance(dynamic, str):
            made = made or dict(node)
            made["$dynamicRef"] = self._anchored(dynamic.removeprefix("#")) or "#"
        properties = node.get("properties")
        if isinstance(properties, Mapping):
            inner = [n for n, p in properties.items() if isinstance(p, Mapping) and p.get("x-internal") is True]
            if inner and isinstance(node.get("required"), list):
                made = made or dict(node)
                made["required"] = [name for name in made["required"] if name not in inner]
        return made or node

    def _discriminator(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        mapping: dict[str, Any] = {}
        for value, target in node["mapping"].items():
            text = str(target)
            if "/" not in text and "#" not in text and component(self._document, ("schemas", text)) is not None:
                text = f"#/components/schemas/{text}"
            found = self._reference(text)
            if found is not None:
                mapping[value] = found
        return {**node, "mapping": mapping}

    def _linked(self, node: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """A link or a callback's operation with the merged document's id; None for a link that leads nowhere."""
        if "responses" in node:
            return {**node, "operationId": f"{self._prefix}_{node['operationId']}"} if "operationId" in node else node
        target: object = node.get("operationId")
        if target is None:
            pointer = [unescaped(unquote(t)) for t in str(node["operationRef"]).split("/")]
            if len(pointer) != 4 or pointer[:2] != ["#", "paths"] or pointer[3] not in METHODS:
                return None
            target = (pointer[3].upper(), pointer[2])
        found = self._find(target)
        if found is None:
            return None
        rest = {n: v for n, v in node.items() if n not in ("operationId", "operationRef", "server")}
        return {"operationId": found, **rest}

    def _referred(self, node: Mapping[str, Any], reference: str, kind: int) -> Mapping[str, Any] | None:
        found = self._reference(reference)
        if found is not None:
            return {**node, "$ref": found}
        rest = {name: value for name, value in node.items() if name != "$ref"}
        target = self._document.at(reference)
        if not isinstance(target, Mapping) or not target:
            self._lose(reference, "the reference leads nowhere")
            return rest if rest or kind == SCHEMA else None
        if self._depth >= _DEEPEST:
            self._lose(reference, "a reference to a place that is no component leads back to itself")
            return rest
        self._depth += 1  # a place that is no component is written out where it is referred to
        try:
            whole = self.carried(target, kind)
        finally:
            self._depth -= 1
        return Finished(whole | rest) if isinstance(whole, dict) else None

    def _reference(self, reference: str) -> str | None:
        """The reference in the merged document; None for one that leads to no component."""
        base, _, fragment = reference.partition("#")
        if base:
            pointer = self._ids.get(base)
            if pointer is None:
                return None
            reference = f"#{pointer}{fragment}"
        if not reference.startswith("#/"):
            return self._anchored(reference[1:])
        parts = reference.split("/", 4)
        if len(parts) < 4 or parts[1] != "components" or parts[2] not in SECTIONS:
            return None
        local = unescaped(unquote(parts[3]))
        found = self._names.of(self.source.upstream, (parts[2], local))
        if found is None:
            return None
        self.needed.add((parts[2], found[1]))
        return f"#/components/{parts[2]}/{found[1]}" + (f"/{parts[4]}" if len(parts) > 4 else "")

    def _anchored(self, name: str) -> str | None:
        """The reference to an anchor; whatever component it is in is needed."""
        if self._anchors is None:
            self._anchors = _anchors(self._document)
        held = self._anchors.get(name)
        found = self._names.of(self.source.upstream, ("schemas", held)) if held is not None else None
        if found is None:
            return None
        self.needed.add(("schemas", found[1]))
        return f"#{self._prefix}_{name}"

    def _lose(self, place: str, why: str) -> None:
        self.lost.setdefault((place, why), LeftOut(self.source.upstream, place, why))


def _inner(authorities: tuple[str, ...]) -> re.Pattern[str] | None:
    """Finds addresses of targets: as URLs, and by themselves where they have a port."""
    if not authorities:
        return None
    names = "|".join(re.escape(a) for a in sorted(authorities, key=len, reverse=True))
    bare = [re.escape(a) for a in authorities if ":" in a]
    pattern = rf"(?:https?:)?//(?:{names})(?![\w.:-])"
    if bare:
        pattern += rf"|(?<![\w.-])(?:{'|'.join(bare)})(?!\w)"
    return re.compile(pattern)


def _schemas(document: Document) -> Mapping[str, Any]:
    components = document.root.get("components")
    schemas = components.get("schemas") if isinstance(components, Mapping) else None
    return schemas if isinstance(schemas, Mapping) else {}


def _ids(document: Document) -> dict[str, str]:
    """`$id` of a component -> the pointer to it."""
    found: dict[str, str] = {}
    for name, schema in _schemas(document).items():
        if isinstance(schema, Mapping) and isinstance(schema.get("$id"), str):
            found[schema["$id"].rstrip("#")] = "/components/schemas/" + name.replace("~", "~0").replace("/", "~1")
    return found


def _anchors(document: Document) -> dict[str, str]:
    """Anchor -> the component that it is in."""
    found: dict[str, str] = {}
    for name, schema in _schemas(document).items():

        def note(node: Mapping[str, Any], _kind: int, name: str = name) -> Mapping[str, Any]:
            for word in ("$anchor", "$dynamicAnchor"):
                if isinstance(node.get(word), str):
                    found.setdefault(node[word], name)
            return node

        copied(schema, SCHEMA, note)
    return found
