"""API keys, sessions, subjects and plans as operators see and change them, over the use cases that own them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from application.consumers import Consumers
from application.identity import Conflict, Session
from application.insight import Act
from application.keys import KeyRequest, Keys, UnknownKey
from application.operations import OperationRefused
from application.views import ApiKeyView, SessionView
from domain.consumers import ApiKey
from domain.revocation import Revocation, RevocationKind

#: Rows an operator is shown at most.
_MOST = 1000


class SessionRecords(Protocol):
    """Sessions seen on tokens."""

    def page(self, after: str = "", limit: int = 100) -> Awaitable[list[Session]]: ...


class KeysControl:
    """`insight.KeyControl`."""

    def __init__(self, keys: Keys, unix: Callable[[], float]) -> None:
        self._keys = keys
        self._unix = unix

    async def keys(self) -> Sequence[ApiKeyView]:
        now = self._unix()
        return [key_view(key, now) for key in await self._keys.page(limit=_MOST)]

    async def issue(self, wanted: Mapping[str, object], act: Act) -> tuple[ApiKeyView, str]:
        request = KeyRequest(
            consumer=str(wanted["consumer"]),
            owner=str(wanted.get("owner", "")),
            plan=str(wanted.get("plan", "")),
            scopes=_texts(wanted.get("scopes")),
            routes=_texts(wanted.get("routes")),
            cidrs=tuple(sorted(_texts(wanted.get("cidrs")))),
            lifetime=_seconds(wanted.get("expires_in")),
        )
        try:
            issued = await self._keys.issue(request, self._unix())
        except ValueError as error:
            wrong = [{"path": "cidrs", "message": str(error)}]
            raise OperationRefused("invalid", str(error), errors=wrong) from error
        return key_view(issued.key, self._unix()), str(issued.text)

    async def rotate(self, id: str, overlap: float, act: Act) -> tuple[ApiKeyView, str]:
        try:
            issued = await self._keys.rotate(id, self._unix(), overlap)
        except UnknownKey as error:
            raise OperationRefused("not_found", f"There is no key {id}.") from error
        except Conflict as error:
            raise OperationRefused("conflict", str(error), current=str(error)) from error
        return key_view(issued.key, self._unix()), str(issued.text)

    async def revoke(self, id: str, act: Act) -> None:
        try:
            await self._keys.revoke(id, self._unix(), act.reason, act.by)
        except UnknownKey as error:
            raise OperationRefused("not_found", f"There is no key {id}.") from error


class SessionsControl:
    """`insight.SessionControl`. `revoke` takes trust back everywhere."""

    def __init__(
        self,
        sessions: SessionRecords,
        revoke: Callable[[Revocation], Awaitable[None]],
        unix: Callable[[], float],
    ) -> None:
        self._sessions = sessions
        self._revoke = revoke
        self._unix = unix

    async def sessions(self) -> Sequence[SessionView]:
        return [
            SessionView(s.id, s.subject, s.issuer, s.started_at, s.last_seen, s.expires_at, s.client)
            for s in await self._sessions.page(limit=_MOST)
        ]

    async def revoke_session(self, id: str, act: Act) -> None:
        await self._take_back(RevocationKind.SESSION, id, act)

    async def revoke_subject(self, subject: str, act: Act) -> None:
        await self._take_back(RevocationKind.SUBJECT, subject, act)

    async def _take_back(self, kind: RevocationKind, value: str, act: Act) -> None:
        now = self._unix()
        before = now if kind is RevocationKind.SUBJECT else 0.0
        await self._revoke(Revocation(kind, value, before=before, reason=act.reason, actor=act.by, created_at=now))


class PlansControl:
    """`insight.PlanControl`. `changed` tells the other replicas."""

    def __init__(self, consumers: Consumers, changed: Callable[[str], Awaitable[None]]) -> None:
        self._consumers = consumers
        self._changed = changed

    async def put_on_plan(self, consumer: str, plan: str, act: Act) -> None:
        await self._consumers.assign(consumer, plan)
        await self._changed(consumer)


def key_view(key: ApiKey, now: float) -> ApiKeyView:
    return ApiKeyView(
        id=key.id,
        consumer=key.consumer,
        owner=key.owner,
        plan=key.plan,
        scopes=tuple(sorted(key.scopes)),
        created_at=key.created_at,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
        state=key.state(now).value,
        cidrs=tuple(key.cidrs),
        routes=tuple(sorted(key.routes)),
    )


def _texts(value: object) -> frozenset[str]:
    return frozenset(str(item) for item in value) if isinstance(value, (list, tuple)) else frozenset()


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
