"""What belongs to a row elsewhere: from a request to its route, service, target, breaker, consumer and trace, and on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from spork.console.gateway.topics import TOPICS, target_key
from spork.console.pictures.details import DETAIL_OF
from spork.console.session.store import Store


@dataclass(frozen=True, slots=True)
class Link:
    """`place` and `key` as the screens name them; for a list, `filter` is what it is narrowed to. A link with a `url`
    leads out of the console."""

    label: str
    place: str
    key: str = ""
    filter: str = ""
    url: str = ""


Links = Iterator[Link]


def links(store: Store, topic: str, row: Any) -> list[Link]:
    """Where one may jump from a row, nearest first, each place once."""
    make = _LINKS.get(topic)
    found: dict[tuple[str, str, str], Link] = {}
    for link in make(store, row) if make is not None else ():
        found.setdefault((link.place + link.url, link.key, link.filter), link)
    return list(found.values())


def _service(store: Store, name: str | None) -> Links:
    if name and store.row("services", name) is not None:
        yield Link(f"service {name}", "service", name)


def _route(store: Store, name: str | None) -> Links:
    if name and store.row("routes", name) is not None:
        yield Link(f"route {name}", "route", name)


def _target(store: Store, upstream: str | None, name: str | None) -> Links:
    key = f"{upstream}/{name}"
    if name and store.row("targets", key) is not None:
        yield Link(f"target {key}", "target", key)


def _breaker(store: Store, upstream: str | None, target: str | None = None) -> Links:
    """The circuit of a target if it has one, else that of its service."""
    for key in (f"{upstream}/{target}" if target else "", upstream or ""):
        if key and store.row("breakers", key) is not None:
            yield Link(f"breaker {key}", "breaker", key)
            return


def _caller(store: Store, name: str | None, client: str = "") -> Links:
    if name:
        yield Link(f"consumer {name}", "consumer", name)
        yield Link(f"quotas of {name}", "quotas", filter=name)
    elif client:
        yield Link(f"quotas of {client}", "quotas", filter=client)


def _of_request(store: Store, row: Any) -> Links:
    yield from _route(store, row.route)
    yield from _service(store, row.upstream)
    yield from _target(store, row.upstream, row.target)
    yield from _breaker(store, row.upstream, row.target)
    yield from _caller(store, row.subject, row.client)
    if row.reason:
        yield Link(f"requests refused as {row.reason}", "traffic", filter=f"reason:{row.reason}")
    if row.trace_url:
        yield Link("its trace", "", url=row.trace_url)


def _of_service(store: Store, row: Any) -> Links:
    yield from _breaker(store, row.name)
    for circuit in store.rows("breakers"):
        if circuit.name.startswith(row.name + "/") and circuit.state != "closed":
            yield Link(f"breaker {circuit.name}", "breaker", circuit.name)
    for name in row.routes:
        yield from _route(store, name)
    yield Link("its requests", "traffic", filter=f"service:{row.name}")
    yield Link("its events", "events", filter=row.name)
    yield Link("its audit", "audit", filter=row.name)


def _of_target(store: Store, row: Any) -> Links:
    yield from _service(store, row.upstream)
    yield from _breaker(store, row.upstream, row.name)
    yield Link("its requests", "traffic", filter=f"service:{row.upstream} target:{row.name}")
    yield Link("its events", "events", filter=target_key(row))


def _of_breaker(store: Store, row: Any) -> Links:
    upstream, _, target = row.name.partition("/")
    yield from _service(store, upstream)
    yield from _target(store, upstream, target)
    for name in row.routes:
        yield from _route(store, name)
    yield Link("its requests", "traffic", filter=f"service:{upstream}")
    yield Link("its events", "events", filter=row.name)


def _of_route(store: Store, row: Any) -> Links:
    yield from _service(store, row.upstream)
    yield from _breaker(store, row.upstream)
    yield Link("its requests", "traffic", filter=f"route:{row.name}")
    if row.limits:
        yield Link(f"limits {', '.join(row.limits)}", "limits", filter="|".join(row.limits))
    yield Link("its connections", "connections", filter=f"route:{row.name}")
    yield Link("its usage", "usage", filter=f"route:{row.name}")


def _of_quota(store: Store, row: Any) -> Links:
    if row.owner or row.kind == "key":
        yield from _caller(store, row.owner)
    yield Link(f"limit {row.limit}", "limits", filter=f"limit:{row.limit}")
    who = "client" if row.kind == "ip" else "subject"
    yield Link("its requests", "traffic", filter=f"{who}:{row.subject}")


def _of_consumer(store: Store, row: Any) -> Links:
    yield Link("its keys", "keys", filter=f"consumer:{row.name}")
    yield Link("its quotas", "quotas", filter=row.name)
    yield Link("its requests", "traffic", filter=f"subject:{row.name}")
    yield Link("its usage", "usage", filter=f"consumer:{row.name}")
    yield Link("its connections", "connections", filter=f"consumer:{row.name}")


def _of_key(store: Store, row: Any) -> Links:
    yield from _caller(store, row.consumer)
    yield Link("its audit", "audit", filter=row.id)


def _of_event(store: Store, row: Any) -> Links:
    yield from objects(store, row.object)
    if row.audit_id:
        yield Link("its audit record", "audit", filter=row.audit_id)
    yield Link(f"events of {row.object}", "events", filter=row.object)


def _of_audit(store: Store, row: Any) -> Links:
    yield from objects(store, row.object)
    yield Link(f"audit of {row.object}", "audit", filter=row.object)
    if row.actor:
        yield Link(f"what {row.actor} did", "audit", filter=f"actor:{row.actor}")


def _of_concern(store: Store, row: Any) -> Links:
    if row.place:
        yield Link(f"{row.kind} {row.object}", row.place, row.key)
    yield from objects(store, row.object)
    yield Link(f"events of {row.object}", "events", filter=row.object)


def _of_connection(store: Store, row: Any) -> Links:
    yield from _route(store, row.route)
    yield from _caller(store, row.consumer or row.subject, row.client)


def _of_objective(store: Store, row: Any) -> Links:
    yield from _route(store, row.route)
    if row.consumer:
        yield from _caller(store, row.consumer)


def _of_usage(store: Store, row: Any) -> Links:
    yield from _route(store, row.route)
    yield from _caller(store, row.consumer)


def _of_limit(store: Store, row: Any) -> Links:
    yield Link("its windows", "quotas", filter=f"limit:{row.name}")
    for name in row.routes:
        yield from _route(store, name)


def _of_session(store: Store, row: Any) -> Links:
    yield Link("its requests", "traffic", filter=f"subject:{row.subject}")
    yield Link("its quotas", "quotas", filter=row.subject)


def _of_node(store: Store, row: Any) -> Links:
    yield Link("parts of the gateway that answers", "components")
    yield Link("its events", "events", filter=f"node:{row.name}")


def _of_version(store: Store, row: Any) -> Links:
    yield Link(f"routes of {row.api}", "routes", filter=row.api)
    for caller in row.consumers[:5]:
        yield from _caller(store, caller.name)


def _of_cache(store: Store, row: Any) -> Links:
    yield from _route(store, row.route)
    yield Link("its requests", "traffic", filter=f"route:{row.route}")


def _of_channel(store: Store, row: Any) -> Links:
    yield Link("live connections of channels", "connections", filter="kind:channel")


def _of_document(store: Store, row: Any) -> Links:
    yield from _service(store, row.upstream)
    yield Link("its events", "events", filter=row.upstream)


_LINKS: dict[str, Callable[[Store, Any], Links]] = {
    "traffic": _of_request,
    "services": _of_service,
    "targets": _of_target,
    "breakers": _of_breaker,
    "routes": _of_route,
    "quotas": _of_quota,
    "consumers": _of_consumer,
    "keys": _of_key,
    "events": _of_event,
    "audit": _of_audit,
    "concerns": _of_concern,
    "connections": _of_connection,
    "objectives": _of_objective,
    "usage": _of_usage,
    "limits": _of_limit,
    "sessions": _of_session,
    "nodes": _of_node,
    "versions": _of_version,
    "cache": _of_cache,
    "channels": _of_channel,
    "documents": _of_document,
}

NAMED = ("services", "breakers", "targets", "routes", "consumers")


def objects(store: Store, name: str) -> Links:
    """Everything called exactly so."""
    for topic in NAMED:
        if store.row(topic, name) is not None:
            place = DETAIL_OF[topic]
            yield Link(f"{place} {name}", place, name)


def search(store: Store, text: str, most: int = 40) -> list[Link]:
    """Objects whose name has `text` in it, and requests by their ids: for the palette. Names that begin with it first."""
    wanted = text.strip().lower()
    if not wanted:
        return []
    found: list[tuple[bool, str, Link]] = []
    for topic in (*NAMED, "quotas", "keys", "connections"):
        for row in store.rows(topic):
            name = str(getattr(row, "subject", "") if topic == "quotas" else TOPICS[topic].key(row))
            if wanted in name.lower():
                place = DETAIL_OF.get(topic, "")
                link = (
                    Link(f"{place} {name}", place, TOPICS[topic].key(row))
                    if place
                    else Link(f"{topic.removesuffix('s')} {name}", topic, filter=name)
                )
                found.append((not name.lower().startswith(wanted), link.label, link))
    for request in store.rows("traffic"):
        if wanted in (request.request_id.lower(), request.trace_id.lower()) or (
            len(wanted) >= 6 and request.request_id.lower().startswith(wanted)
        ):
            found.append(
                (False, "", Link(f"request {request.request_id} {request.path}"[:80], "request", request.request_id))
            )
    found.sort(key=lambda each: each[:2])
    return [link for _, _, link in found[:most]]
