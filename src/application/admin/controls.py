"""What other parts let operators see and do. Each part implements the port it can; a missing part answers nothing.

Answers may be values or awaitables, as the ports of the request path: in memory they are at hand, a store must be asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from spork.application.kernel.tasks import Soon
from spork.application.views import (
    ApiKeyView,
    BreakerView,
    CacheEntryView,
    CacheView,
    ChannelsView,
    ComponentHealth,
    ConnectionView,
    LimitView,
    OpenApiReportView,
    QuotaView,
    SessionView,
    TargetView,
)
from spork.domain.identity.consumers import ApiKey


class OpenApiControl(Protocol):
    """Documents of upstreams, and the one that is published."""

    def report(self) -> OpenApiReportView: ...

    async def document(
        self, form: str, roles: frozenset[str] = frozenset(), scopes: frozenset[str] = frozenset()
    ) -> tuple[bytes, str]:
        """(text, ETag) as json or yaml: all of it with routes, or what a holder of these roles and scopes gets."""


@dataclass(frozen=True, slots=True)
class Act:
    """Why and by whom an operator's action is done. `ttl` in seconds, None for until undone."""

    by: str
    reason: str
    ttl: float | None = None


class UpstreamControl(Protocol):
    """Live upstreams of this process, and what operators may do to them (which the part shares with its replicas)."""

    def breakers(self, now: float, unix: float) -> list[BreakerView]: ...

    def targets(self, now: float, unix: float) -> list[TargetView]: ...

    def probed(self, now: float) -> dict[str, tuple[int, int]]:
        """(probes, those that passed) of the last hour, by upstream."""

    def trip(self, name: str, act: Act, now: float) -> Soon[None]: ...

    def reset(self, name: str, act: Act, now: float) -> Soon[None]: ...

    def drain(self, upstream: str, target: str, act: Act, now: float) -> Soon[None]: ...

    def undrain(self, upstream: str, target: str, act: Act, now: float) -> Soon[None]: ...

    def probe(self, upstream: str, target: str) -> Soon[str]:
        """Probe now; answers the verdict as a sentence."""


class QuotaControl(Protocol):
    """The limiter's windows, wherever they are kept."""

    def limits(self) -> Soon[Sequence[LimitView]]: ...

    def quotas(self, top: int, sort: str, text: str, offset: int) -> Soon[tuple[Sequence[QuotaView], int]]:
        """Windows worst first by `sort` (used or refused), and how many there are in all."""

    def quota(self, id: str) -> Soon[QuotaView | None]: ...

    def reset(self, id: str, act: Act) -> Soon[None]: ...

    def raise_to(self, id: str, quota: int, act: Act) -> Soon[None]: ...


class KeyControl(Protocol):
    """API keys in records. A secret is answered once, by `issue` and `rotate`."""

    def keys(self) -> Soon[Sequence[ApiKeyView]]: ...

    def key(self, id: str) -> Soon[ApiKeyView | None]: ...

    def search(
        self, consumer: str, text: str, state: str, after: str, limit: int
    ) -> Soon[tuple[Sequence[ApiKeyView], str]]:
        """Keys that fit, in order of id, and the id to go on from, "" at the end."""

    def export(self, after: str) -> Soon[tuple[Sequence[Mapping[str, object]], str]]:
        """Rows with digests, for other records with the same pepper."""

    def read_rows(self, rows: Sequence[object]) -> tuple[Sequence[ApiKey], Sequence[str]]:
        """Keys of an import, and what is wrong with the other rows."""

    def bring(self, keys: Sequence[ApiKey], act: Act) -> Soon[tuple[int, int]]:
        """Add keys: how many are new, how many were there already."""

    def revoke_all(self, ids: Sequence[str], act: Act) -> Soon[int]: ...

    def issue(self, wanted: Mapping[str, object], act: Act) -> Soon[tuple[ApiKeyView, str]]: ...

    def rotate(self, id: str, overlap: float, act: Act) -> Soon[tuple[ApiKeyView, str]]: ...

    def revoke(self, id: str, act: Act) -> Soon[None]: ...


class SessionControl(Protocol):
    """Sessions and subjects whose tokens can be revoked."""

    def sessions(self) -> Soon[Sequence[SessionView]]: ...

    def revoke_session(self, id: str, act: Act) -> Soon[None]: ...

    def revoke_subject(self, subject: str, act: Act) -> Soon[None]: ...


class PlanControl(Protocol):
    """Which plan a consumer is on."""

    def put_on_plan(self, consumer: str, plan: str, act: Act) -> Soon[None]: ...


class Component(Protocol):
    """A part with a health of its own. Must answer within a second; what raises or is late is failing."""

    def health(self) -> Soon[ComponentHealth]: ...


class ChannelControl(Protocol):
    """Channels of this node."""

    def view(self, top: int = 1000) -> ChannelsView: ...

    async def present(self, topic: str) -> list[str]:
        """Users present on a topic, fleet-wide."""


class ConnectionControl(Protocol):
    """Live exchanges of the fleet: WebSockets, event streams, long downloads. Ids of other nodes are `NUMBER@NODE`."""

    def views(self, consumer: str = "", route: str = "", kind: str = "") -> Soon[list[ConnectionView]]: ...

    def view(self, id: str) -> Soon[ConnectionView | None]: ...

    def close(self, id: str) -> bool:
        """End it as an operator; False when it is over already."""


class CacheControl(Protocol):
    """The response cache of this process, and purges for the fleet."""

    def view(self) -> CacheView: ...

    def entries(self, url: str) -> Soon[Sequence[CacheEntryView]]:
        """What is stored of a URL. Raises ValueError for what is none."""

    async def purge(
        self, urls: Sequence[str], tags: Sequence[str], routes: Sequence[str], everything: bool, soft: bool
    ) -> tuple[str, ...]:
        """Purge; answers the nodes that did not confirm it within a second. Raises ValueError for what is no URL."""

    async def forget(self, subject: str) -> None:
        """Purge every answer that was made for this person alone."""


@dataclass(slots=True)
class Controls:
    """The parts that are there in this process."""

    upstreams: UpstreamControl | None = None
    quotas: QuotaControl | None = None
    keys: KeyControl | None = None
    sessions: SessionControl | None = None
    plans: PlanControl | None = None
    connections: ConnectionControl | None = None
    channels: ChannelControl | None = None
    cache: CacheControl | None = None
    openapi: OpenApiControl | None = None
