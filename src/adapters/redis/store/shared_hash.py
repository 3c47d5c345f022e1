"""Reading what a fleet shares: a hash whole, with the server's clock, on one server or a cluster alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_SCRIPT = (Path(__file__).parent / "lua" / "read_all.lua").read_text()


class SharedHash:
    """One hash of a `redis.asyncio` client."""

    def __init__(self, redis: Any, key: str) -> None:
        self.key = key
        self._script = redis.register_script(_SCRIPT)

    async def read(self) -> tuple[dict[bytes, bytes], float]:
        """All fields, and the server's Unix time in seconds. Raises what the client raises."""
        seconds, micros, *rest = await self._script(keys=[self.key])
        return dict(zip(rest[::2], rest[1::2], strict=True)), int(seconds) + int(micros) / 1e6
