"""Registered GraphQL documents in files: JSON of ids and texts, Apollo's manifest, or one document a file."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any


class NotAManifest(ValueError):
    """A file is no manifest. str() says which, and what it should have."""


def manifest_files(patterns: Iterable[str]) -> list[str]:
    """The files that `patterns` name, in order, each once. A pattern without a match is not among them."""
    found: dict[str, None] = {}
    for pattern in patterns:
        names = sorted(glob.glob(pattern)) if any(c in pattern for c in "*?[") else [pattern]
        found.update(dict.fromkeys(names))
    return list(found)


def read_manifest(patterns: Iterable[str]) -> dict[str, str]:
    """Texts by id; the digest of the text where a file says no id. Raises NotAManifest, OSError."""
    documents: dict[str, str] = {}
    for name in manifest_files(patterns):
        text = Path(name).read_text(encoding="utf-8")
        entries = _entries(name, text) if name.endswith(".json") else [("", text), ("", text.strip())]
        for given, document in entries:
            key = given or sha256(document.encode()).hexdigest()
            if documents.setdefault(key, document) != document:
                raise NotAManifest(f"{name}: the id {key} has two texts")
    return documents


def _entries(name: str, text: str) -> list[tuple[str, str]]:
    try:
        value: Any = json.loads(text)
    except ValueError as error:
        raise NotAManifest(f"{name}: not JSON: {error}") from error
    pairs: list[tuple[Any, Any]]
    if isinstance(value, dict) and isinstance(value.get("operations"), list):  # Apollo's manifest
        pairs = [(each.get("id"), each.get("body")) for each in value["operations"] if isinstance(each, dict)]
    elif isinstance(value, dict):
        pairs = list(value.items())
    else:
        raise NotAManifest(f"{name}: a manifest is a JSON object of ids and texts")
    found: list[tuple[str, str]] = []
    for given, document in pairs:
        if not isinstance(given, str) or not isinstance(document, str):
            raise NotAManifest(f"{name}: ids and documents are texts")
        found.append((given, document))
    return found
