"""Channels as written: publish and subscribe for browsers and services."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from spork.adapters.yaml.scalars import Duration, Positive, Secret, Size
from spork.adapters.yaml.written.callers import Limit
from spork.adapters.yaml.written.form import Written


class ChannelDemand(Written, frozen=True):
    """Who may do something on a channel: a verified caller with these rights."""

    roles: Annotated[tuple[str, ...], "One of these roles is needed; empty: none."] = ()
    scopes: Annotated[tuple[str, ...], "All of these scopes are needed."] = ()
    claims: Annotated[dict[str, str], "Claims and the text each must be or contain."] = msgspec.field(
        default_factory=dict
    )


class ChannelRule(Written, frozen=True, kw_only=True):
    """Who may use the channels that `match` describes. The first rule that fits a topic holds."""

    match: Annotated[str, "Topics: `{name}` stands for one part, a * at the end for anything."]
    subscribe: Annotated[
        Literal["anonymous"] | ChannelDemand | None,
        "Who hears it: anonymous is everybody, {} any verified caller. Left out: only who has a grant in its token.",
    ] = None
    publish: Annotated[
        Literal["anonymous"] | ChannelDemand | None,
        "Who may publish on it; anonymous is everybody. Left out: only who has a grant in its token.",
    ] = None
    tenant: Annotated[str, "The part of match that must be the caller's tenant; empty: none."] = ""
    owner: Annotated[str, "The part of match that must be the caller's subject or consumer; empty: none."] = ""
    presence: Annotated[bool, "Tell and list who subscribes."] = False


class ChannelHistory(Written, frozen=True):
    """What is kept for subscribers that come back. The tightest bound holds."""

    events: Annotated[Positive, "Events kept."] = 1000
    age: Annotated[Duration, "Age of the oldest."] = 600.0
    bytes: Annotated[Size, "Bytes in each process."] = 64 * 1024 * 1024


class SlowSubscriber(Written, frozen=True):
    """What may wait for a subscriber that reads slower than events come."""

    queue_bytes: Annotated[Size, "Bytes that wait for one connection."] = 1024 * 1024
    events: Annotated[Positive, "Events that wait for one connection."] = 1000
    then: Annotated[
        Literal["drop_connection", "drop_oldest"], "End the connection, which then resumes, or leave out the oldest."
    ] = "drop_connection"


class Pusher(Written, frozen=True, kw_only=True):
    """The Pusher front, protocol 7."""

    path: Annotated[str, "Sockets open at PATH/KEY; clients know no other path than /app."] = "/app"
    app_id: Annotated[str, "Servers publish at /apps/APP_ID/events."] = "spork"
    key: Annotated[str, "What clients show; not secret."]
    secret: Annotated[Secret, "What servers sign with; write it as ${VAR}."]


class PersonalChannel(Written, frozen=True, kw_only=True):
    """A WebSocket that hears its own topic from the beginning."""

    path: Annotated[str, "Where it opens, with the parameters that topic names: /ws/{client_id}."]
    topic: Annotated[str, "The topic it hears: clients/{client_id}."]


class Channels(Written, frozen=True):
    """Publish and subscribe over event streams and WebSockets. See docs/channels.md."""

    mercure: Annotated[str, "Path of the Mercure hub; empty: off."] = "/.well-known/mercure"
    pusher: Annotated[Pusher | None, "The Pusher front; left out: off."] = None
    personal: Annotated[PersonalChannel | None, "Personal sockets; left out: none."] = None
    auth: Annotated[
        tuple[Literal["jwt", "introspection", "api_key", "basic", "mtls", "auth_service", "signature"], ...],
        "Credentials that callers may show; nobody has to, rules say what is open to whom. Empty: jwt where there are issuers,"
        " and api_key.",
    ] = ()
    cookie: Annotated[str, "Cookie with a token, for browsers' EventSource and WebSocket; empty: none."] = (
        "__Secure-mercure_access_token"
    )
    origins: Annotated[
        tuple[str, ...], "Pages of other origins that may subscribe and publish, with cookies; empty: none."
    ] = ()
    rules: Annotated[tuple[ChannelRule, ...], "Who may use which channel; the first that fits holds."] = ()
    history: Annotated[ChannelHistory, "What is kept for subscribers that come back."] = ChannelHistory()
    event_bytes: Annotated[Size, "Largest data of one event; more: 413."] = 64 * 1024
    slow: Annotated[SlowSubscriber, "What may wait for a subscriber that reads too slowly."] = SlowSubscriber()
    heartbeat: Annotated[Duration, "A comment is written into event streams that were silent this long. 0: never."] = (
        15.0
    )
    lifetime: Annotated[Duration, "Longest life of a connection, which then comes back. 0: any."] = 0.0
    legacy: Annotated[bool, "Also take the topic parameter and the mercure claim of hubs before draft 08."] = False
    on_store_error: Annotated[
        Literal["deny", "local"],
        "While the shared store is away: refuse to publish (503), or tell the subscribers of this node only.",
    ] = "deny"
    limits: Annotated[
        tuple[Limit, ...], "Limits of every request to channels; a concurrency limit bounds connections."
    ] = ()
