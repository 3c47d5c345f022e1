"""Settings that operators make while a fleet runs: what is logged, what is in maintenance, which revision is tried.

One mechanism for all of them: a setting has a name, a JSON value and perhaps an end. Every process reads the whole set
once a second; who asks for one at an admin API gets the fleet's. A store that comes back empty is told again by every
process what it knows; without a shared store the workers of a gateway share a file, so that a restart undoes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

log = logging.getLogger("spork.settings")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `value` is JSON-ready; `at` and `until` are Unix seconds by the store's clock, None for no end."""

    value: Any
    by: str = ""
    reason: str = ""
    at: float = 0.0
    until: float | None = None


class SettingsStore(Protocol):
    """The fleet's settings by name. Raises OSError while it does not answer."""

    async def load(self) -> Mapping[str, Setting] | None:
        """All that last; None when the store knows nothing of this fleet: then it wants to be told."""

    async def put(self, name: str, setting: Setting | None, ttl: float | None) -> Setting | None:
        """Keep it, ending after `ttl` seconds, or forget it; the setting as kept."""

    async def found(self, settings: Mapping[str, Setting]) -> None:
        """Tell an empty store what there is."""


class NoSettingsStore:
    """Settings of one process that keeps nothing."""

    def __init__(self, unix: Callable[[], float]) -> None:
        self._unix = unix
        self._settings: dict[str, Setting] = {}

    async def load(self) -> Mapping[str, Setting] | None:
        now = self._unix()
        return {name: each for name, each in self._settings.items() if each.until is None or each.until > now}

    async def put(self, name: str, setting: Setting | None, ttl: float | None) -> Setting | None:
        self._settings.pop(name, None)
        if setting is not None:
            now = self._unix()
            setting = self._settings[name] = replace(setting, at=now, until=None if ttl is None else now + ttl)
        return setting

    async def found(self, settings: Mapping[str, Setting]) -> None:
        self._settings.update(settings)


#: Hears (name, setting), None for one that is gone.
Listener = Callable[[str, Setting | None], None]


class FleetSettings:
    """The settings as this process knows them. `follow` once a second."""

    def __init__(self, store: SettingsStore) -> None:
        self._store = store
        self._known: dict[str, Setting] = {}
        self._listeners: list[tuple[str, Listener]] = []
        self._lost = False

    def listen(self, prefix: str, hear: Listener) -> None:
        """`hear(name, setting)` whenever a setting whose name begins with `prefix` comes, changes or goes (None)."""
        self._listeners.append((prefix, hear))

    def get(self, name: str) -> Setting | None:
        return self._known.get(name)

    def all(self, prefix: str) -> dict[str, Setting]:
        """Those whose name begins with `prefix`."""
        return {name: each for name, each in self._known.items() if name.startswith(prefix)}

    async def put(self, name: str, value: Any, by: str, reason: str = "", ttl: float | None = None) -> Setting:
        """Set it for the fleet: here at once, elsewhere within two seconds. Raises OSError when it could not be kept."""
        kept = await self._store.put(name, Setting(value, by, reason), ttl)
        assert kept is not None
        self._adopt({**self._known, name: kept})
        return kept

    async def remove(self, name: str) -> None:
        """Raises OSError when the store did not do it."""
        await self._store.put(name, None, None)
        self._adopt({other: each for other, each in self._known.items() if other != name})

    async def follow(self) -> None:
        """Take over what the fleet has. While the store is gone everything stays as it is."""
        try:
            loaded = await self._store.load()
            if loaded is None:
                await self._store.found(self._known)
            else:
                self._adopt(loaded)
            self._lost = False
        except OSError as error:
            if not self._lost:
                log.warning("settings of the fleet stay as they are: %s", error)
            self._lost = True

    def _adopt(self, settings: Mapping[str, Setting]) -> None:
        before, self._known = self._known, dict(settings)
        for name in before.keys() | self._known.keys():
            setting = self._known.get(name)
            if before.get(name) == setting:
                continue
            for prefix, hear in self._listeners:
                if name.startswith(prefix):
                    try:
                        hear(name, setting)
                    except Exception:
                        log.exception("setting %s", name)
