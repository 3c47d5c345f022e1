"""Calling Lua scripts by their digest, on one server or a cluster; loading them again where they are not known.

One server: calls go over connections that are kept, one call at a time on each, past the client's per-command
bookkeeping, which costs more than the call. Cluster: all calls of a batch go as one pipeline, grouped by node.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from spork.adapters.redis.store.connection import RedisConnection

#: What a store that is gone, hung, full or read-only raises.
StoreError = (RedisError, OSError, TimeoutError)


class Script:
    """A .lua file and its SHA-1, as EVALSHA wants it."""

    __slots__ = ("digest", "name", "text")

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.text = path.read_bytes()
        self.digest = hashlib.sha1(self.text, usedforsecurity=False).hexdigest()


#: A script, its keys, its arguments.
Call = tuple[Script, Sequence[bytes], Sequence[bytes]]


class Caller(Protocol):
    """Runs calls; an answer that is an exception is that call's own failure."""

    async def run(self, calls: Sequence[Call]) -> list[Any]: ...

    async def close(self) -> None: ...


def caller_for(connection: RedisConnection) -> Caller:
    return ClusterCaller(connection.client) if connection.cluster else ServerCaller(connection.pool)


class ServerCaller:
    """One server (or the master that sentinels name)."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._idle: list[Any] = []

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """Raises StoreError; then none of the calls may be assumed to have run, nor not to have."""
        kept = bool(self._idle)
        connection = self._idle.pop() if kept else await self._pool.get_connection()
        done = False
        try:
            try:
                answers = [await self._call(connection, call) for call in calls]
            except RedisTimeoutError:
                raise
            except RedisConnectionError:
                if not kept:
                    raise
                # The server closed it while it lay idle (a restart): once more, on a fresh one.
                await connection.disconnect(nowait=True)
                answers = [await self._call(connection, call) for call in calls]
            done = True
            return answers
        finally:
            if done:
                self._idle.append(connection)
            else:
                await connection.disconnect(nowait=True)
                await self._pool.release(connection)

    async def _call(self, connection: Any, call: Call) -> Any:
        script, keys, arguments = call
        for last in (False, True):
            command = ("EVALSHA", script.digest, len(keys), *keys, *arguments)
            await connection.send_packed_command(connection.pack_command(*command), check_health=False)
            try:
                return await connection.read_response()
            except NoScriptError:
                if last:
                    raise
                await connection.send_packed_command(
                    connection.pack_command("SCRIPT", "LOAD", script.text), check_health=False
                )
                await connection.read_response()
        return None

    async def close(self) -> None:
        while self._idle:
            connection = self._idle.pop()
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)


class ClusterCaller:
    """A cluster: the keys of each call share a slot, and each call succeeds or fails by itself."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        answers = await self._pipeline(calls)
        unknown = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            for script in {calls[index][0] for index in unknown}:
                await self._client.script_load(script.text.decode())
            for index, answer in zip(unknown, await self._pipeline([calls[i] for i in unknown]), strict=True):
                answers[index] = answer
        return answers

    async def _pipeline(self, calls: Sequence[Call]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for script, keys, arguments in calls:
            # `pipeline.evalsha` is blocked by the client for scripts it cannot place; these name their keys.
            pipeline.execute_command("EVALSHA", script.digest, len(keys), *keys, *arguments)
        answers: list[Any] = await pipeline.execute(raise_on_error=False, allow_redirections=True)
        return answers

    async def close(self) -> None:
        return None
