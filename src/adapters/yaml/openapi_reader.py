"""Implements `DocumentReader`: documents of upstreams, JSON or YAML."""

from __future__ import annotations

from spork.adapters.yaml.openapi_document import parse_any, parse_openapi
from spork.domain.openapi.document import Document


class YamlDocuments:
    """Reads with the bounds of `openapi_document`. Both raise NotOpenApi."""

    def document(self, raw: bytes) -> Document:
        return parse_openapi(raw)

    def part(self, raw: bytes) -> object:
        return parse_any(raw)
