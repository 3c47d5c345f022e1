"""What is logged, over the fleet: an operator's setting on top of what this process started with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spork.adapters.structlog.access_log import AccessLog
from spork.adapters.structlog.application_log import level, set_level
from spork.application.admin.controls import Act
from spork.application.fleet.settings import FleetSettings, Setting

if TYPE_CHECKING:
    from spork.adapters.litestar.admin.logging import LogSettings, LogState

NAME = "logging"


class FleetLogging:
    """Follows the fleet's setting `logging`. `written`: whether an access log is written at all."""

    def __init__(self, access_log: AccessLog, settings: FleetSettings, node: str, written: bool) -> None:
        self._access_log = access_log
        self._settings = settings
        self._node = node
        self._written = written
        self._base: dict[str, Any] | None = None

    def listen(self) -> None:
        """Follow the setting from now on."""
        self._settings.listen(NAME, self._adopt)

    def state(self) -> LogState:
        """The level, whether access lines are written and with which fields, and who changed that."""
        from spork.adapters.litestar.admin.logging import LogState

        sink = self._access_log.sink
        setting = self._settings.get(NAME)
        state = LogState(
            level(), self._access_log.enabled, list(self._access_log.fields), sink.lost + sink.failed, self._node
        )
        if setting is not None:
            state.changed_by, state.reason, state.until = setting.by, setting.reason, setting.until
        return state

    async def change(self, wanted: LogSettings, act: Act) -> None:
        """For every process. Raises ValueError for a field that does not exist, OSError when the fleet cannot be told;
        then nothing is changed."""
        if wanted.fields is not None:
            self._access_log.check(wanted.fields)
        setting = self._settings.get(NAME)
        value = {} if setting is None or wanted.reset else dict(setting.value)
        named = {"level": wanted.level, "access_log": wanted.access_log, "fields": wanted.fields}
        value |= {name: each for name, each in named.items() if each is not None}
        if value:
            await self._settings.put(NAME, value, act.by, act.reason, act.ttl)
        else:
            await self._settings.remove(NAME)

    def _adopt(self, _name: str, setting: Setting | None) -> None:
        if self._base is None:
            self._base = {
                "level": level(),
                "access_log": self._access_log.enabled,
                "fields": list(self._access_log.fields),
            }
        value = self._base | (setting.value if setting is not None else {})
        self._access_log.choose(value["fields"])
        self._access_log.enabled = bool(value["access_log"]) and self._written
        set_level(value["level"])
