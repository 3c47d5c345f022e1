"""Policies of live connections as written: WebSockets and event streams."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from spork.adapters.yaml.scalars import CloseCode, Duration, Positive, Size
from spork.adapters.yaml.written.form import Written, WrittenPolicy
from spork.domain.http.event_stream import StreamPolicy
from spork.domain.http.websocket_policy import WebSocketPolicy
from spork.domain.limits.limit import Limit


class MessageLimit(Written, frozen=True):
    """How many messages a client may send over WebSockets. Counted in each process."""

    quota: Annotated[Positive, "Messages admitted per period."]
    per: Annotated[Duration, "The period."]
    burst: Annotated[Positive | None, "Messages that may come at once; left out: the quota."] = None
    by: Annotated[Literal["connection", "consumer", "ip", "key", "tenant"], "What is counted separately."] = (
        "connection"
    )


class WebSocket(WrittenPolicy, frozen=True):
    """Policies of WebSockets. Sizes are payload on the wire: with permessage-deflate the compressed size."""

    origins: Annotated[tuple[str, ...], "Pages that may open one; other Origins: 403. Empty: any."] = ()
    protocols: Annotated[tuple[str, ...], "Subprotocols that may be spoken; empty: any."] = ()
    token_protocol: Annotated[
        str, "Subprotocol name that announces a token: `bearer` for Sec-WebSocket-Protocol: bearer, TOKEN; empty: none."
    ] = ""
    token_cookie: Annotated[str, "Cookie that carries a token; needs `origins`. Empty: none."] = ""
    message_bytes: Annotated[Size, "Largest message of a client; larger: 1009. 0: any."] = 0
    answer_bytes: Annotated[Size, "Largest message of the target. 0: any."] = 0
    messages: Annotated[tuple[MessageLimit, ...], "Message rates, all of which must admit a message."] = ()
    on_excess: Annotated[
        Literal["close", "drop", "delay"], "A message too many: close with 1008, leave it out, or let it wait."
    ] = "close"
    idle: Annotated[Duration, "Longest silence, pongs to our own pings not counted; then 1001. 0: any."] = 0.0
    ping: Annotated[Duration, "Ping the client this often; no pong until the next: 1001. 0: never."] = 0.0
    lifetime: Annotated[Duration, "Longest life; then 1001 `reconnect`. 0: any."] = 0.0
    reauthenticate: Annotated[Duration, "Judge the caller's credential again this often. 0: never."] = 0.0
    inflate: Annotated[bool, "Let both sides agree on permessage-deflate; false: sizes are plain sizes."] = True
    restart_code: Annotated[Literal[1001, 1012], "Close code when the gateway drains."] = 1001
    close_codes: Annotated[
        dict[str, CloseCode],
        "Other close codes, by expired, revoked, forbidden, messages, size, idle, lifetime, closed.",
    ] = msgspec.field(default_factory=dict)

    def compiled(self) -> WebSocketPolicy:
        limits = tuple(
            Limit(f"messages-{index + 1}", each.quota, each.per, each.by, burst=each.burst, scope="websocket")
            for index, each in enumerate(self.messages)
        )
        return WebSocketPolicy(
            tuple(self.origins), tuple(self.protocols), self.token_protocol, self.token_cookie, self.message_bytes,
            self.answer_bytes, limits, self.on_excess, self.idle, self.ping, self.lifetime, self.reauthenticate,
            self.inflate, self.restart_code, tuple(self.close_codes.items()),
        )  # fmt: skip


class Stream(WrittenPolicy, frozen=True):
    """Policies of event streams (text/event-stream; NDJSON but for heartbeats)."""

    heartbeat: Annotated[Duration, "Write a comment between two events when nothing came for this long. 0: never."] = (
        0.0
    )
    first_event: Annotated[
        Duration, "Longest wait for the head and for the first event, instead of timeouts.first_byte. 0: as for others."
    ] = 0.0
    idle: Annotated[Duration, "Longest silence of the target, instead of timeouts.idle. 0: as for others."] = 0.0
    lifetime: Annotated[Duration, "Longest life; then the stream ends between two events. 0: any."] = 0.0
    retry: Annotated[Duration, "What clients are told to wait when the gateway ends a stream. 0: nothing."] = 0.0
    heartbeat_early: Annotated[
        bool,
        "Begin the answer with 200 and heartbeats when the target has not after `heartbeat`, for clients whose Accept asks for"
        " an event stream. What goes wrong after that is told as an event `error`.",
    ] = False
    error_event: Annotated[
        str, "Events of this name count as a failure of the target: for breakers, outliers and logs. Empty: none."
    ] = ""

    def compiled(self) -> StreamPolicy:
        if self.heartbeat_early and not self.heartbeat:
            raise ValueError("heartbeat_early has no effect without heartbeat")
        return StreamPolicy(
            self.heartbeat,
            self.first_event,
            self.idle,
            self.lifetime,
            self.retry,
            self.heartbeat_early,
            self.error_event,
        )
