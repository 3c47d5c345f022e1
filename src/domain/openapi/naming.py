"""Names of components in a merged document: by content, so that a new upstream renames nothing.

A component is called after its upstream, `Orders_Order`. One that says the same as a component of an earlier upstream
(the same local name, and the same for everything it refers to) is that one. Upstreams are in their declared order.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from spork.domain.openapi.document import Document
from spork.domain.openapi.publication import UpstreamDocument
from spork.domain.transforms.pointers import unescaped

SECTIONS: Final = (
    "schemas",
    "responses",
    "parameters",
    "examples",
    "requestBodies",
    "headers",
    "links",
    "callbacks",
    "pathItems",
)
Key = tuple[str, str]  # section, local name
_REFERENCE: Final = re.compile(r'"#/components/([A-Za-z]+)/([^"/]+)')
_WORD: Final = re.compile(r"[A-Za-z0-9]+")
_NOT_NAME: Final = re.compile(r"[^A-Za-z0-9._-]")


def prefix_of(upstream: str) -> str:
    """`billing-api` is BillingApi."""
    return "".join(word[:1].upper() + word[1:] for word in _WORD.findall(upstream)) or "Api"


def component(document: Document, key: Key) -> Any:
    """The component as it stands in its document; None when it does not."""
    components = document.root.get("components")
    section = components.get(key[0]) if isinstance(components, Mapping) else None
    return section.get(key[1]) if isinstance(section, Mapping) else None


class Names:
    """The global name of every component, and which upstream's copy is the one that is kept."""

    def __init__(self, sources: Sequence[UpstreamDocument]) -> None:
        self._sources = sources
        self.prefixes: dict[str, str] = {}
        self._global: dict[tuple[str, Key], tuple[str, str]] = {}
        self._kept: dict[Key, tuple[str, Key]] = {}
        taken: set[str] = set()
        for source in sources:
            stem = name = prefix_of(source.upstream)
            number = 2
            while name in taken:
                name, number = f"{stem}{number}", number + 1
            taken.add(name)
            self.prefixes[source.upstream] = name

    def assign(self) -> Iterator[None]:
        """Name everything, one document a step."""
        owners: dict[str, tuple[str, str]] = {}
        taken: set[Key] = set()
        for source in self._sources:
            own = _digests(source.document)
            for key in own:
                digest = _whole(key, own)
                found = owners.get(digest)
                if found is None:
                    stem = name = f"{self.prefixes[source.upstream]}_{_NOT_NAME.sub('_', key[1])}"
                    number = 2
                    while (key[0], name) in taken:
                        name, number = f"{stem}_{number}", number + 1
                    taken.add((key[0], name))
                    found = owners[digest] = (source.upstream, name)
                    self._kept[key[0], name] = (source.upstream, key)
                self._global[source.upstream, key] = found
            yield

    def of(self, upstream: str, key: Key) -> tuple[str, str] | None:
        """(upstream whose copy is kept, global name); None for what does not exist."""
        return self._global.get((upstream, key))

    def kept(self) -> Mapping[Key, tuple[str, Key]]:
        """(section, global name) -> the upstream whose copy it is, and what it is called there."""
        return self._kept


def _digests(document: Document) -> dict[Key, tuple[str, frozenset[Key]]]:
    """Each component's own digest, and what it refers to."""
    found: dict[Key, tuple[str, frozenset[Key]]] = {}
    components = document.root.get("components")
    old = str(document.root.get("openapi", "")).startswith("3.0")
    for section in SECTIONS:
        held = components.get(section) if isinstance(components, Mapping) else None
        for name, node in held.items() if isinstance(held, Mapping) else ():
            text = json.dumps(node, sort_keys=True, default=str)
            refers = frozenset((kind, unescaped(target)) for kind, target in _REFERENCE.findall(text))
            digest = hashlib.sha256(f"{old}{section}/{name}\n{text}".encode("utf-8", "surrogatepass")).hexdigest()
            found[section, str(name)] = (digest, refers)
    return found


def _whole(key: Key, own: Mapping[Key, tuple[str, frozenset[Key]]]) -> str:
    """The digest of a component with all that it refers to."""
    seen = {key}
    waiting = [key]
    while waiting:
        for further in own[waiting.pop()][1]:
            if further in own and further not in seen:
                seen.add(further)
                waiting.append(further)
    if len(seen) == 1:
        return own[key][0]
    rest = "".join(sorted(own[each][0] for each in seen))
    return hashlib.sha256((own[key][0] + rest).encode("ascii")).hexdigest()
