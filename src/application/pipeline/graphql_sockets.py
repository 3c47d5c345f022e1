"""A WebSocket of GraphQL operations: every `subscribe` is judged like a request of its own, one after the other.

A refusal is an `error` message of that operation, and the socket stays. Client messages are read whole and framed anew, so that
what the target reads is what was judged; the target's pass as they came.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable
from typing import Any, Final

from spork.application.exchange.exchange import Exchange, MessageJudge, OperationInFlight, RoutePlan
from spork.application.exchange.json_values import JsonValues, NotJson
from spork.application.kernel.streams import Tunnel
from spork.application.live.endings import TARGET_GONE, Ending
from spork.application.live.registry import WEBSOCKET, LiveExchanges
from spork.application.pipeline.tunnel import FRAME_GRACE
from spork.domain.graphql.transport_ws import Close, Complete, Conversation, Subscribe
from spork.domain.http.websocket import CLOSE, GOING_AWAY, PING, PONG, TEXT, close_frame
from spork.domain.http.websocket_relayed import MessageReader, message_frame, text_frame
from spork.domain.outcomes import Denial

#: Messages of the target up to this size are looked at; the ones that end operations are small.
_MOST_READ: Final = 64 * 1024
_BAD: Final = Close(4400, "Invalid message received")


class GraphQLSocket:
    """One socket from its 101 to its end."""

    def __init__(
        self,
        judge: MessageJudge,
        values: JsonValues,
        exchange: Exchange,
        plan: RoutePlan,
        client: Tunnel,
        target: Tunnel,
        unix: Callable[[], float],
    ) -> None:
        self._unix = unix
        self._judge = judge
        self._values = values
        self._exchange = exchange
        self._plan = plan
        self._client = client
        self._target = target
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._talk = Conversation()
        self._operations: dict[str, OperationInFlight] = {}
        self._up = MessageReader(True, judge.message_bytes)
        self._down = MessageReader(False, _MOST_READ, keep=False)
        #: Messages of ours that wait until the target's message is whole.
        self._waiting: list[bytes] = []
        self._ending: Ending | None = None

    async def run(self, live: LiveExchanges) -> None:
        """Relay until either side closes or something ends it."""
        exchange = self._exchange
        entry = live.enter(WEBSOCKET, self._plan.name, exchange.client, exchange.principal, self.end)
        tasks = [asyncio.ensure_future(self._upward()), asyncio.ensure_future(self._downward())]
        try:
            await asyncio.wait([*tasks, self._over], return_when=asyncio.FIRST_COMPLETED)
            if self._ending is None and tasks[1].done() and not self._down.closed:
                self._client.go_away(TARGET_GONE.code, TARGET_GONE.text)
            elif self._ending is None and tasks[0].done() and not self._up.closed:
                self._target.write(close_frame(GOING_AWAY, "", os.urandom(4)))
        finally:
            for task in tasks:
                task.cancel()
            self._client.close()
            self._target.close()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task
            for operation in list(self._operations):
                self._finished(operation)
            entry.ending = self._ending
            live.leave(entry)
            if self._ending is not None:
                exchange.reason = self._ending.reason

    def end(self, ending: Ending) -> None:
        """Something else ends it: expiry, revocation, an operator."""
        if self._ending is None:
            self._ending = ending
            self._target.write(close_frame(GOING_AWAY, "", os.urandom(4)))
            self._client.go_away(ending.code, ending.text)
            self._loop.call_later(FRAME_GRACE, self._finish)

    def _finish(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    # ------------------------------------------------------------------------------------------------ from the client

    async def _upward(self) -> None:
        while piece := await self._client.read():
            for opcode, payload in self._up.advance(piece):
                close = await self._message(opcode, payload or b"")
                if close is not None:
                    self._close(close)
                    return
            if self._up.violation:
                self._close(Close(self._up.violation, ""))
                return

    async def _message(self, opcode: int, payload: bytes) -> Close | None:
        if opcode in (PING, PONG, CLOSE):
            await self._pass(opcode, payload)
            return None
        if opcode != TEXT:
            return _BAD
        try:
            message = self._values.read_request(payload)
        except NotJson:
            return _BAD
        meant = self._talk.client(message)
        if isinstance(meant, Close):
            return meant
        if isinstance(meant, Subscribe):
            await self._subscribe(meant, message, payload)
            return None
        if isinstance(meant, Complete):
            self._finished(meant.id)
        await self._pass(opcode, payload)
        return None

    async def _subscribe(self, meant: Subscribe, message: dict[str, Any], payload: bytes) -> None:
        operation = await self._judge.judge_message(self._exchange, meant.payload, self._unix())
        if operation.denial is not None:
            self._say(refusal(meant.id, operation.denial, self._exchange.request_id))
            operation.over()
            return
        self._talk.open.add(meant.id)
        self._operations[meant.id] = operation
        if operation.payload is not None:  # an id stood for a text
            payload = self._values.write(message | {"payload": operation.payload})
        await self._pass(TEXT, payload)

    async def _pass(self, opcode: int, payload: bytes) -> None:
        self._target.write(message_frame(opcode, payload, os.urandom(4)))
        await self._target.drain()

    # ------------------------------------------------------------------------------------------------ from the target

    async def _downward(self) -> None:
        down, client = self._down, self._client
        while piece := await self._target.read():
            messages = down.advance(piece)
            client.write(piece)
            for opcode, payload in messages:
                if opcode == TEXT and payload is not None:
                    self._heard(payload)
            if self._waiting and down.between:
                client.write(b"".join(self._waiting))
                self._waiting.clear()
            await client.drain()
            if down.violation:
                return

    def _heard(self, payload: bytes) -> None:
        """A `next` is most of what is said, and ends nothing: it is told by its first bytes where that can be."""
        if b'"next"' in payload[:64] and b'"complete"' not in payload and b'"error"' not in payload:
            return
        with contextlib.suppress(ValueError):
            message = json.loads(payload)
            if isinstance(message, dict) and (ended := self._talk.server(message)):
                self._finished(ended)

    def _finished(self, operation: str) -> None:
        self._talk.open.discard(operation)
        known = self._operations.pop(operation, None)
        if known is not None:
            known.over()

    # ----------------------------------------------------------------------------------------------------- our own words

    def _say(self, text: bytes) -> None:
        """A message of ours, between two of the target's."""
        if self._down.between and not self._down.closed:
            self._client.write(text_frame(text))
        else:
            self._waiting.append(text_frame(text))

    def _close(self, close: Close) -> None:
        self._ending = Ending("graphql_protocol", close.code, close.text)
        self._target.write(close_frame(GOING_AWAY, "", os.urandom(4)))
        self._client.go_away(close.code, close.text)


def refusal(operation: str, denial: Denial, request_id: str) -> bytes:
    """The `error` message of an operation that is refused."""
    members = dict(denial.members)
    code = members.pop("code", None) or denial.reason.upper()
    extensions: dict[str, Any] = {"code": code, "reason": denial.reason, "request_id": request_id, **members}
    if denial.retry_after is not None:
        extensions["retry_after"] = denial.retry_after
    error = {"message": denial.detail or "The operation is refused.", "extensions": extensions}
    return json.dumps({"id": operation, "type": "error", "payload": [error]}).encode()
