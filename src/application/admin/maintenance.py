"""Maintenance that operators begin and end while the fleet runs: of the whole gateway, or of routes.

It is a setting of the fleet (`fleet.settings`), so it holds on every process, those that start later too, until it ends.
Each process compiles it into its routes; what a route says of maintenance itself counts again afterwards.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from spork.application.admin.commands import OperationRefused, Prepared
from spork.application.admin.controls import Act
from spork.application.configuration.model import Configuration
from spork.application.fleet.settings import FleetSettings, Setting
from spork.application.pipeline.overlay import EVERYTHING, RouteOverlay
from spork.application.views import MaintenanceView
from spork.domain.http.static_answers import Maintenance

log = logging.getLogger("spork.maintenance")
_PREFIX: Final = "maintenance:"


class FleetMaintenance:
    """`again` puts the configuration in force into force once more, with what is laid over it now."""

    def __init__(
        self,
        settings: FleetSettings,
        overlay: RouteOverlay,
        configuration: Callable[[], Configuration],
        again: Callable[[], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._overlay = overlay
        self._configuration = configuration
        self._again = again
        self._applying: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """Follow the settings from now on."""
        self._settings.listen(_PREFIX, self._heard)

    def rows(self) -> list[MaintenanceView]:
        """What is away by an operator's word, the whole gateway first."""
        return [
            MaintenanceView(
                name.removeprefix(_PREFIX),
                setting.by,
                setting.reason,
                setting.at,
                setting.until,
                setting.value["retry_after"],
                tuple(setting.value["allow"]),
                tuple(setting.value["consumers"]),
            )
            for name, setting in sorted(self._settings.all(_PREFIX).items())
        ]

    async def begin(
        self, routes: Sequence[str], retry_after: float, allow: Sequence[str], consumers: Sequence[str], act: Act
    ) -> Prepared:
        """`routes` empty: the whole gateway. Raises OperationRefused."""
        names = self._names(routes)
        value = {"retry_after": retry_after, "allow": list(allow), "consumers": list(consumers)}

        async def perform() -> str:
            await self._told(names, lambda n: self._settings.put(_PREFIX + n, value, act.by, act.reason, act.ttl))
            return self._words()

        warnings = () if act.ttl is not None else ("No ttl: it lasts until somebody ends it.",)
        blast = f"{self._reach(names)} answer 503 with Retry-After on every process."
        return Prepared(
            "maintenance.begin", "maintenance", self._words(), f"away: {', '.join(names)}", blast, perform,
            self._words(), warnings=warnings,
        )  # fmt: skip

    async def end(self, routes: Sequence[str], act: Act) -> Prepared:
        """`routes` empty: everything that is away by an operator's word. Raises OperationRefused."""
        known = [name.removeprefix(_PREFIX) for name in self._settings.all(_PREFIX)]
        names = list(routes) or known
        missing = [name for name in names if name not in known]
        if missing:
            raise OperationRefused("not_found", f"No maintenance of {', '.join(missing)} was begun by an operator.")

        async def perform() -> str:
            await self._told(names, lambda name: self._settings.remove(_PREFIX + name))
            return self._words()

        return Prepared(
            "maintenance.end", "maintenance", self._words(), "nothing is away", f"{self._reach(names)} are served again.",
            perform, self._words(),
        )  # fmt: skip

    async def settle(self) -> None:
        """Wait until what is known of now is compiled into the routes."""
        while self._applying is not None:
            await self._applying

    async def _told(self, names: Sequence[str], tell: Callable[[str], Awaitable[Any]]) -> None:
        try:
            for name in names:
                await tell(name)
        except OSError as error:
            raise OperationRefused("unavailable", f"The fleet cannot be told: {error}.") from error
        await self.settle()

    def _names(self, routes: Sequence[str]) -> list[str]:
        known = {route.name for route in self._configuration().routes}
        unknown = [name for name in routes if name not in known]
        if unknown:
            errors = [{"path": "routes", "message": f"there is no route {name}"} for name in unknown]
            raise OperationRefused("invalid", f"There is no route {', '.join(unknown)}.", errors=errors)
        return list(dict.fromkeys(routes)) or [EVERYTHING]

    def _reach(self, names: Sequence[str]) -> str:
        if EVERYTHING in names:
            return f"All {len(self._configuration().routes)} routes"
        return f"{len(names)} route{'s' if len(names) > 1 else ''} ({', '.join(names[:5])})"

    def _words(self) -> str:
        away = [row.route for row in self.rows()]
        return f"away: {', '.join(away)}" if away else "nothing is away"

    def _heard(self, name: str, setting: Setting | None) -> None:
        self._overlay.away = {
            known.removeprefix(_PREFIX): _compiled(each) for known, each in self._settings.all(_PREFIX).items()
        }
        if self._applying is None:
            self._applying = asyncio.ensure_future(self._apply())

    async def _apply(self) -> None:
        """Until what is in force is what is known."""
        try:
            applied: object = None
            while applied is not self._overlay.away:
                applied = self._overlay.away
                await self._again()
        except Exception:
            log.exception("maintenance could not be put into force")
        finally:
            self._applying = None


def _compiled(setting: Setting) -> Maintenance:
    value = setting.value
    return Maintenance(
        retry_after=float(value["retry_after"]),
        ends=setting.until,
        allow=tuple(value["allow"]),
        consumers=frozenset(value["consumers"]),
    )
