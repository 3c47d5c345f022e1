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


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """A topic that subscribers of one node listen to, beside what all channels of that node did. `broker` is memory, redis or
    away."""

    match: str
    type: str
    subscribers: int
    node: str = ""
    broker: str = "memory"
    published: int = 0
    deliveries: int = 0
    slow: int = 0


def channel_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each topic out of the one answer about channels."""
    shared = {name: document[name] for name in ("node", "broker", "deliveries", "slow") if name in document}
    published = document.get("published")
    if isinstance(published, dict):
        shared["published"] = sum(value for value in published.values() if isinstance(value, int))
    topics = document.get("topics")
    return [{**topic, **shared} for topic in topics if isinstance(topic, dict)] if isinstance(topics, list) else []


def document_rows(document: Mapping[str, Any]) -> list[Any]:
    """The documents of upstreams out of the report about them."""
    found = document.get("documents")
    return found if isinstance(found, list) else []
