"""Whether the records answer."""

from __future__ import annotations

import time

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from spork.application.views import ComponentHealth


class RecordsHealth:
    """Asks the database for nothing and says how long that took (`insight.Component`)."""

    name = "records"

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def health(self) -> ComponentHealth:
        began = time.perf_counter()
        async with self._engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
        took = (time.perf_counter() - began) * 1000
        return ComponentHealth(self.name, "ok", self._engine.dialect.name, took)
