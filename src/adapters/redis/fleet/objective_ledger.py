"""Counts of objectives in Redis: every gateway of a fleet adds to one hash per objective, and any reads them all.

All keys carry one hash tag, so that a batch is one script on one node of a cluster.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from spork.application.telemetry.objective_ledger import NAMED_FOR, Counted, Kept, Reading, Slice, needed
from spork.domain.objectives import Objective

_ADD = (Path(__file__).parent / "lua" / "objectives_add.lua").read_text()
_DAY = 86_400


class RedisObjectives:
    """`application.objective_ledger.ObjectiveLedger` over a `redis.asyncio` client, which stays the caller's."""

    where = "redis"

    def __init__(self, client: Any, fleet: str = "spork") -> None:
        self._client = client
        tag = f"{{{fleet}:objectives}}"
        self._batch = f"{tag}:batch:"
        self._nodes = f"{tag}:nodes"
        self._counts = f"{tag}:of:"
        self._add = client.register_script(_ADD)

    async def add(self, node: str, batch: str, counted: Sequence[Counted], unix: float) -> None:
        by_key: dict[str, list[Counted]] = {}
        for row in counted:
            by_key.setdefault(row.objective.key, []).append(row)
        keys = [self._batch + node, self._nodes, *(self._counts + key for key in by_key)]
        arguments: list[object] = [node, batch, unix, NAMED_FOR]
        for rows in by_key.values():
            increments = [pair for row in rows for pair in _increments(row)]
            arguments += [int(rows[0].objective.period) + _DAY, len(increments)]
            arguments += [part for pair in increments for part in pair]
        try:
            await self._add(keys=keys, args=arguments)
        except RedisError as error:
            raise OSError(f"Redis: {type(error).__name__}") from error

    async def read(self, objectives: Sequence[Objective], unix: float) -> Reading:
        try:
            nodes = await self._client.zrangebyscore(self._nodes, unix - NAMED_FOR, "+inf")
            found = {objective.key: await self._kept(objective, unix) for objective in objectives}
        except RedisError as error:
            raise OSError(f"Redis: {type(error).__name__}") from error
        return Reading(found, tuple(sorted(node.decode() for node in nodes)))

    async def _kept(self, objective: Objective, unix: float) -> Kept:
        name = self._counts + objective.key
        fields = await self._client.hgetall(name)
        since = fields.pop(b"since", None)
        slices: dict[Slice, list[int]] = {}
        stale: list[bytes] = []
        for field, count in fields.items():
            width, number, what = field.split(b":")
            slice = (int(width), int(number))
            if needed(objective, slice, unix):
                slices.setdefault(slice, [0, 0])[what == b"bad"] = int(count)
            else:
                stale.append(field)
        if stale:
            await self._client.hdel(name, *stale)
        kept = {slice: (counts[0], counts[1]) for slice, counts in slices.items()}
        return Kept(None if since is None else float(since), kept)


def _increments(row: Counted) -> Iterator[tuple[str, int]]:
    width, number = row.slice
    yield f"{width}:{number}:all", row.requests
    if row.bad:
        yield f"{width}:{number}:bad", row.bad
