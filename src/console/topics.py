"""What the gateway publishes: each topic's row type, how a row is keyed, and where it is read without the stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any
from urllib.parse import quote

from application import views


@dataclass(frozen=True, slots=True)
class Topic:
    """One kind of rows. `single` topics have exactly one row, under the key ''. `live` ones come with the stream."""

    name: str
    row: type[Any]
    key: Callable[[Any], str]
    path: str
    live: bool = True
    single: bool = False


_name, _id, _request = attrgetter("name"), attrgetter("id"), attrgetter("request_id")


def _only(row: Any) -> str:
    return ""


def target_key(row: views.TargetView) -> str:
    """upstream/name, as the stream names targets."""
    return f"{row.upstream}/{row.name}"


TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic("pulse", views.PulseView, _only, "", single=True),
        Topic("services", views.ServiceView, _name, "/services"),
        Topic("targets", views.TargetView, target_key, "/targets"),
        Topic("breakers", views.BreakerView, _name, "/breakers"),
        Topic("quotas", views.QuotaView, _id, "/quotas"),
        Topic("routes", views.RouteView, _name, "/routes"),
        Topic("traffic", views.TrafficView, _request, "/traffic"),
        Topic("events", views.EventView, _id, "/events"),
        Topic("config", views.ConfigView, _only, "/config", single=True),
        Topic("limits", views.LimitView, _name, "/limits", live=False),
        Topic("consumers", views.ConsumerView, _name, "/consumers", live=False),
        Topic("keys", views.ApiKeyView, _id, "/keys", live=False),
        Topic("sessions", views.SessionView, _id, "/sessions", live=False),
    )
}

LIVE: tuple[str, ...] = tuple(topic.name for topic in TOPICS.values() if topic.live)
"""Topics that snapshot and stream carry."""

TEXTS = frozenset({"running", "file", "diff_file", "diff_previous", "text"})
"""Fields that hold texts of many lines."""


def segment(text: str) -> str:
    """`text` as one path segment, everything reserved percent-encoded (`/` too)."""
    return quote(text, safe="")
