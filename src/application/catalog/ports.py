"""What the catalog asks of the world: bytes of documents, and their meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from spork.domain.openapi.document import Document

#: Largest document, its parts included, bytes.
MOST_BYTES = 10 * 1024 * 1024


class Unfetched(Exception):
    """A document could not be had; the text says why, in half a sentence without addresses."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What is there. `body` None: it is still what `etag` names."""

    body: bytes | None
    etag: str = ""


class DocumentFetcher(Protocol):
    """Gets documents of upstreams."""

    async def fetch(self, upstream: str, path: str, etag: str = "") -> Fetched:
        """Ask a target of the upstream, conditionally if `etag` is given. Raises Unfetched."""


class DocumentReader(Protocol):
    """Reads documents, JSON or YAML. Both raise NotOpenApi."""

    def document(self, raw: bytes) -> Document: ...

    def part(self, raw: bytes) -> object:
        """Any JSON or YAML, for documents that others refer to."""
