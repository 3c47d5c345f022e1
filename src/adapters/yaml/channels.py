"""Channels as written, to their settings and to the routes they are reached by."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from spork.adapters.yaml import written
from spork.adapters.yaml.decode import FAILED, Findings
from spork.adapters.yaml.limits import translate_limits
from spork.application.configuration.model import RouteConfig
from spork.domain.channels.history import HistoryBounds
from spork.domain.channels.rules import ChannelRule, Demand
from spork.domain.channels.settings import (
    MERCURE,
    PERSONAL,
    PUSHER,
    PUSHER_API,
    ChannelSettings,
    PusherApp,
    SlowBounds,
)
from spork.domain.identity.authorization import AuthPolicy, CorsPolicy
from spork.domain.routing.table import Match, PathPattern

#: What a publishing request may have beside its data: topics, names, and the encoding of every octet as three.
_AROUND = 64 * 1024


def translate_channels(channels: written.Channels | None) -> ChannelSettings | None:
    """The settings that were written; None where channels are off."""
    if channels is None:
        return None
    pusher = channels.pusher
    personal = channels.personal
    history, slow = channels.history, channels.slow
    return ChannelSettings(
        mercure=channels.mercure,
        pusher=None if pusher is None else PusherApp(pusher.path, pusher.app_id, pusher.key, pusher.secret),
        personal="" if personal is None else personal.path,
        personal_topic="" if personal is None else personal.topic,
        history=HistoryBounds(history.events, history.age, history.bytes),
        event_bytes=channels.event_bytes,
        slow=SlowBounds(slow.queue_bytes, slow.events, slow.then),
        rules=tuple(_rule(rule) for rule in channels.rules if rule is not FAILED),
        origins=tuple(origin.lower() for origin in channels.origins),
        cookie=channels.cookie,
        heartbeat=channels.heartbeat,
        lifetime=channels.lifetime,
        legacy=channels.legacy,
        on_store_error=channels.on_store_error,
    )


def _rule(rule: written.ChannelRule) -> ChannelRule:
    return ChannelRule(
        rule.match, _demand(rule.subscribe), _demand(rule.publish), rule.tenant, rule.owner, rule.presence
    )


def _demand(demand: Any) -> Demand | None:
    if demand is None:
        return None
    if isinstance(demand, str):
        return Demand(anonymous=True)
    policy = AuthPolicy(
        roles=frozenset(demand.roles), scopes=frozenset(demand.scopes), claims=tuple(demand.claims.items())
    )
    return Demand(policy=policy)


def channel_routes(
    channels: written.Channels | None, issuers: Collection[written.Issuer], findings: Findings
) -> tuple[RouteConfig, ...]:
    """The routes that lead to channels."""
    if channels is None:
        return ()
    with_keys = any(each is not FAILED and not each.introspection_url for each in issuers)
    auth = channels.auth or (("jwt", "api_key") if with_keys else ("api_key",))
    wanted: list[tuple[str, str, tuple[str, ...]]] = []
    if channels.mercure:
        wanted.append((MERCURE, f"{channels.mercure}/*", ("GET", "POST")))
    if channels.pusher is not None:
        wanted.append((PUSHER, channels.pusher.path + "/{key}", ("GET",)))
        wanted.append((PUSHER_API, "/apps/{app}/*", ("GET", "POST")))
    if channels.personal is not None:
        wanted.append((PERSONAL, channels.personal.path, ("GET",)))
    limits = translate_limits(channels.limits, "channels.limits", findings, "ip")
    cors = None
    if channels.origins:
        cors = CorsPolicy(
            channels.origins, True, ("GET", "HEAD", "POST"), ("authorization", "content-type", "last-event-id"),
            ("mercure-last-event-id", "link"),
        )  # fmt: skip
    made = []
    for front, path, methods in wanted:
        try:
            pattern = PathPattern.parse(path)
        except ValueError as error:
            findings.add(f"channels.{_KEYS[front]}", str(error).partition("|")[0])
            continue
        made.append(
            RouteConfig(
                name=f"channels-{front.replace('_', '-')}",
                match=Match(pattern, methods=frozenset(methods)),
                auth=AuthPolicy(any_of=(*auth, "anonymous")),
                limits=limits,
                cors=cors,
                body_bytes=3 * channels.event_bytes + _AROUND,
                front=front,
                encoded_slashes=front == MERCURE,
                origin=str(findings.place("channels")),
            )
        )
    return tuple(made)


_KEYS = {MERCURE: "mercure", PUSHER: "pusher.path", PUSHER_API: "pusher", PERSONAL: "personal.path"}
