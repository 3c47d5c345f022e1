"""Checks of channels: patterns, paths, and what is open to more than it looks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from spork.application.configuration.model import Configuration
from spork.application.configuration.problems import Diagnostic
from spork.domain.channels.rules import ChannelRule, expression, part_names
from spork.domain.channels.settings import ChannelSettings


def check_channels(configuration: Configuration) -> Iterator[Diagnostic]:
    channels = configuration.channels
    if channels is None:
        return
    if not channels.mercure and channels.pusher is None and not channels.personal:
        yield Diagnostic("channels", "has no way in", "add mercure: /.well-known/mercure, or pusher:")
    if not channels.rules:
        yield Diagnostic(
            "channels.rules",
            "is empty: only tokens with grants of their own open a channel",
            'add {match: "public/*", subscribe: anonymous}',
            "warning",
        )
    seen: dict[str, int] = {}
    for index, rule in enumerate(channels.rules):
        yield from _check_rule(rule, f"channels.rules[{index}]", seen, index, configuration)
    yield from _check_personal(channels)
    if channels.pusher is not None and len(channels.pusher.secret) < 16:
        yield Diagnostic("channels.pusher.secret", "is shorter than 16 characters", "make one by: openssl rand -hex 24")
    if channels.slow.queue_bytes < channels.event_bytes:
        yield Diagnostic("channels.slow.queue_bytes", "holds not one event of event_bytes", "make it larger")
    for index, origin in enumerate(channels.origins):
        if not re.fullmatch(r"https?://[^/*]+", origin):
            yield Diagnostic(f"channels.origins[{index}]", f"{origin!r} is no origin", "write https://app.example.com")


def _check_rule(
    rule: ChannelRule, path: str, seen: dict[str, int], index: int, configuration: Configuration
) -> Iterator[Diagnostic]:
    try:
        expression(rule.match)
    except ValueError as error:
        yield Diagnostic(f"{path}.match", str(error))
        return
    if rule.match in seen:
        yield Diagnostic(f"{path}.match", f"is that of rules[{seen[rule.match]}], which comes first", "take one away")
    seen.setdefault(rule.match, index)
    for key in ("tenant", "owner"):
        name = getattr(rule, key)
        if name and name not in part_names(rule.match):
            yield Diagnostic(f"{path}.{key}", f"match has no {{{name}}}", f"write match: .../{{{name}}}/...")
    if rule.publish is not None and rule.publish.anonymous:
        yield Diagnostic(f"{path}.publish", "anonymous: whoever reaches the gateway can publish", "", "warning")
    demands = [each for each in (rule.subscribe, rule.publish) if each is not None and not each.anonymous]
    if demands and not configuration.issuers and not configuration.consumers and not configuration.auth_service:
        yield Diagnostic(path, "asks for verified callers, and nobody can be one yet", "add issuers:", "warning")


def _check_personal(channels: ChannelSettings) -> Iterator[Diagnostic]:
    if not channels.personal:
        return
    given = set(re.findall(r"\{([^{}]*)\}", channels.personal))
    asked = set(re.findall(r"\{([^{}]*)\}", channels.personal_topic))
    if not asked or not asked <= given or "{" in re.sub(r"\{[A-Za-z_]\w*\}", "", channels.personal_topic):
        yield Diagnostic(
            "channels.personal.topic",
            "names no parameter of the path, or one that it does not have",
            "write path: /ws/{client_id} and topic: clients/{client_id}",
        )
