"""What the gateway publishes: each topic's row type, how a row is keyed, and where it is read without the stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from spork.application.views import TargetView


@dataclass(frozen=True, slots=True)
class Topic:
    """One kind of rows. `single` topics have exactly one row, under the key ''. `live` ones come with the stream.

    `view` names the row's type in `spork.application.views`, which is imported when the first row is read: the first picture
    need not wait for it.
    """

    name: str
    view: str
    key: Callable[[Any], str]
    path: str
    live: bool = True
    single: bool = False
    named_only: bool = False
    """The stream only says that it changed; what it is now is read. It grows old by itself, ticks or not."""
    params: tuple[tuple[str, str | int], ...] = ()
    """What its own call is always asked with."""

    @property
    def ticking(self) -> bool:
        """Does the stream's beat say that the rows are still right?"""
        return self.live and not self.named_only

    @property
    def row(self) -> type[Any]:
        """The rows' type."""
        from spork.application import views

        if self.view in ("UsageRow", "CacheRow", "ChannelRow"):
            from spork.console.gateway import own_rows

            return getattr(own_rows, self.view)  # type: ignore[no-any-return]
        return getattr(views, self.view)  # type: ignore[no-any-return]


_name, _id, _request = attrgetter("name"), attrgetter("id"), attrgetter("request_id")


def _only(row: Any) -> str:
    return ""


def target_key(row: TargetView) -> str:
    """upstream/name, as the stream names targets."""
    return f"{row.upstream}/{row.name}"


TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic("pulse", "PulseView", _only, "", single=True),
        Topic("services", "ServiceView", _name, "/services"),
        Topic("targets", "TargetView", target_key, "/targets"),
        Topic("breakers", "BreakerView", _name, "/breakers"),
        Topic("quotas", "QuotaView", _id, "/quotas"),
        Topic("routes", "RouteView", _name, "/routes"),
        Topic("traffic", "TrafficView", _request, "/traffic"),
        Topic("events", "EventView", _id, "/events"),
        Topic("config", "ConfigView", _only, "/config", single=True, named_only=True),
        Topic("concerns", "ConcernView", _id, "/concerns"),
        Topic("nodes", "NodeView", _name, "/nodes", live=False),
        Topic("components", "ComponentHealth", _name, "/components", live=False),
        Topic("objectives", "ObjectiveView", _name, "/objectives", live=False),
        Topic("audit", "AuditView", _id, "/audit", live=False, params=(("last", 500),)),
        Topic("usage", "UsageRow", lambda r: f"{r.hour} {r.consumer} {r.route}", "/usage", live=False),
        Topic("connections", "ConnectionView", _id, "/connections", live=False),
        Topic("cache", "CacheRow", lambda r: str(r.route), "/cache", live=False),
        Topic("versions", "VersionView", lambda r: f"{r.api} {r.version}", "/versions", live=False),
        Topic("channels", "ChannelRow", lambda r: f"{r.type} {r.match}", "/channels", live=False),
        Topic("documents", "OpenApiDocumentView", lambda r: str(r.upstream), "/openapi/report", live=False),
        Topic("history", "HistoryView", lambda r: f"{r.kind} {r.name}", "/history", live=False),
        Topic("limits", "LimitView", _name, "/limits", live=False),
        Topic("consumers", "ConsumerView", _name, "/consumers", live=False),
        Topic("keys", "ApiKeyView", _id, "/keys", live=False),
        Topic("sessions", "SessionView", _id, "/sessions", live=False),
    )
}

LIVE: tuple[str, ...] = tuple(topic.name for topic in TOPICS.values() if topic.live)
"""Topics that snapshot and stream carry."""

TEXTS = frozenset({"running", "file", "diff_file", "diff_previous", "text"})
"""Fields that hold texts of many lines."""


def segment(text: str) -> str:
    """`text` as one path segment, everything reserved percent-encoded (`/` too)."""
    return quote(text, safe="")
