"""The fleet's turns and versions of objects in Redis, by the server's clock."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Final, cast

from redis.exceptions import RedisError

from spork.application.admin.turns import StoreGone, Turn

_SCRIPT = (Path(__file__).parent / "lua" / "turn.lua").read_text()
_GONE = (RedisError, OSError, TimeoutError)
#: Milliseconds a version is kept after the last change: longer than anybody holds on to a revision.
_KEEP: Final = 30 * 86_400 * 1000


class RedisTurns:
    """`application.admin.turns.Turns` over a `redis.asyncio` client, which stays the caller's."""

    def __init__(self, redis: Any, fleet: str = "spork") -> None:
        self._script = redis.register_script(_SCRIPT)
        self._fleet = fleet

    async def take(self, object: str, lease: float) -> Turn | None:
        token = secrets.token_hex(8)
        answer = await self._call(object, ["take", token, max(1, round(lease * 1000))])
        return None if answer is None else Turn(object, token, int(answer[0]), int(answer[1]) / 1e6)

    async def give_back(self, turn: Turn) -> int:
        return int((await self._call(turn.object, ["back", turn.token, _KEEP, int(turn.changed)]))[0])

    async def _call(self, object: str, args: list[Any]) -> Any:
        name = hashlib.blake2b(object.encode(), digest_size=12).hexdigest()
        place = f"{{{self._fleet}:turn:{name}}}"
        try:
            return await cast("Awaitable[Any]", self._script(keys=[place, f"{place}:version"], args=args))
        except _GONE as error:
            raise StoreGone(f"Redis: {type(error).__name__}") from error
