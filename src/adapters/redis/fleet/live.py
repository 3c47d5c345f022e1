"""Live exchanges of a fleet: every node is asked when somebody looks, and does what it is told to its own.

A question is published; each node pushes its answer to a list that the asker waits at. Who has not answered within a second is left
out. Nothing is kept: a node that is gone has no live exchanges.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import replace
from typing import Any, Final

import msgspec
from redis.exceptions import RedisError

from spork.application.kernel.tasks import end
from spork.application.live.registry import LiveExchanges
from spork.application.views import ConnectionView

log = logging.getLogger("spork.live")

_GONE: Final = (RedisError, OSError, TimeoutError)
#: Seconds that other nodes have to answer.
PATIENCE: Final = 1.0
#: Rows that one node answers with at most.
_MOST_ROWS: Final = 2000
_PAUSE: Final = 0.5
#: Seconds that one look for an answer waits; less than a command may take.
_WAIT: Final = 0.25


class _Question(msgspec.Struct, array_like=True):
    """`close`: the id to end at `node`; "" for a list. The filters are `LiveExchanges.views`'."""

    reply: str
    asker: str
    node: str = ""
    close: str = ""
    consumer: str = ""
    route: str = ""
    kind: str = ""
    id: str = ""


_encode = msgspec.msgpack.Encoder().encode
_question = msgspec.msgpack.Decoder(_Question).decode
_rows = msgspec.msgpack.Decoder(list[ConnectionView]).decode


class RedisLive:
    """`spork.application.admin.controls.ConnectionControl` over the whole fleet. Ids of other nodes are `NUMBER@NODE`."""

    def __init__(self, redis: Any, own: LiveExchanges, node: str, prefix: str = "spork") -> None:
        self._redis = redis
        self._own = own
        self._node = node
        self._channel = f"{prefix}:live:ask"
        self._answers = f"{prefix}:live:answer:"
        self._tasks: list[asyncio.Task[None]] = []

    def __repr__(self) -> str:
        return f"<RedisLive of {self._node}>"

    # -------------------------------------------------------------------------------------------------------- looking

    async def views(self, consumer: str = "", route: str = "", kind: str = "") -> list[ConnectionView]:
        """What is live at every node that answers, the oldest first."""
        question = _Question("", self._node, consumer=consumer, route=route, kind=kind)
        return sorted([*self._own.views(consumer, route, kind), *await self._ask(question)], key=lambda row: row.since)

    async def view(self, id: str) -> ConnectionView | None:
        number, node = _place(id)
        if not node or node == self._node:
            return self._own.view(number)
        found = await self._ask(_Question("", self._node, node=node, id=number), answers=1)
        return found[0] if found else None

    async def close(self, id: str) -> bool:
        number, node = _place(id)
        if not node or node == self._node:
            return self._own.close(number)
        return bool(await self._ask(_Question("", self._node, node=node, close=number), answers=1))

    async def _ask(self, question: _Question, answers: int = 0) -> list[ConnectionView]:
        """What other nodes answer: as many as hear the question, or `answers` that have something to say."""
        question.reply = key = self._answers + secrets.token_hex(8)
        found: list[ConnectionView] = []
        try:
            heard = int(await self._redis.publish(self._channel, _encode(question)))
            async with asyncio.timeout(PATIENCE):
                for _ in range(answers or max(0, heard - 1)):
                    answer = None
                    while answer is None:
                        answer = await self._redis.blpop([key], timeout=_WAIT)
                    found += _rows(answer[1])
        except _GONE as error:
            log.debug("not every node said what is live there: %s", error)
        return found

    # ------------------------------------------------------------------------------------------------------ answering

    async def open(self) -> None:
        self._tasks = [asyncio.get_running_loop().create_task(self._listen())]

    async def shut(self) -> None:
        """Answer no more."""
        await end(self._tasks)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(self._channel)
                    while True:
                        message = await channel.get_message(timeout=5.0)
                        if message is not None:
                            await self._answer(message["data"])
            except _GONE:
                await asyncio.sleep(_PAUSE)

    async def _answer(self, data: bytes) -> None:
        try:
            question = _question(data)
        except msgspec.MsgspecError:
            return
        if question.asker == self._node or (question.node and question.node != self._node):
            return
        if question.close or question.id:
            row = self._own.view(question.close or question.id)
            rows = [] if row is None else [row]
            if question.close and not self._own.close(question.close):
                rows = []
        else:
            rows = self._own.views(question.consumer, question.route, question.kind)[:_MOST_ROWS]
        told = [replace(row, id=f"{row.id}@{self._node}") for row in rows]
        await self._redis.rpush(question.reply, _encode(told))
        await self._redis.expire(question.reply, 10)


def _place(id: str) -> tuple[str, str]:
    number, _, node = id.partition("@")
    return number, node
