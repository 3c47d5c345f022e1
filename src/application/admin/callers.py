"""What operators see and do of callers: API keys, sessions, and the plans consumers are on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from spork.application.admin.controls import Act
from spork.application.callers.consumers import Consumers
from spork.application.callers.keys import IssuedKey, KeyRequest, Keys, UnknownKey
from spork.application.callers.ports import Session
from spork.application.callers.sessions import Sessions
from spork.application.callers.trust import RevocationSync
from spork.application.views import ApiKeyView, SessionView
from spork.domain.identity.consumers import ApiKey

#: Most keys one answer lists; more are found by consumer through `spork keys list`.
_MOST = 1000


def key_view(key: ApiKey, now: float) -> ApiKeyView:
    """The record as operators see it: nothing of its secret."""
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
        cidrs=key.cidrs,
        routes=tuple(sorted(key.routes)),
        roles=tuple(sorted(key.roles)),
        tenant=key.tenant,
    )


def session_view(session: Session) -> SessionView:
    return SessionView(
        session.id,
        session.subject,
        session.issuer,
        session.started_at,
        session.last_seen,
        session.expires_at,
        session.client,
    )


class CallerControl:
    """Implements `insight.KeyControl`, `SessionControl` and `PlanControl`."""

    def __init__(
        self, keys: Keys, sessions: Sessions, consumers: Consumers, trust: RevocationSync, unix: Callable[[], float]
    ) -> None:
        self._keys = keys
        self._sessions = sessions
        self._consumers = consumers
        self._trust = trust
        self._unix = unix

    async def keys(self) -> list[ApiKeyView]:
        return [key_view(key, self._unix()) for key in await self._keys.page(limit=_MOST)]

    async def key(self, id: str) -> ApiKeyView | None:
        try:
            return key_view(await self._keys.get(id), self._unix())
        except UnknownKey:
            return None

    async def search(
        self, consumer: str, text: str, state: str, after: str, limit: int
    ) -> tuple[list[ApiKeyView], str]:
        now = self._unix()
        found, following = await self._keys.search(consumer, text, state, after, limit, now)
        return [key_view(key, now) for key in found], following

    async def export(self, after: str) -> tuple[list[dict[str, object]], str]:
        """A page of rows, and the id to go on from."""
        found, following = await self._keys.search(after=after, limit=_MOST, now=self._unix())
        return [self._keys.row_of(key) for key in found], following

    def read_rows(self, rows: Sequence[object]) -> tuple[list[ApiKey], list[str]]:
        return self._keys.read_rows(rows, self._unix())

    async def bring(self, keys: Sequence[ApiKey], act: Act) -> tuple[int, int]:
        """How many were added, and how many were there."""
        done = await self._keys.bring(keys)
        return done.added, done.there

    async def revoke_all(self, ids: Sequence[str], act: Act) -> int:
        return await self._keys.revoke_all(ids, self._unix(), act.reason, act.by)

    async def issue(self, wanted: Mapping[str, object], act: Act) -> tuple[ApiKeyView, str]:
        return self._shown(await self._keys.issue(key_request(wanted), self._unix()))

    async def rotate(self, id: str, overlap: float, act: Act) -> tuple[ApiKeyView, str]:
        return self._shown(await self._keys.rotate(id, self._unix(), overlap))

    async def revoke(self, id: str, act: Act) -> None:
        await self._keys.revoke(id, self._unix(), act.reason, act.by)

    def _shown(self, issued: IssuedKey) -> tuple[ApiKeyView, str]:
        return key_view(issued.key, self._unix()), str(issued.text)

    async def sessions(self) -> list[SessionView]:
        return [session_view(session) for session in await self._sessions.page()]

    async def revoke_session(self, id: str, act: Act) -> None:
        await self._sessions.end(id, "", act.reason, act.by)

    async def revoke_subject(self, subject: str, act: Act) -> None:
        await self._sessions.end_subject(subject, "", self._unix(), act.reason, act.by)

    async def put_on_plan(self, consumer: str, plan: str, act: Act) -> None:
        await self._consumers.assign(consumer, plan)
        await self._trust.consumer_changed(consumer)


def key_request(wanted: Mapping[str, object]) -> KeyRequest:
    """What an operator asks for, from the words of the admin API. Raises ValueError."""

    def words(name: str) -> tuple[str, ...]:
        given = wanted.get(name) or ()
        return tuple(str(word) for word in given) if isinstance(given, Iterable) else ()

    lifetime = wanted.get("expires_in")
    return KeyRequest(
        consumer=str(wanted.get("consumer", "")),
        owner=str(wanted.get("owner") or ""),
        plan=str(wanted.get("plan") or ""),
        tenant=str(wanted.get("tenant") or ""),
        scopes=frozenset(words("scopes")),
        roles=frozenset(words("roles")),
        routes=frozenset(words("routes")),
        cidrs=words("cidrs"),
        lifetime=float(lifetime) if isinstance(lifetime, int | float) else None,
    )
