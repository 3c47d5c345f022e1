"""Nodes of a fleet hear of each other, and of what operators applied, through Redis.

All keys carry one hash tag, so that they share a slot of a cluster. Reports are msgpack, deflated, their routes apart: a
node with ten thousand busy routes says about 130 kB, and only who looks at routes unpacks them. A Redis that is gone makes the other nodes silent and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from redis.exceptions import RedisError

from spork.application.configuration.live import Shared
from spork.application.fleet.nodes import FORGOTTEN_AFTER, SILENT_AFTER, NodeReport, NodeState, RouteReport
from spork.application.views import ComponentHealth

log = logging.getLogger("spork.nodes")
_LUA = Path(__file__).parent / "lua"
_KEEP = int(FORGOTTEN_AFTER)
#: Seconds within which an answer must come to say what the server's clock is.
_CLOCK_READ_IN = 0.1
#: Routes from which on packing is worth a thread.
_MANY = 500


class RedisNodes:
    """`fleet.nodes.NodeRegistry` and `configuration.live.ConfigExchange` over one `redis.asyncio` client.

    `fleet` keeps deployments apart that share a Redis.
    """

    alone = False

    def __init__(self, client: Any, fleet: str = "spork") -> None:
        tag = f"{{{fleet}:fleet}}"
        self.client = self._client = client
        self._index = f"{tag}:nodes"
        self._report = f"{tag}:node:"
        self._config = f"{tag}:config"
        self._announce = client.register_script((_LUA / "announce_node.lua").read_text())
        self._hear = client.register_script((_LUA / "hear_nodes.lua").read_text())
        self._heard: list[NodeState] = []
        self._lost = False
        #: Seconds by which the server's clock is ahead of this process's, as last measured.
        self.skew = 0.0
        #: Operations that failed, for metrics.
        self.failures = 0

    async def announce(self, report: NodeReport, routes: RouteReport) -> None:
        if len(routes.hits) > _MANY:
            packed = await asyncio.to_thread(_pack, report, routes)
        else:
            packed = _pack(report, routes)
        try:
            await self._announce(keys=[self._index, self._report + report.node], args=[report.node, packed, _KEEP])
        except (RedisError, OSError) as error:
            self._failed(error)

    async def nodes(self) -> Sequence[NodeState]:
        """Reports with their age by the server's clock; while the server is gone, the last known grow old."""
        asked = time.time()
        try:
            micros, *rows = await self._hear(keys=[self._index], args=[self._report, _KEEP])
        except (RedisError, OSError) as error:
            self._failed(error)
            self._heard = [heard.older(1.0) for heard in self._heard]
            return self._heard
        self._lost = False
        answered = time.time()
        if 0 <= answered - asked < _CLOCK_READ_IN:
            self.skew = int(micros) / 1e6 - (asked + answered) / 2
        self._heard = [_unpack(*rows[at : at + 3]) for at in range(0, len(rows), 3)]
        return self._heard

    async def leave(self, node: str) -> None:
        try:
            await self._client.zrem(self._index, node)
            await self._client.delete(self._report + node)
        except (RedisError, OSError) as error:
            self._failed(error)

    async def offer(self, shared: Shared) -> None:
        """Raises OSError when it could not be told."""
        try:
            await self._client.set(self._config, zlib.compress(msgspec.json.encode(shared), 6))
        except RedisError as error:
            self._failed(error)
            raise OSError(f"Redis: {type(error).__name__}") from error

    async def latest(self) -> Shared | None:
        """Raises OSError when it cannot be asked."""
        try:
            packed = await self._client.get(self._config)
        except RedisError as error:
            self._failed(error)
            raise OSError(f"Redis: {type(error).__name__}") from error
        if packed is None:
            return None
        try:
            return msgspec.json.decode(zlib.decompress(packed), type=Shared)
        except (zlib.error, msgspec.DecodeError):
            log.warning("the fleet's configuration in Redis cannot be read; it is left out")
            return None

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        if not self._lost:
            log.warning("node registry: %s", type(error).__name__)
        self._lost = True

    def samples(self) -> list[tuple[str, tuple[str, ...], float]]:
        return [("gateway_store_failures_total", ("nodes",), float(self.failures))]


def _pack(report: NodeReport, routes: RouteReport) -> bytes:
    return msgspec.msgpack.encode((_packed(report), _packed(routes)))


def _packed(part: object) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(part), 1)


def _unpack(node: bytes, packed: bytes, age: int) -> NodeState:
    """A report whose routes are read when somebody looks. One that another version wrote in another form cannot be added
    up: its node is named as silent."""
    seconds = int(age) / 1_000_000
    try:
        head, routes = msgspec.msgpack.decode(packed, type=tuple[bytes, bytes])
        report = msgspec.msgpack.decode(zlib.decompress(head), type=NodeReport)
    except (zlib.error, msgspec.DecodeError):
        return NodeState(NodeReport(node.decode("utf-8", "replace"), 0.0, 0.0), max(seconds, SILENT_AFTER + 1.0))
    return NodeState(report, seconds, lambda: _routes(routes))


def _routes(packed: bytes) -> RouteReport:
    try:
        return msgspec.msgpack.decode(zlib.decompress(packed), type=RouteReport)
    except (zlib.error, msgspec.DecodeError):
        return RouteReport()


class RedisHealth:
    """Whether Redis answers, and how fast (`insight.Component`). Without it the gateway goes on alone: degraded."""

    name = "redis"

    def __init__(self, client: Any) -> None:
        self._client = client

    async def health(self) -> ComponentHealth:
        began = time.perf_counter()
        try:
            await self._client.ping()
        except (RedisError, OSError) as error:
            return ComponentHealth(self.name, "degraded", f"does not answer: {type(error).__name__}")
        return ComponentHealth(self.name, "ok", "answers", (time.perf_counter() - began) * 1000)
