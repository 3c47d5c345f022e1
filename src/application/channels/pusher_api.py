"""The HTTP API of the Pusher front, for servers: publish events, and ask which channels are occupied and by whom.

A request is signed with the application's secret, or shows a credential of the gateway's whose caller the rules let publish.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from spork.application.channels.access import Access
from spork.application.channels.door import (
    NO_SUCH,
    NOT_ENOUGH,
    TOO_LARGE,
    UNAUTHENTICATED,
    UNAVAILABLE,
    Door,
    Ground,
    bad_request,
    local,
)
from spork.application.channels.mercure import whole_body
from spork.application.channels.ports import BrokerGone, Member
from spork.application.channels.talk import PLACE
from spork.application.exchange.exchange import Exchange
from spork.application.kernel.tasks import now_or_later
from spork.domain.channels import pusher
from spork.domain.channels.events import ChannelEvent
from spork.domain.channels.grants import BadGrants
from spork.domain.channels.settings import PUSHER
from spork.domain.channels.topics import BadTopic, check_text
from spork.domain.outcomes import Denial, LocalResponse

_MOST_CHANNELS: Final = 100
_MOST_BATCH: Final = 10
_NOT_GOOD: Final = Denial("invalid_credentials", "The signature is not good.")


class PusherApi:
    """Serves `/apps/ID/...`."""

    async def serve(self, door: Door, exchange: Exchange, ground: Ground) -> None:
        """Answer one request of a server."""
        try:
            verdict = await self._answer(exchange, ground)
        except BadTopic as error:
            verdict = bad_request(str(error))
        except BrokerGone:
            ground.hub.failures += 1
            verdict = UNAVAILABLE
        door.answer_verdict(exchange, verdict)

    async def _answer(self, exchange: Exchange, ground: Ground) -> Denial | LocalResponse:
        head = exchange.head
        app = ground.settings.pusher
        if app is None or exchange.params.get("app") != app.app_id:
            return NO_SUCH
        body = await whole_body(exchange)
        query = parse_qsl((head.query or b"").decode("ascii", "replace"), keep_blank_values=True)
        access: Access | None = None
        if any(name == "auth_signature" for name, _ in query):
            path = head.path.decode("ascii", "replace")
            if pusher.request_fault(app.secret, app.key, head.method, path, query, body, ground.unix()):
                return _NOT_GOOD
        else:
            try:
                access = ground.access(exchange)
            except BadGrants:
                return _NOT_GOOD
            if access.principal is None:
                return UNAUTHENTICATED
        steps = head.path.decode("ascii", "replace").split("/")[3:]
        if head.method == "POST" and steps == ["events"]:
            return await self._publish([_object(body)], access, ground)
        if head.method == "POST" and steps == ["batch_events"]:
            batch = _object(body).get("batch")
            if not isinstance(batch, list) or not 0 < len(batch) <= _MOST_BATCH:
                raise BadTopic(f"batch is a list of up to {_MOST_BATCH} events")
            return await self._publish([each if isinstance(each, dict) else {} for each in batch], access, ground)
        if head.method in ("GET", "HEAD") and steps[:1] == ["channels"]:
            return await self._channels(steps[1:], dict(query), access, ground)
        return NO_SUCH

    # --------------------------------------------------------------------------------------------------------- publish

    async def _publish(
        self, written: list[Mapping[str, Any]], access: Access | None, ground: Ground
    ) -> Denial | LocalResponse:
        events = [_event(each, ground) for each in written]
        for event in events:
            if len(event.data.encode("utf-8", "replace")) > ground.settings.event_bytes:
                return TOO_LARGE
            if access is not None and not all(access.may_publish(topic) for topic in event.topics):
                ground.hub.counts.refuse(PUSHER, "publish")
                return NOT_ENOUGH
        for event in events:
            if not await ground.publish(event, PUSHER):
                return UNAVAILABLE
        return local("channel", 200, b"application/json", b"{}")

    # --------------------------------------------------------------------------------------------------------- channels

    async def _channels(
        self, steps: list[str], query: Mapping[str, str], access: Access | None, ground: Ground
    ) -> Denial | LocalResponse:
        broker = ground.hub.broker
        if not steps:
            prefix = query.get("filter_by_prefix", "")
            wants = query.get("info", "").split(",")
            there = await now_or_later(broker.everybody(PLACE + prefix))
            found: dict[str, dict[str, int]] = {}
            here = {topic for kind, topic, _ in ground.hub.topics() if kind == "exact" and topic.startswith(prefix)}
            for name in sorted(here | {each.place[len(PLACE) :] for each in there}):
                if access is None or access.may_publish(name):
                    users = _users([each for each in there if each.place == PLACE + name])
                    found[name] = {"user_count": len(users)} if "user_count" in wants else {}
            return _json({"channels": found})
        channel = steps[0]
        if not pusher.acceptable(channel):
            raise BadTopic("this is no channel's name")
        if access is not None and not access.may_publish(channel):
            return NOT_ENOUGH
        members = await now_or_later(broker.members(PLACE + channel))
        if steps[1:] == ["users"]:
            if not pusher.is_presence(channel):
                raise BadTopic("only presence channels have users")
            return _json({"users": [{"id": user} for user in _users(members)]})
        if steps[1:]:
            return NO_SUCH
        count = ground.hub.count_on(channel)
        about: dict[str, Any] = {"occupied": bool(members) or count > 0}
        wants = query.get("info", "").split(",")
        if "user_count" in wants and pusher.is_presence(channel):
            about["user_count"] = len(_users(members))
        if "subscription_count" in wants:
            about["subscription_count"] = count
        return _json(about)


def _users(members: Any) -> list[str]:
    found: dict[str, None] = {}
    for each in members:
        assert isinstance(each, Member)
        found[each.user] = None
    return list(found)


def _json(value: object) -> LocalResponse:
    return local("channel", 200, b"application/json", json.dumps(value, separators=(",", ":")).encode())


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadTopic("the body is no JSON") from error
    if not isinstance(value, dict):
        raise BadTopic("the body is no JSON object")
    return value


def _event(written: Mapping[str, Any], ground: Ground) -> ChannelEvent:
    """The event that a server wrote. Raises BadTopic."""
    name, data, socket = written.get("name"), written.get("data", ""), written.get("socket_id")
    listed = written.get("channels")
    channels = listed if isinstance(listed, list) else [written.get("channel")]
    if not 0 < len(channels) <= _MOST_CHANNELS or not all(pusher.acceptable(each) for each in channels):
        raise BadTopic(f"channels are up to {_MOST_CHANNELS} names of channels")
    if not isinstance(name, str) or not 0 < len(name) <= 200 or name.startswith("pusher") or name == "mercure":
        raise BadTopic("an event needs a name that is not reserved")
    check_text(name, "the name")
    if not isinstance(data, str):
        data = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    if socket is not None and not pusher.is_socket_id(socket):
        raise BadTopic("socket_id is no id of a socket")
    names = tuple(dict.fromkeys(str(each) for each in channels))
    private = any(pusher.is_private(each) for each in names)
    return ChannelEvent(
        names, data, f"urn:uuid:{ground.number()}", ground.unix(), name, private=private, sender=socket or ""
    )
