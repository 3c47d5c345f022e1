"""The Pusher front: sockets of clients, who subscribe to channels, are present in them and may speak in them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from spork.application.channels.access import Access
from spork.application.channels.door import (
    BAD_TOKEN,
    NO_SUCH,
    NOT_ENOUGH,
    UNAUTHENTICATED,
    Door,
    Ground,
    bad_request,
)
from spork.application.channels.ports import Member
from spork.application.channels.socket import CODES, Joined, PusherSocket
from spork.application.channels.talk import PLACE, Talk
from spork.application.exchange.exchange import Exchange, RoutePlan
from spork.application.live.registry import CHANNEL
from spork.domain.channels import pusher
from spork.domain.channels.grants import BadGrants
from spork.domain.channels.settings import PERSONAL
from spork.domain.http.head import Header
from spork.domain.http.websocket_messages import accept_of
from spork.domain.outcomes import ANSWERED


class PusherFront:
    """Serves sockets of `GET /app/KEY`, and personal ones. Implements `socket.Conversation`."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def socket_id(self) -> str:
        return f"{self._chance.randrange(1, 1 << 48)}.{self._chance.randrange(1, 1 << 48)}"

    async def serve(self, door: Door, exchange: Exchange, plan: RoutePlan, ground: Ground) -> None:
        """A client's socket from its handshake to its end."""
        app = ground.settings.pusher
        if app is None or exchange.params.get("key") != app.key:
            return door.answer_verdict(exchange, NO_SUCH)
        access = self.opened(door, exchange, ground)
        if access is None:
            return None
        socket = PusherSocket(self.socket_id(), exchange.sink.tunnel(), access, ground)
        hello = {"socket_id": socket.id, "activity_timeout": pusher.ACTIVITY_TIMEOUT}
        socket.say(pusher.message("pusher:connection_established", hello))
        return await self.hold(exchange, plan, socket)

    def opened(self, door: Door, exchange: Exchange, ground: Ground) -> Access | None:
        """Answer the handshake; None where it was refused."""
        head = exchange.head
        key = head.header(b"sec-websocket-key")
        if not head.upgrade or key is None:
            door.answer_verdict(exchange, bad_request("This address is for WebSockets."))
            return None
        try:
            access = ground.access(exchange)
        except BadGrants:
            door.answer_verdict(exchange, BAD_TOKEN)
            return None
        headers: list[Header] = [(b"sec-websocket-accept", accept_of(key))]
        if exchange.subprotocol:
            headers.append((b"sec-websocket-protocol", exchange.subprotocol))
        door.begin(exchange, 101, headers)
        exchange.outcome = ANSWERED[101]
        return access

    async def hold(
        self, exchange: Exchange, plan: RoutePlan, socket: PusherSocket, at_once: Sequence[tuple[str, Joined]] = ()
    ) -> None:
        """The socket until it ends. It is in the channels `at_once` from its beginning."""
        ground = socket.ground
        talk = Talk(exchange, plan, ground)
        entry = ground.live.enter(
            CHANNEL, plan.name, exchange.client, exchange.principal, socket.end, ground.settings.lifetime
        )
        ground.hub.subscribe(socket, ())
        try:
            for channel, joined in at_once:
                await talk.join(socket, channel, joined)
            await socket.run(talk)
        finally:
            ground.live.leave(entry)
            ground.hub.unsubscribe(socket)
            for channel in list(socket.channels):
                await talk.leave(socket, channel)
            if socket.ending is not None:
                exchange.reason = socket.ending.reason
        return

    async def serve_personal(self, door: Door, exchange: Exchange, plan: RoutePlan, ground: Ground) -> None:
        """A socket that hears its own topic from the beginning, where others see it: `/ws/{client_id}`."""
        settings = ground.settings
        topic = settings.personal_topic.format(**exchange.params)
        try:
            access = ground.access(exchange)
        except BadGrants:
            return door.answer_verdict(exchange, BAD_TOKEN)
        if not access.may_subscribe(topic):
            ground.hub.counts.refuse(PERSONAL, "subscribe")
            return door.answer_verdict(exchange, UNAUTHENTICATED if exchange.principal is None else NOT_ENOUGH)
        if self.opened(door, exchange, ground) is None:
            return None
        socket = PusherSocket(self.socket_id(), exchange.sink.tunnel(), access, ground, PERSONAL, CODES)
        hello = {"socket_id": socket.id, "activity_timeout": pusher.ACTIVITY_TIMEOUT}
        socket.say(pusher.message("pusher:connection_established", hello))
        member = None
        if ground.rules.presence(topic):
            principal = exchange.principal
            user = "" if principal is None else principal.consumer or principal.subject
            member = Member(PLACE + topic, user or socket.id, socket.id)
        joined = Joined(member, access.may_read(topic), access.may_publish(topic))
        return await self.hold(exchange, plan, socket, ((topic, joined),))
