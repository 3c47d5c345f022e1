"""Targets that are found rather than listed: names with several addresses, service records, a watched file.

Each source is asked again and again; what it answered last stays while it fails. A found target is the same target as
before when its address is, so its state outlasts the refresh.

- `dns://name:port` (and `dns+https://`) is one target per A and AAAA address of the name;
- `srv://_http._tcp.name` (and `srv+https://`) is one target per service record, with its priority and weight (RFC 2782);
- a file holds JSON: `{"users": ["http://10.0.0.1:7001", {"url": "http://10.0.0.2:7001", "weight": 2}]}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from spork.application.kernel.clock import Clock
from spork.application.kernel.tasks import end
from spork.application.upstreams.registry import Discovered, UpstreamRegistry
from spork.domain.upstreams.health import OutlierPolicy
from spork.domain.upstreams.model import Target, TlsToTarget, Upstream, parse_target

log = logging.getLogger("spork.discovery")


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """One SRV record: lower `priority` first, `weight` among equals."""

    host: str
    port: int
    priority: int
    weight: int


class ServiceResolver(Protocol):
    """Looks names up. Raises OSError when that fails."""

    async def addresses(self, name: str) -> Sequence[str]: ...

    async def services(self, name: str) -> Sequence[ServiceRecord]: ...


class Names:
    """Re-resolves the `dns:` and `srv:` targets of the upstreams that `declared()` names, every `every` seconds."""

    def __init__(
        self,
        registry: UpstreamRegistry,
        resolver: ServiceResolver,
        clock: Clock,
        declared: Callable[[], Sequence[Upstream]],
        every: float = 5.0,
    ) -> None:
        self._registry = registry
        self._resolver = resolver
        self._clock = clock
        self._declared = declared
        self._every = every
        self._last_good: dict[str, tuple[Target, ...]] = {}
        self._asked: list[str] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self.refresh()
        self._registry.on_changed.append(self._look_again)
        self._task = asyncio.create_task(self._again_and_again(), name="names")

    async def close(self) -> None:
        if self._task is not None:
            await end([self._task])

    async def _again_and_again(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._every)
            self._wake.clear()
            try:
                await self.refresh()
            except Exception:
                log.exception("resolving names")

    def _look_again(self) -> None:
        """A configuration with other names than those asked for last does not wait for the next round."""
        if [name.url for upstream in self._declared() for name in upstream.names] != self._asked:
            self._wake.set()

    async def refresh(self) -> None:
        """Look every name up once and put what was found into the registry."""
        declared = [upstream for upstream in self._declared() if upstream.names]
        self._asked = [name.url for upstream in declared for name in upstream.names]
        found: dict[str, Discovered] = {}
        for upstream in declared:
            targets = await asyncio.gather(*(self._look_up(name) for name in upstream.names))
            found[upstream.name] = Discovered(tuple(target for group in targets for target in group))
        self._registry.discover("dns", found, self._clock.monotonic())

    async def _look_up(self, name: Target) -> tuple[Target, ...]:
        try:
            found = await (self._records(name) if name.lookup == "srv" else self._addresses(name))
        except OSError as error:
            log.warning("%s keeps its last targets: %s", name.url, error)
            return self._last_good.get(name.url, ())
        if found:
            self._last_good[name.url] = found
        return found or self._last_good.get(name.url, ())

    async def _addresses(self, name: Target) -> tuple[Target, ...]:
        addresses = of_family(name.family, await self._resolver.addresses(name.host))
        return tuple(found_at(name, name.host, address, name.port) for address in sorted(addresses))

    async def _records(self, name: Target) -> tuple[Target, ...]:
        found: list[Target] = []
        records = await self._resolver.services(name.host)
        levels = sorted({record.priority for record in records})
        for record in sorted(records, key=lambda r: (r.priority, r.host, r.port)):
            addresses = of_family(name.family, await self._resolver.addresses(record.host))
            for address in sorted(addresses):
                target = found_at(name, record.host, address, record.port)
                level = name.priority + levels.index(record.priority)
                found.append(replace(target, weight=max(1, record.weight), priority=level))
        return tuple(found)


def of_family(family: str, addresses: Sequence[str]) -> list[str]:
    """Those of the textual addresses that are of the family: any, ipv4 or ipv6."""
    return [address for address in addresses if family == "any" or (":" in address) is (family == "ipv6")]


def found_at(name: Target, host: str, address: str, port: int) -> Target:
    """A target at one address of a name, called by the name on the wire."""
    shown = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    tls = name.tls
    if name.scheme == "https":
        tls = tls or TlsToTarget()
        tls = tls if tls.server_name else replace(tls, server_name=host)
    url = f"{name.scheme}://{shown}{name.base_path.decode('ascii')}"
    return replace(name, url=url, host=address, port=port, name=shown, tls=tls, known_as=host, lookup="")


class WatchedFile:
    """Targets from a JSON file, read again when it changes. A file that is broken or gone changes nothing."""

    def __init__(self, path: Path, registry: UpstreamRegistry, clock: Clock, every: float = 0.5) -> None:
        self._path = path
        self._registry = registry
        self._clock = clock
        self._every = every
        self._seen: tuple[int, int, int] | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self.refresh()
        self._task = asyncio.create_task(self._again_and_again(), name=f"watching {self._path.name}")

    async def close(self) -> None:
        if self._task is not None:
            await end([self._task])

    async def _again_and_again(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            self.refresh()

    def refresh(self) -> None:
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen == self._seen:
                return
            found = read_targets(self._path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            log.warning("%s changes nothing: %s", self._path, error)
            return
        self._seen = seen
        self._registry.discover(f"file {self._path}", found, self._clock.monotonic())


def read_targets(text: str) -> dict[str, Discovered]:
    """What a discovery file says. Raises ValueError with what is wrong."""
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("a discovery file is an object of lists of targets")
    found: dict[str, Discovered] = {}
    for name, rows in document.items():
        if not isinstance(rows, list):
            raise ValueError(f"{name} is not a list of targets")
        found[name] = Discovered(tuple(_target(name, row) for row in rows), Upstream("", (), outliers=OutlierPolicy()))
    return found


def _target(name: str, row: object) -> Target:
    if isinstance(row, str):
        return parse_target(row)
    if not isinstance(row, dict) or not isinstance(row.get("url"), str) or set(row) - {"url", "weight", "priority"}:
        raise ValueError(f"a target of {name} is a URL, or an object of url, weight and priority")
    weight, priority = row.get("weight", 1), row.get("priority", 0)
    if not isinstance(weight, int) or not isinstance(priority, int) or weight < 1 or priority < 0:
        raise ValueError(f"weight and priority of a target of {name} are whole numbers")
    return parse_target(row["url"], weight=weight, priority=priority)
