"""What operators do: POST on `/admin/v1`, answered with an `ActionResult`. A dry run changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec
from litestar import Request, Router, post
from litestar.di import NamedDependency, Provide
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter

from spork.adapters.litestar.admin.access import AdminProblem
from spork.adapters.litestar.admin.answers import writing
from spork.application.admin.actions import Actions
from spork.application.admin.commands import Operations, Prepared, Write
from spork.application.admin.controls import Act
from spork.application.views import ActionResult

Reason = Annotated[
    str, msgspec.Meta(max_length=500, description="Why; goes into the audit trail", examples=["INC-4711"])
]
Ttl = Annotated[float, msgspec.Meta(gt=0, le=2_592_000, description="Seconds until it undoes itself", examples=[600])]
DryRun = Annotated[bool, QueryParameter(name="dry_run", description="Say what would happen and change nothing")]
IfMatch = Annotated[str, HeaderParameter(name="If-Match", max_length=64, pattern='^$|^\\*$|^"?[0-9]{1,18}"?$')]
IdempotencyKey = Annotated[str, HeaderParameter(name="Idempotency-Key", max_length=128)]


class Why(msgspec.Struct, forbid_unknown_fields=True):
    """Reason only."""

    reason: Reason = ""


class WhyAndHowLong(msgspec.Struct, forbid_unknown_fields=True):
    """Reason, and the time after which it undoes itself; left out: until somebody undoes it."""

    reason: Reason = ""
    ttl: Ttl | None = None


class Raise(msgspec.Struct, forbid_unknown_fields=True):
    """A higher quota for one subject, for a while."""

    quota: Annotated[int, msgspec.Meta(gt=0, le=1_000_000_000)]
    ttl: Ttl
    reason: Reason = ""


class NewPlan(msgspec.Struct, forbid_unknown_fields=True):
    plan: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    reason: Reason = ""


class NewKey(msgspec.Struct, forbid_unknown_fields=True):
    """A new API key. `expires_in` in seconds; empty `routes` and `cidrs` do not restrict. What it names (consumer, plan,
    routes, scopes) must exist in the configuration, unless `force` says otherwise."""

    consumer: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    owner: Annotated[str, msgspec.Meta(max_length=100)] = ""
    plan: Annotated[str, msgspec.Meta(max_length=100)] = ""
    scopes: Annotated[list[str], msgspec.Meta(max_length=100)] = []
    routes: Annotated[list[str], msgspec.Meta(max_length=100)] = []
    cidrs: Annotated[list[str], msgspec.Meta(max_length=100)] = []
    roles: Annotated[list[str], msgspec.Meta(max_length=100)] = []
    tenant: Annotated[str, msgspec.Meta(max_length=100)] = ""
    force: bool = False
    expires_in: Annotated[float, msgspec.Meta(gt=0, le=315_360_000)] | None = None
    reason: Reason = ""


class ImportedKeys(msgspec.Struct, forbid_unknown_fields=True):
    """Keys from elsewhere: each an object with `consumer` and one of `text`, `sha256` (of the text, hex) or what an export says (`id`,
    `secrets`, `pepper`), and optionally owner, plan, tenant, scopes, roles, routes, cidrs, created_at, expires_at, revoked_at. All of them
    are taken or none; those that are there already stay as they are."""

    keys: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1, max_length=10_000)]
    force: bool = False
    reason: Reason = ""


class RevokedKeys(msgspec.Struct, forbid_unknown_fields=True):
    """All keys of `consumer`, or those of `ids`: at most 1000 at a time."""

    consumer: Annotated[str, msgspec.Meta(max_length=100)] = ""
    ids: Annotated[list[str], msgspec.Meta(max_length=1000)] = []
    reason: Reason = ""


class Rotation(msgspec.Struct, forbid_unknown_fields=True):
    """`overlap`: seconds for which the old secret still works."""

    overlap: Annotated[float, msgspec.Meta(ge=0, le=2_592_000)] = 86_400
    reason: Reason = ""


Prepare = Callable[[Act], Awaitable[Prepared]]


@dataclass(frozen=True, slots=True)
class Terms:
    """Who sent a write, and the conditions that go with every one."""

    request: Request[Any, Any, Any]
    if_match: str
    key: str
    dry_run: bool

    async def write(self, reason: str) -> Write:
        request = self.request
        body = await request.body()
        return Write(
            operator=request.scope["state"]["operator"],
            client=request.client.host if request.client is not None else "",
            request_id=request.headers.get("x-request-id", "")[:128],
            reason=reason,
            if_match=revision_of(self.if_match),
            idempotency_key=self.key,
            dry_run=self.dry_run,
            fingerprint=hashlib.sha256(f"{request.method} {request.url.path}\0".encode() + body).hexdigest(),
        )


def terms_of(
    request: Request[Any, Any, Any], if_match: IfMatch = "", key: IdempotencyKey = "", dry_run: DryRun = False
) -> Terms:
    return Terms(request, if_match, key, dry_run)


class Desk:
    """Turns a request into a write and has it carried out."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def carry_out(
        self, terms: Terms, prepare: Prepare, reason: str = "", ttl: float | None = None
    ) -> ActionResult:
        write = await terms.write(reason)
        act = Act(write.operator.name, reason, ttl)
        return await self._operations.carry_out(write, lambda: prepare(act))


def revision_of(if_match: str) -> int | None:
    """The revision in an If-Match header; None when there is no condition. Raises AdminProblem."""
    text = if_match.strip().strip('"')
    if not text or text == "*":
        return None
    if not text.isascii() or not text.isdigit():
        wrong = [{"path": "If-Match", "message": "not a revision"}]
        raise AdminProblem(422, "If-Match takes one revision.", errors=wrong)
    return int(text)


#: For the router of everything that writes.
TERMS = {"terms": Provide(terms_of, sync_to_thread=False)}


def acting_handlers(actions: Actions, operations: Operations) -> list[Router]:
    """The part of the API that changes things other than the configuration."""
    desk = Desk(operations)
    handlers = [
        *_breakers(actions, desk),
        *_targets(actions, desk),
        *_quotas(actions, desk),
        *_keys(actions, desk),
        *_sessions(actions, desk),
        *_connections(actions, desk),
    ]
    return [Router("/", route_handlers=handlers, dependencies=TERMS)]


def _breakers(actions: Actions, desk: Desk) -> list[HTTPRouteHandler]:
    @post("/breakers/{name:str}/trip", summary="Force a circuit open", **writing("operator", "breaker.trip"))
    async def trip(terms: NamedDependency[Terms], name: FromPath[str], data: JSONBody[WhyAndHowLong]) -> ActionResult:
        return await desk.carry_out(terms, lambda act: actions.trip(unquote(name), act), data.reason, data.ttl)

    @post(
        "/breakers/{name:str}/reset",
        summary="Close a circuit and forget its counts",
        **writing("operator", "breaker.reset"),
    )
    async def reset(terms: NamedDependency[Terms], name: FromPath[str], data: JSONBody[Why]) -> ActionResult:
        return await desk.carry_out(terms, lambda act: actions.reset(unquote(name), act), data.reason)

    return [trip, reset]


def _targets(actions: Actions, desk: Desk) -> list[HTTPRouteHandler]:
    @post(
        "/targets/{upstream:str}/{target:str}/drain",
        summary="Send nothing new to a target",
        **writing("operator", "target.drain"),
    )
    async def drain(
        terms: NamedDependency[Terms], upstream: FromPath[str], target: FromPath[str], data: JSONBody[WhyAndHowLong]
    ) -> ActionResult:
        return await desk.carry_out(
            terms, lambda act: actions.drain(unquote(upstream), unquote(target), act), data.reason, data.ttl
        )

    @post(
        "/targets/{upstream:str}/{target:str}/undrain",
        summary="Use a drained target again",
        **writing("operator", "target.undrain"),
    )
    async def undrain(
        terms: NamedDependency[Terms], upstream: FromPath[str], target: FromPath[str], data: JSONBody[Why]
    ) -> ActionResult:
        return await desk.carry_out(
            terms, lambda act: actions.undrain(unquote(upstream), unquote(target), act), data.reason
        )

    @post(
        "/targets/{upstream:str}/{target:str}/probe",
        summary="Probe a target now",
        **writing("operator", "target.probe"),
    )
    async def probe(
        terms: NamedDependency[Terms], upstream: FromPath[str], target: FromPath[str], data: JSONBody[Why | None] = None
    ) -> ActionResult:
        return await desk.carry_out(
            terms, lambda act: actions.probe(unquote(upstream), unquote(target)), data.reason if data else ""
        )

    return [drain, undrain, probe]


def _quotas(actions: Actions, desk: Desk) -> list[HTTPRouteHandler]:
    @post("/quotas/{id:str}/reset", summary="Give a subject its whole quota back", **writing("operator", "quota.reset"))
    async def reset(terms: NamedDependency[Terms], id: FromPath[str], data: JSONBody[Why]) -> ActionResult:
        return await desk.carry_out(terms, lambda act: actions.reset_quota(unquote(id), act), data.reason)

    @post(
        "/quotas/{id:str}/raise",
        summary="Another quota for one subject, for a while",
        **writing("operator", "quota.raise"),
    )
    async def raise_(terms: NamedDependency[Terms], id: FromPath[str], data: JSONBody[Raise]) -> ActionResult:
        return await desk.carry_out(
            terms, lambda act: actions.raise_quota(unquote(id), data.quota, act), data.reason, data.ttl
        )

    @post("/consumers/{name:str}/plan", summary="Put a consumer on another plan", **writing("admin", "consumer.plan"))
    async def plan(terms: NamedDependency[Terms], name: FromPath[str], data: JSONBody[NewPlan]) -> ActionResult:
        return await desk.carry_out(terms, lambda act: actions.change_plan(unquote(name), data.plan, act), data.reason)

    return [reset, raise_, plan]


def _keys(actions: Actions, desk: Desk) -> list[HTTPRouteHandler]:
    @post("/keys", summary="Issue an API key; its secret is in this answer only", **writing("admin", "key.issue"))
    async def issue(terms: NamedDependency[Terms], data: JSONBody[NewKey]) -> ActionResult:
        return await desk.carry_out(terms, lambda act: actions.issue_key(msgspec.to_builtins(data), act), data.reason)

    @post(
        "/keys/{id:str}/rotate",
        summary="A second secret; the old one ends after the overlap",
        **writing("admin", "key.rotate"),
    )
    async def rotate(terms: NamedDependency[Terms], id: FromPath[str], data: JSONBody[Rotation]) -> ActionResult:
        return await desk.carry_out(terms, lambda act: actions.rotate_key(unquote(id), data.overlap, act), data.reason)

    @post("/keys/{id:str}/revoke", summary="Refuse a key from now on", **writing("admin", "key.revoke"))
    async def revoke(terms: NamedDependency[Terms], id: FromPath[str], data: JSONBody[Why]) -> ActionResult:
        return await desk.carry_out(terms, lambda act: actions.revoke_key(unquote(id), act), data.reason)

    @post("/keys/import", summary="Bring keys along, all of them or none", **writing("admin", "key.import"))
    async def bring(terms: NamedDependency[Terms], data: JSONBody[ImportedKeys]) -> ActionResult:
        return await desk.carry_out(terms, lambda act: actions.import_keys(data.keys, data.force, act), data.reason)

    @post("/keys/revoke", summary="Refuse many keys from now on", **writing("admin", "key.revoke_all"))
    async def revoke_all(terms: NamedDependency[Terms], data: JSONBody[RevokedKeys]) -> ActionResult:
        return await desk.carry_out(terms, lambda act: actions.revoke_keys(data.consumer, data.ids, act), data.reason)

    return [issue, rotate, revoke, bring, revoke_all]


def _sessions(actions: Actions, desk: Desk) -> list[HTTPRouteHandler]:
    @post("/sessions/{id:str}/revoke", summary="Refuse every token of a session", **writing("admin", "session.revoke"))
    async def session(terms: NamedDependency[Terms], id: FromPath[str], data: JSONBody[Why]) -> ActionResult:
        return await desk.carry_out(terms, lambda act: actions.revoke_session(unquote(id), act), data.reason)

    @post(
        "/subjects/{subject:str}/revoke",
        summary="Refuse every token a subject has now",
        **writing("admin", "subject.revoke"),
    )
    async def subject_(terms: NamedDependency[Terms], subject: FromPath[str], data: JSONBody[Why]) -> ActionResult:
        return await desk.carry_out(terms, lambda act: actions.revoke_subject(unquote(subject), act), data.reason)

    return [session, subject_]


def _connections(actions: Actions, desk: Desk) -> list[HTTPRouteHandler]:
    @post(
        "/connections/{id:str}/close",
        summary="End one live connection of this node",
        **writing("operator", "connection.close"),
    )
    async def close(terms: NamedDependency[Terms], id: FromPath[str], data: JSONBody[Why]) -> ActionResult:
        return await desk.carry_out(terms, lambda _: actions.close_connection(unquote(id)), data.reason)

    return [close]
