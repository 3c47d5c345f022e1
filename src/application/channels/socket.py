"""One subscriber over a WebSocket that speaks the Pusher protocol: reading, writing, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Protocol

from spork.application.channels.access import Access
from spork.application.channels.door import Ground
from spork.application.channels.ports import Member
from spork.application.channels.queue import SendQueue
from spork.application.kernel.streams import Tunnel
from spork.application.live.endings import (
    BAD_FRAME,
    DRAINING,
    EXPIRED,
    IDLE,
    LIFETIME,
    MESSAGE_TOO_BIG,
    NOT_ALLOWED,
    REVOKED,
    SLOW_CONSUMER,
    Ending,
)
from spork.domain.channels import pusher
from spork.domain.channels.events import ChannelEvent
from spork.domain.channels.settings import PUSHER
from spork.domain.http.websocket import CLOSE, PING, PONG, TEXT, frame
from spork.domain.http.websocket_messages import BAD_DATA, MessageReader

#: Largest message of a client.
_MOST_MESSAGE: Final = 128 * 1024
_CLIENT_EVENTS_A_SECOND: Final = 10
_PONG_WITHIN: Final = 30.0
#: Close codes that Pusher clients know what to do with.
CODES: Final = {
    DRAINING.reason: pusher.RECONNECT,
    LIFETIME.reason: pusher.RECONNECT,
    SLOW_CONSUMER.reason: pusher.OVER_CAPACITY,
    IDLE.reason: pusher.NO_PONG,
    EXPIRED.reason: pusher.UNAUTHORIZED,
    NOT_ALLOWED.reason: pusher.UNAUTHORIZED,
    **{each.reason: pusher.UNAUTHORIZED for each in REVOKED.values()},
}


class Joined:
    """A channel that a socket is in: as whom, and whether it may speak there."""

    __slots__ = ("member", "reads", "speaks")

    def __init__(self, member: Member | None, reads: bool, speaks: bool) -> None:
        self.member = member
        self.reads = reads
        self.speaks = speaks


class Conversation(Protocol):
    """What answers the messages of a socket."""

    async def hear(self, socket: PusherSocket, name: str, message: Mapping[str, Any]) -> None:
        """One message of the client: its event's name, and all of it."""


class PusherSocket:
    """Reads messages and writes events until it has to end. Implements `hub.Subscriber`."""

    __slots__ = (
        "_budget", "_budget_at", "_codes", "_heard_at", "_pinged", "_queue", "_tunnel", "access", "channels", "ending",
        "front", "ground", "id",
    )  # fmt: skip

    def __init__(
        self,
        id: str,
        tunnel: Tunnel,
        access: Access,
        ground: Ground,
        front: str = PUSHER,
        codes: Mapping[str, int] = CODES,
    ) -> None:
        self.id = id
        self.front = front
        self.access = access
        self.ground = ground
        self.channels: dict[str, Joined] = {}
        self.ending: Ending | None = None
        self._codes = codes
        self._tunnel = tunnel
        self._queue = SendQueue(ground.settings.slow)
        self._heard_at = ground.monotonic()
        self._pinged = False
        self._budget = float(_CLIENT_EVENTS_A_SECOND)
        self._budget_at = self._heard_at
        tunnel.drain_code = codes.get(DRAINING.reason, DRAINING.code)

    # --------------------------------------------------------------------------------------------------------- hearing

    def hear(self, event: ChannelEvent, topic: str) -> bool:
        if self.ending is not None or event.sender == self.id or (event.control and event.control != PUSHER):
            return False
        joined = self.channels.get(topic)
        if joined is None or (event.private and not joined.reads and not self.access.may_hear(event)):
            return False
        return self.tell(event.frame(topic, pusher.event_frame))

    def tell(self, data: bytes) -> bool:
        """Put a frame into the queue; True when `flush` has to be called for it."""
        first = not len(self._queue)
        if not self._queue.add(data):
            self.ground.hub.counts.too_slow(self.front)
            self.end(SLOW_CONSUMER)
            return False
        return first

    def say(self, data: bytes) -> None:
        """Write a frame now, behind what waits."""
        self.tell(data)
        self.flush()

    def flush(self) -> None:
        if self.ending is None and len(self._queue) and not self._tunnel.paused:
            self._tunnel.write(self._queue.take())

    def beat(self, now: float) -> None:
        silent = now - self._heard_at
        if len(self._queue):
            self.flush()
        if silent >= pusher.ACTIVITY_TIMEOUT + _PONG_WITHIN:
            self.end(IDLE)
        elif silent >= pusher.ACTIVITY_TIMEOUT and not self._pinged:
            self._pinged = True
            self.say(pusher.message("pusher:ping", {}))

    def end(self, ending: Ending) -> None:
        """It has to go; the first ending holds."""
        if self.ending is None:
            self.ending = ending
            self._queue.clear()
            self._tunnel.go_away(self._codes.get(ending.reason, ending.code), ending.text)

    def may_speak_now(self) -> bool:
        """Whether a client event is within the rate of one connection."""
        now = self.ground.monotonic()
        self._budget = min(_CLIENT_EVENTS_A_SECOND, self._budget + (now - self._budget_at) * _CLIENT_EVENTS_A_SECOND)
        self._budget_at = now
        if self._budget < 1.0:
            return False
        self._budget -= 1.0
        return True

    # --------------------------------------------------------------------------------------------------------- reading

    async def run(self, conversation: Conversation) -> None:
        """Read until the client closes or the socket has to end."""
        reader = MessageReader(_MOST_MESSAGE)
        tunnel = self._tunnel
        while piece := await tunnel.read():
            self._heard_at = self.ground.monotonic()
            self._pinged = False
            for opcode, payload in reader.feed(piece):
                if opcode == CLOSE:
                    return tunnel.go_away(_code_of(payload))
                if opcode == PING:
                    tunnel.write(frame(PONG, payload))
                elif opcode == TEXT and self.ending is None:
                    await self._read(payload, conversation)
            if reader.violation:
                return self.end(MESSAGE_TOO_BIG if reader.violation == MESSAGE_TOO_BIG.code else BAD_FRAME)
            if len(self._queue):
                await tunnel.drain()
                self.flush()
        return None

    async def _read(self, payload: bytes, conversation: Conversation) -> None:
        try:
            message = json.loads(payload.decode("utf-8"))
        except UnicodeDecodeError:
            return self.end(Ending(BAD_FRAME.reason, BAD_DATA, "not UTF-8"))
        except (ValueError, RecursionError):
            return self.say(_NOT_JSON)
        name = message.get("event") if isinstance(message, dict) else None
        if not isinstance(name, str):
            return self.say(_NOT_JSON)
        return await conversation.hear(self, name, message)


_NOT_JSON: Final = pusher.error(4005, "A message is a JSON object with an event.")


def _code_of(payload: bytes) -> int:
    """The code of a client's Close, given back to it; 1000 where it gave none or one that may not be sent."""
    code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1000
    return code if 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999 else 1000
