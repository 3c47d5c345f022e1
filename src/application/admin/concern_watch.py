"""Looks, every few seconds, for what an operator should look at: concerns."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

from spork.application.admin.queries import Queries
from spork.application.configuration.live import LiveConfiguration
from spork.application.fleet import concern_rules
from spork.application.telemetry.objectives import ObjectiveTracker
from spork.application.views import ComponentHealth

#: Beats between two looks while nobody watches; each beat is a second.
EVERY: Final = 5
#: Seconds that the limits' store may take to say which windows are full.
PATIENCE: Final = 1.0


class ConcernWatch:
    """Puts what the rules find into the ledger of concerns: every second while somebody watches, else every fifth."""

    def __init__(
        self,
        queries: Queries,
        live: LiveConfiguration,
        objectives: ObjectiveTracker,
        watched: Callable[[], bool],
        unix: Callable[[], float],
    ) -> None:
        """`watched` says whether an operator's stream is open."""
        self._queries = queries
        self._live = live
        self._objectives = objectives
        self._watched = watched
        self._unix = unix
        self._beats = 0
        self._components: Sequence[ComponentHealth] = ()

    async def beat(self) -> None:
        """Once a second."""
        self._beats += 1
        full = self._beats % EVERY == 0
        if not full and not self._watched():
            return
        if full or not self._components:
            self._components = await self._queries.health()
            if not self._watched():  # else they have just been read
                with contextlib.suppress(OSError, TimeoutError):
                    await asyncio.wait_for(self._queries.refresh(("quotas",)), PATIENCE)
        overview = self._queries.overview()
        found = concern_rules.everything(
            overview.services(),
            overview.targets(),
            overview.breakers(),
            self._queries.quota_rows,
            overview.picture.nodes,
            self._components,
            self._live.problems,
            await self._objectives.current() if self._objectives.any else (),
        )
        self._queries.concern_ledger.observe(found, self._unix())
