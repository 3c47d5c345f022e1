"""Rows that are the console's own arrangement of what the gateway answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class UsageRow:
    """A row of usage; its own type belongs to the gateway, not to the views. `hour` is Unix time divided by 3600."""

    hour: int
    consumer: str
    route: str
    requests: int = 0
    errors: int = 0
    refused: int = 0
    units: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class CacheRow:
    """What the response cache does for one route, beside what the whole of it holds. `hit_ratio` 0..1."""

    route: str
    requests: dict[str, int]
    hit_ratio: float | None
    node: str = ""
    entries: int = 0
    bytes: int = 0
    memory: int = 0
    second_level: str = "none"
    purges: int = 0


def cache_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each cached route out of the one answer about the cache."""
    shared = {
        name: document[name]
        for name in ("node", "entries", "bytes", "memory", "second_level", "purges")
        if name in document
    }
    routes = document.get("routes")
    return [{**route, **shared} for route in routes if isinstance(route, dict)] if isinstance(routes, list) else []
