"""What operators do: POST on `/admin/v1`, answered with an `ActionResult`. A dry run changes nothing and is answered alike."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec
from litestar import Request, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import Parameter

from adapters.litestar.admin.access import AdminProblem
from adapters.litestar.admin.answers import writing
from application.actions import Actions
from application.insight import Act
from application.operations import Operations, Prepared, Write
from application.operators import Operator
from application.views import ActionResult

Reason = Annotated[str, msgspec.Meta(max_length=500, description="Why; goes into the audit trail", examples=["INC-4711"])]
Ttl = Annotated[float, msgspec.Meta(gt=0, le=2_592_000, description="Seconds until it undoes itself", examples=[600])]
DryRun = Annotated[bool, Parameter(query="dry_run", description="Say what would happen and change nothing")]
IfMatch = Annotated[str, Parameter(header="If-Match", max_length=64, pattern='^$|^\\*$|^"?[0-9]{1,18}"?$')]
IdempotencyKey = Annotated[str, Parameter(header="Idempotency-Key", max_length=128)]


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
    """A new API key. `expires_in` in seconds; empty `scopes`, `routes` and `cidrs` do not restrict."""

    consumer: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    owner: Annotated[str, msgspec.Meta(max_length=100)] = ""
    plan: Annotated[str, msgspec.Meta(max_length=100)] = ""
    scopes: Annotated[list[str], msgspec.Meta(max_length=100)] = []
    routes: Annotated[list[str], msgspec.Meta(max_length=100)] = []
    cidrs: Annotated[list[str], msgspec.Meta(max_length=100)] = []
    expires_in: Annotated[float, msgspec.Meta(gt=0, le=315_360_000)] | None = None
    reason: Reason = ""


class Rotation(msgspec.Struct, forbid_unknown_fields=True):
    """`overlap`: seconds for which the old secret still works."""

    overlap: Annotated[float, msgspec.Meta(ge=0, le=2_592_000)] = 86_400
    reason: Reason = ""


Prepare = Callable[[Act], Awaitable[Prepared]]


class Desk:
    """Turns a request into a write and has it carried out."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def carry_out(
        self,
        request: Request[Any, Any, Any],
        prepare: Prepare,
        if_match: str,
        key: str,
        dry_run: bool,
        reason: str = "",
        ttl: float | None = None,
    ) -> ActionResult:
        operator: Operator = request.scope["state"]["operator"]
        body = await request.body()
        write = Write(
            operator=operator,
            client=request.client.host if request.client is not None else "",
            request_id=request.headers.get("x-request-id", "")[:128],
            reason=reason,
            if_match=revision_of(if_match),
            idempotency_key=key,
            dry_run=dry_run,
            fingerprint=hashlib.sha256(f"{request.method} {request.url.path}\0".encode() + body).hexdigest(),
        )
        act = Act(operator.name, reason, ttl)
        return await self._operations.carry_out(write, lambda: prepare(act))


def revision_of(if_match: str) -> int | None:
    """The revision in an If-Match header; None when there is no condition. Raises AdminProblem."""
    text = if_match.strip().strip('"')
    if not text or text == "*":
        return None
    if not text.isascii() or not text.isdigit():
        raise AdminProblem(422, "If-Match takes one revision.", errors=[{"path": "If-Match", "message": "not a revision"}])
    return int(text)


def acting_handlers(actions: Actions, operations: Operations) -> list[HTTPRouteHandler]:
    """The part of the API that changes things other than the configuration."""
    desk = Desk(operations)
    return [*_breakers(actions, desk), *_targets(actions, desk), *_quotas(actions, desk), *_keys(actions, desk),
            *_sessions(actions, desk)]  # fmt: skip


def _breakers(actions: Actions, desk: Desk) -> list[HTTPRouteHandler]:
    @post("/breakers/{name:str}/trip", summary="Force a circuit open", **writing("operator", "breaker.trip"))
    async def trip(
        request: Request[Any, Any, Any], name: str, data: WhyAndHowLong, if_match: IfMatch = "",
        key: IdempotencyKey = "", dry_run: DryRun = False,
    ) -> ActionResult:  # fmt: skip
        prepare: Prepare = lambda act: actions.trip(unquote(name), act)  # noqa: E731
        return await desk.carry_out(request, prepare, if_match, key, dry_run, data.reason, data.ttl)

    @post("/breakers/{name:str}/reset", summary="Close a circuit and forget its counts", **writing("operator", "breaker.reset"))
    async def reset(
        request: Request[Any, Any, Any], name: str, data: Why, if_match: IfMatch = "", key: IdempotencyKey = "",
        dry_run: DryRun = False,
    ) -> ActionResult:  # fmt: skip
        prepare: Prepare = lambda act: actions.reset(unquote(name), act)  # noqa: E731
        return await desk.carry_out(request, prepare, if_match, key, dry_run, data.reason)

    return [trip, reset]


def _targets(actions: Actions, desk: Desk) -> list[HTTPRouteHandler]:
    path = "/targets/{upstream:str}/{target:str}"

    @post(path + "/drain", summary="Send nothing new to a target", **writing("operator", "target.drain"))
    async def drain(
        request: Request[Any, Any, Any], upstream: str, target: str, data: WhyAndHowLong, if_match: IfMatch = "",
        key: IdempotencyKey = "", dry_run: DryRun = False,
    ) -> ActionResult:  # fmt: skip
        prepare: Prepare = lambda act: actions.drain(unquote(upstream), unquote(target), act)  # noqa: E731
        return await desk.carry_out(request, prepare, if_match, key, dry_run, data.reason, data.ttl)

    @post(path + "/undrain", summary="Use a drained target again", **writing("operator", "target.undrain"))
    async def undrain(
        request: Request[Any, Any, Any], upstream: str, target: str, data: Why, if_match: IfMatch = "",
        key: IdempotencyKey = "", dry_run: DryRun = False,
    ) -> ActionResult:  # fmt: skip
        prepare: Prepare = lambda act: actions.undrain(unquote(upstream), unquote(target), act)  # noqa: E731
        return await desk.carry_out(request, prepare, if_match, key, dry_run, data.reason)

    @post(path + "/probe", summary="Probe a target now", **writing("operator", "target.probe"))
    async def probe(
        request: Request[Any, Any, Any], upstream: str, target: str, data: Why | None = None, if_match: IfMatch = "",
        key: IdempotencyKey = "", dry_run: DryRun = False,
    ) -> ActionResult:  # fmt: skip
        prepare: Prepare = lambda act: actions.probe(unquote(upstream), unquote(target))  # noqa: E731
        return await desk.carry_out(request, prepare, if_match, key, dry_run, data.reason if data else "")

    return [drain, undrain, probe]


def _quotas(actions: Actions, desk: Desk) -> list[HTTPRouteHandler]:
    @post("/quotas/{id:str}/reset", summary="Give a subject its whole quota back", **writing("operator", "quota.reset"))
    async def reset(
        request: Request[Any, Any, Any], id: str, data: Why, if_match: IfMatch = "", key: IdempotencyKey = "",
        dry_run: DryRun = False,
    ) -> ActionResult:  # fmt: skip
        prepare: Prepare = lambda act: actions.reset_quota(unquote(id), act)  # noqa: E731
        return await desk.carry_out(request, prepare, if_match, key, dry_run, data.reason)

    @post("/quotas/{id:str}/raise", summary="Another quota for one subject, for a while", **writing("operator", "quota.raise"))
    async def raise_(
        request: Request[Any, Any, Any], id: str, data: Raise, if_match: IfMatch = "", key: IdempotencyKey = "",
        dry_run: DryRun = False,
    ) -> ActionResult:  # fmt: skip
        prepare: Prepare = lambda act: actions.raise_quota(unquote(id), data.quota, act)  # noqa: E731
        return await desk.carry_out(request, prepare, if_match, key, dry_run, data.reason, data.ttl)

    @post("/consumers/{name:str}/plan", summary="Put a consumer on another plan", **writing("admin", "consumer.plan"))
    async def plan(
        request: Request[Any, Any, Any], name: str, data: NewPlan, if_match: IfMatch = "", key: IdempotencyKey = "",
        dry_run: DryRun = False,
    ) -> ActionResult:  # fmt: skip
        prepare: Prepare = lambda act: actions.change_plan(unquote(name), data.plan, act)  # noqa: E731
        return await desk.carry_out(request, prepare, if_match, key, dry_run, data.reason)

    return [reset, raise_, plan]


def _keys(actions: Actions, desk: Desk) -> list[HTTPRouteHandler]:
    @post("/keys", summary="Issue an API key; its secret is in this answer only", **writing("admin", "key.issue"))
    async def issue(
        request: Request[Any, Any, Any], data: NewKey, if_match: IfMatch = "", key: IdempotencyKey = "",
        dry_run: DryRun = False,
    ) -> ActionResult:  # fmt: skip
        wanted = msgspec.to_builtins(data)
        prepare: Prepare = lambda act: actions.issue_key(wanted, act)  # noqa: E731
        return await desk.carry_out(request, prepare, if_match, key, dry_run, data.reason)

    @post("/keys/{id:str}/rotate", summary="A second secret; the old one ends after the overlap", **writing("admin", "key.rotate"))
    async def rotate(
        request: Request[Any, Any, Any], id: str, data: Rotation, if_match: IfMatch = "", key: IdempotencyKey = "",
        dry_run: DryRun = False,
    ) -> ActionResult:  # fmt: skip
        prepare: Prepare = lambda act: actions.rotate_key(unquote(id), data.overlap, act)  # noqa: E731
        return await desk.carry_out(request, prepare, if_match, key, dry_run, data.reason)

    @post("/keys/{id:str}/revoke", summary="Refuse a key from now on", **writing("admin", "key.revoke"))
    async def revoke(
        request: Request[Any, Any, Any], id: str, data: Why, if_match: IfMatch = "", key: IdempotencyKey = "",
        dry_run: DryRun = False,
    ) -> ActionResult:  # fmt: skip
        prepare: Prepare = lambda act: actions.revoke_key(unquote(id), act)  # noqa: E731
        return await desk.carry_out(request, prepare, if_match, key, dry_run, data.reason)

    return [issue, rotate, revoke]


def _sessions(actions: Actions, desk: Desk) -> list[HTTPRouteHandler]:
    @post("/sessions/{id:str}/revoke", summary="Refuse every token of a session", **writing("admin", "session.revoke"))
    async def session(
        request: Request[Any, Any, Any], id: str, data: Why, if_match: IfMatch = "", key: IdempotencyKey = "",
        dry_run: DryRun = False,
    ) -> ActionResult:  # fmt: skip
        prepare: Prepare = lambda act: actions.revoke_session(unquote(id), act)  # noqa: E731
        return await desk.carry_out(request, prepare, if_match, key, dry_run, data.reason)

    @post("/subjects/{subject:str}/revoke", summary="Refuse every token a subject has now", **writing("admin", "subject.revoke"))
    async def subject_(
        request: Request[Any, Any, Any], subject: str, data: Why, if_match: IfMatch = "", key: IdempotencyKey = "",
        dry_run: DryRun = False,
    ) -> ActionResult:  # fmt: skip
        prepare: Prepare = lambda act: actions.revoke_subject(unquote(subject), act)  # noqa: E731
        return await desk.carry_out(request, prepare, if_match, key, dry_run, data.reason)

    return [session, subject_]
