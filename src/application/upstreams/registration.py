"""Services that announce themselves: a lease renewed by heartbeats, vetted addresses, the same for every replica.

A registration lives in a store that the fleet shares and ends with its lease, by the store's clock. Every process
follows the store and puts what is registered into its upstream registry; a process that loses the store keeps the last
that it knew. The address that was vetted is the address that gets connected to.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from spork.application.kernel.clock import Clock
from spork.application.kernel.events import EventSink
from spork.application.kernel.tasks import end
from spork.application.upstreams.registry import Discovered, UpstreamRegistry
from spork.domain.security.ssrf import Address, AddressRefused, parse_origin, vet
from spork.domain.upstreams.circuit import BreakerPolicy
from spork.domain.upstreams.health import OutlierPolicy, ProbePolicy
from spork.domain.upstreams.model import Balance, Target, TlsToTarget, Upstream
from spork.domain.upstreams.retries import RetryPolicy

log = logging.getLogger("spork.registration")

SHORTEST_LEASE, LONGEST_LEASE = 1.0, 3600.0
#: Registrations that one deployment may hold: a bound on what a registrant can cost.
MOST = 10_000
_NAME = re.compile(r"[a-z0-9]([a-z0-9_.-]{0,61}[a-z0-9])?\Z")
_PROBE_PATH = re.compile(r"/[!-~]{0,255}\Z")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a service asks for. `ttl` in seconds; `health` is the path of an active probe, "" for none."""

    service: str
    url: str
    ttl: float = 30.0
    weight: int = 1
    priority: int = 0
    health: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Registration:
    """One target of one service. `address` is vetted. Times in Unix seconds, by the store's clock."""

    id: str
    service: str
    url: str
    address: str
    ttl: float
    weight: int = 1
    priority: int = 0
    health: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    registered_at: float = 0.0
    expires_at: float = 0.0


@dataclass(frozen=True, slots=True)
class RegistrationRefused:
    """Everything that is wrong with a registration: (field, stable slug, sentence)."""

    problems: tuple[tuple[str, str, str], ...]


class RegistrationStore(Protocol):
    """Registrations of the fleet. Expiry is by the store's own clock. Raises StoreGone when it cannot answer."""

    async def keep(self, registration: Registration) -> Registration:
        """Write or renew under its id; answers it with the times set. A renewal keeps `registered_at`."""

    async def renew(self, id: str) -> Registration | None:
        """One more lease from now; None when there is no such registration any more."""

    async def drop(self, id: str) -> Registration | None: ...

    async def current(self) -> list[Registration]:
        """All whose lease lasts, oldest first."""

    async def changed(self, seconds: float) -> None:
        """Return when some process changed a registration, or after `seconds`."""

    async def close(self) -> None: ...


class StoreGone(Exception):
    """The store of registrations does not answer."""


class Resolver(Protocol):
    """Looks names up. Raises OSError when that fails."""

    async def addresses(self, name: str) -> Sequence[str]: ...


class Registrations:
    """Takes registrations and follows those of the whole fleet. `open` and `close` with the process.

    `allowed()` answers the networks that registered targets may be in beside public ones (`registration.allow`).
    """

    def __init__(
        self,
        store: RegistrationStore,
        resolver: Resolver,
        registry: UpstreamRegistry,
        clock: Clock,
        allowed: Callable[[], Sequence[str]],
        events: EventSink | None = None,
        poll: float = 0.5,
    ) -> None:
        self._store = store
        self._resolver = resolver
        self._registry = registry
        self._clock = clock
        self._allowed = allowed
        self._events = events
        self._poll = poll
        self._known: dict[str, Registration] = {}
        self._followed = False
        self._gone = False
        self._following: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self.follow()
        self._following = asyncio.create_task(self._follow_on(), name="registrations")

    async def close(self) -> None:
        if self._following is not None:
            await end([self._following])
        await self._store.close()

    # ------------------------------------------------------------------------------------------------- what services do

    async def register(self, wanted: Wanted) -> Registration | RegistrationRefused:
        """Vet and keep; this process routes to it when this returns. Raises StoreGone."""
        problems = list(_problems(wanted))
        vetted = await self._vet(wanted.url)
        if isinstance(vetted, AddressRefused):
            problems.append(("url", vetted.reason, vetted.detail))
        if len(self._known) >= MOST:
            problems.append(("service", "too_many", "There are too many registrations."))
        if problems or isinstance(vetted, AddressRefused):
            return RegistrationRefused(tuple(problems))
        registration = Registration(
            id_of(wanted.service, wanted.url),
            wanted.service,
            wanted.url,
            str(vetted),
            wanted.ttl,
            wanted.weight,
            wanted.priority,
            wanted.health,
            dict(wanted.metadata),
        )
        kept = await self._store.keep(registration)
        await self.follow()
        return kept

    async def heartbeat(self, id: str) -> Registration | None:
        """One more lease. None means: register again. Raises StoreGone."""
        return await self._store.renew(id)

    async def deregister(self, id: str) -> bool:
        """End a lease now; False when there was none. Raises StoreGone."""
        dropped = await self._store.drop(id)
        await self.follow()
        return dropped is not None

    def known(self) -> list[Registration]:
        """What this process routes to."""
        return list(self._known.values())

    async def _vet(self, url: str) -> Address | AddressRefused:
        origin = parse_origin(url)
        if isinstance(origin, AddressRefused):
            return origin
        resolved: Sequence[str] = ()
        if origin.address is None:
            try:
                resolved = await self._resolver.addresses(origin.host)
            except OSError:
                return AddressRefused("unresolved", f"{origin.host} does not resolve to any address.")
        return vet(origin, resolved, self._allowed())

    # --------------------------------------------------------------------------------------------------- following

    async def _follow_on(self) -> None:
        while True:
            try:
                await self._store.changed(self._poll)
                await self.follow()
            except Exception:
                log.exception("following registrations")
                await asyncio.sleep(self._poll)

    async def follow(self) -> None:
        """Route to what is registered now. Keeps what it knows while the store is gone."""
        try:
            current = {r.id: r for r in await self._store.current()}
        except StoreGone as error:
            if not self._gone:
                log.warning("registrations stay as they are: %s", error)
            self._gone = True
            return
        self._gone = False
        before, self._known = self._known, current
        services: dict[str, list[Registration]] = {}
        for registration in current.values():
            services.setdefault(registration.service, []).append(registration)
        found = {name: discovered(registrations) for name, registrations in services.items()}
        self._registry.discover("registration", found, self._clock.monotonic())
        if self._followed:
            self._tell(before, current)
        self._followed = True

    def _tell(self, before: dict[str, Registration], current: dict[str, Registration]) -> None:
        if self._events is None:
            return
        for id in current.keys() - before.keys():
            come = current[id]
            self._events.publish("service.registered", come.service, {"detail": come.url, "id": id})
        for id in before.keys() - current.keys():
            gone = before[id]
            self._events.publish("service.deregistered", gone.service, {"detail": gone.url, "id": id})


def id_of(service: str, url: str) -> str:
    """The same service at the same address is the same registration, however often it registers."""
    return hashlib.sha256(f"{service}\n{url}".encode()).hexdigest()[:24]


def _problems(wanted: Wanted) -> list[tuple[str, str, str]]:
    problems = []
    if not _NAME.match(wanted.service):
        problems.append(("service", "malformed", "A service name is lower-case letters, digits and - _ . inside."))
    if not SHORTEST_LEASE <= wanted.ttl <= LONGEST_LEASE:
        problems.append(("ttl", "out_of_range", f"A lease lasts {SHORTEST_LEASE:g} to {LONGEST_LEASE:g} seconds."))
    if not 1 <= wanted.weight <= 1000:
        problems.append(("weight", "out_of_range", "A weight is 1 to 1000."))
    if not 0 <= wanted.priority <= 9:
        problems.append(("priority", "out_of_range", "A priority is 0 to 9."))
    if wanted.health and not _PROBE_PATH.match(wanted.health):
        problems.append(("health", "malformed", "The health path begins with / and is printable ASCII."))
    if len(wanted.metadata) > 32 or any(len(k) > 64 or len(v) > 256 for k, v in wanted.metadata.items()):
        problems.append(("metadata", "too_large", "Metadata is at most 32 entries of 64 and 256 characters."))
    return problems


def discovered(registrations: Sequence[Registration]) -> Discovered:
    """The targets of one service, and the policies it has when the configuration does not declare it."""
    health = next((r.health for r in registrations if r.health), "")
    policies = Upstream(
        "",
        (),
        balance=Balance("least_request"),
        probe=ProbePolicy(path=health) if health else None,
        outliers=OutlierPolicy(),
        breaker=BreakerPolicy(),
        retries=RetryPolicy(),
    )
    return Discovered(tuple(target_of(r) for r in registrations), policies)


def target_of(registration: Registration) -> Target:
    """A target that connects to the vetted address and calls it by the name it registered under."""
    origin = parse_origin(registration.url)
    assert not isinstance(origin, AddressRefused), "it was vetted"
    named = "" if origin.address is not None else origin.host
    tls = TlsToTarget(server_name=origin.host) if origin.scheme == "https" and named else None
    label = f"[{origin.host}]:{origin.port}" if ":" in origin.host else f"{origin.host}:{origin.port}"
    return Target(
        registration.url,
        origin.scheme,
        registration.address,
        origin.port,
        base_path=origin.path.encode("ascii"),
        weight=registration.weight,
        priority=registration.priority,
        name=label,
        tls=tls,
        known_as=named,
    )


def renewed(registration: Registration, now: float, before: Registration | None = None) -> Registration:
    """The registration with a lease from `now` (Unix seconds) on."""
    since = now if before is None else before.registered_at
    return replace(registration, registered_at=since, expires_at=now + registration.ttl)
