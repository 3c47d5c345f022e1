"""What a client may say on a socket of the Pusher protocol: subscribe, leave, and speak in private channels."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Mapping
from typing import Any, Final

from spork.application.channels.access import Access
from spork.application.channels.door import Ground
from spork.application.channels.ports import BrokerGone, Member
from spork.application.channels.socket import Joined, PusherSocket
from spork.application.exchange.exchange import Exchange, RoutePlan
from spork.application.kernel.tasks import now_or_later
from spork.domain.channels import pusher
from spork.domain.channels.events import ChannelEvent
from spork.domain.channels.settings import PUSHER, PusherApp
from spork.domain.outcomes import Denial

#: How a member's place begins that is a channel.
PLACE: Final = "channel:"
#: An error after which the connection stays.
UNACCEPTABLE: Final = 4301
_MOST_CHANNELS: Final = 500
_MOST_INFO: Final = 2048


class Talk:
    """What a client may say on its socket."""

    def __init__(self, exchange: Exchange, plan: RoutePlan, ground: Ground) -> None:
        self._exchange = exchange
        self._plan = plan
        self._ground = ground

    async def hear(self, socket: PusherSocket, name: str, message: Mapping[str, Any]) -> None:
        data = message.get("data")
        if name == "pusher:ping":
            socket.say(pusher.message("pusher:pong", {}))
        elif name in ("pusher:subscribe", "pusher:unsubscribe"):
            about = _object(data)
            channel = about.get("channel")
            if not isinstance(channel, str) or not pusher.acceptable(channel):
                socket.say(pusher.error(UNACCEPTABLE, "This is no channel's name."))
            elif name == "pusher:unsubscribe":
                self._ground.hub.unsubscribe(socket, (self._ground.exact(channel),))
                await self.leave(socket, channel)
            else:
                await self._subscribe(socket, channel, about)
        elif name.startswith("client-"):
            await self._speak(socket, name, message.get("channel"), data)
        elif name != "pusher:pong":
            socket.say(pusher.error(UNACCEPTABLE, "This event is not spoken here."))

    # ------------------------------------------------------------------------------------------------------- subscribe

    async def _subscribe(self, socket: PusherSocket, channel: str, about: Mapping[str, Any]) -> None:
        if channel in socket.channels:
            return None
        if len(socket.channels) >= _MOST_CHANNELS:
            return socket.say(pusher.subscription_error(channel, "too many channels on one connection"))
        joined = await self._admitted(socket, channel, about)
        if joined is None:
            self._ground.hub.counts.refuse(socket.front, "subscribe")
            return socket.say(pusher.subscription_error(channel, "not allowed"))
        return await self.join(socket, channel, joined)

    async def join(self, socket: PusherSocket, channel: str, joined: Joined) -> None:
        """Let the socket hear `channel` from now on, and say who is there."""
        hub = self._ground.hub
        answer: Mapping[str, Any] = {}
        member = joined.member
        socket.channels[channel] = joined
        hub.subscribe(socket, (self._ground.exact(channel),))
        if member is not None:
            try:
                first = await now_or_later(hub.broker.enter(member))
                there = await now_or_later(hub.broker.members(member.place))
            except BrokerGone:
                hub.failures += 1
                first, there = False, [member]
            answer = pusher.presence_of([(each.user, each.info) for each in there])
            if first:
                await self._tell(socket, channel, "pusher_internal:member_added", member)
        if channel in socket.channels:
            socket.say(pusher.message("pusher_internal:subscription_succeeded", answer, channel))
            if pusher.is_cache(channel):
                last = hub.broker.newest_on(channel)
                missing = pusher.message("pusher:cache_miss", None, channel)
                socket.say(missing if last is None else last.frame(channel, pusher.event_frame))

    async def leave(self, socket: PusherSocket, channel: str) -> None:
        """It is not there any more."""
        joined = socket.channels.pop(channel, None)
        if joined is None or joined.member is None:
            return
        try:
            if await now_or_later(self._ground.hub.broker.leave(joined.member)):
                await self._tell(socket, channel, "pusher_internal:member_removed", joined.member)
        except BrokerGone:
            self._ground.hub.failures += 1

    async def _tell(self, socket: PusherSocket, channel: str, name: str, member: Member) -> None:
        event = member_news(channel, name, member, self._ground.unix(), socket.id)
        try:
            await now_or_later(self._ground.hub.broker.publish(event))
        except BrokerGone:
            self._ground.hub.broker.publish_here(event)

    async def _admitted(self, socket: PusherSocket, channel: str, about: Mapping[str, Any]) -> Joined | None:
        """As whom the client gets into the channel; None: it does not."""
        auth, shown = about.get("auth") or None, about.get("channel_data")  # clients send "" for public channels
        shown = shown if isinstance(shown, str) else ""
        app = self._ground.settings.pusher
        if isinstance(auth, str) and auth[:7].lower() != "bearer ":
            if app is None or not _signed(app, auth, socket.id, channel, shown):
                return None
            member = None
            if pusher.is_presence(channel):
                member = _member(channel, shown, socket.id)
                if member is None:
                    return None
            return Joined(member, True, pusher.is_private(channel))
        access: Access | None = socket.access
        if isinstance(auth, str):
            access = await self._access_of(auth)
        if access is None or not access.may_subscribe(channel):
            return None
        principal = access.principal
        if pusher.is_private(channel) and principal is None:
            return None
        member = None
        if pusher.is_presence(channel):
            assert principal is not None
            user = principal.consumer or principal.subject
            member = Member(PLACE + channel, user, socket.id, "")
        return Joined(member, access.may_read(channel), pusher.is_private(channel) and access.may_publish(channel))

    async def _access_of(self, auth: str) -> Access | None:
        """What a bearer token opens that was shown in a message: it is judged like one on a request."""
        exchange = self._exchange
        head = exchange.head
        kept = tuple(header for header in head.headers if header[0] != b"authorization")
        shown = type(head)(
            "GET", head.path, None, (*kept, (b"authorization", auth.encode("utf-8", "replace"))), head.scheme, head.host,
            head.version, head.peer, head.peer_port, head.certificate,
        )  # fmt: skip
        again = Exchange(
            shown, exchange.body, exchange.sink, exchange.snapshot, self._ground.monotonic(), self._ground.unix()
        )
        again.plan, again.params, again.client = self._plan, exchange.params, exchange.client
        again.request_id_bytes, again.traceparent = exchange.request_id_bytes, exchange.traceparent
        for guard in self._plan.guards:
            if guard.phase == "credentials":
                asked = guard.admit(again)
                if isinstance(await asked if isinstance(asked, Awaitable) else asked, Denial):
                    return None
        return self._ground.access_or_none(again)

    # ----------------------------------------------------------------------------------------------------------- speak

    async def _speak(self, socket: PusherSocket, name: str, channel: object, data: object) -> None:
        """A client event: told to everybody else in a channel that the client is in."""
        joined = socket.channels.get(channel) if isinstance(channel, str) else None
        if joined is None or not joined.speaks or not isinstance(channel, str):
            self._ground.hub.counts.refuse(socket.front, "publish")
            return socket.say(
                pusher.error(UNACCEPTABLE, "Client events need a private channel that this connection may speak in.")
            )
        if not socket.may_speak_now():
            return socket.say(pusher.error(pusher.CLIENT_EVENTS, "More than 10 client events a second."))
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        if len(text.encode("utf-8", "replace")) > self._ground.settings.event_bytes:
            return socket.say(pusher.error(pusher.CLIENT_EVENTS, "The event is too large."))
        user = joined.member.user if joined.member is not None else ""
        event = ChannelEvent(
            (channel,), text, f"urn:uuid:{self._ground.number()}", self._ground.unix(), name, private=True,
            control=PUSHER, sender=socket.id, user=user,
        )  # fmt: skip
        if not await self._ground.publish(event, PUSHER):
            return socket.say(pusher.error(pusher.OVER_CAPACITY, "Events cannot be published right now."))
        return None


def member_news(channel: str, name: str, member: Member, now: float, sender: str = "") -> ChannelEvent:
    """What a presence channel is told of somebody who came or went."""
    data: dict[str, Any] = {"user_id": member.user}
    if name.endswith("added"):
        data["user_info"] = json.loads(member.info) if member.info else None
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    return ChannelEvent((channel,), text, "", now, name, private=True, control=PUSHER, sender=sender)


def _signed(app: PusherApp, auth: str, socket_id: str, channel: str, data: str) -> bool:
    return pusher.subscription_is_signed(app.key, app.secret, auth, socket_id, channel, data)


def _object(data: object) -> Mapping[str, Any]:
    """The data of a message: an object, or one as text."""
    if isinstance(data, str):
        try:
            data = json.loads(data)
        except (ValueError, RecursionError):
            return {}
    return data if isinstance(data, dict) else {}


def _member(channel: str, shown: str, connection: str) -> Member | None:
    about = _object(shown)
    user = about.get("user_id")
    info = json.dumps(about.get("user_info"), separators=(",", ":"), ensure_ascii=False)
    if not isinstance(user, str | int) or isinstance(user, bool) or not str(user) or len(info) > _MOST_INFO:
        return None
    return Member(PLACE + channel, str(user)[:128], connection, info)
