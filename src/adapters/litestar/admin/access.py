"""Who may call what on the admin listener, and how a refusal looks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

import msgspec
from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import BaseRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from spork.adapters.litestar.problems import TYPE_PREFIX, retry_after
from spork.application.admin.access import Locked, NotAnOperator, Operator, Operators
from spork.application.admin.commands import OperationRefused
from spork.domain.http.listener_names import answers_to

PROBLEM = "application/problem+json"
_STATUS = {"not_found": 404, "conflict": 409, "precondition_failed": 412, "invalid": 422, "unavailable": 503}
_TITLES = {
    400: "The request is malformed",
    401: "A valid admin token is required",
    403: "Not allowed with this token",
    404: "Not found",
    405: "Method not allowed",
    409: "It is in another state",
    412: "It has changed since",
    413: "The request is too large",
    415: "The content type is not supported",
    421: "The admin API does not go by this name",
    422: "The request is not acceptable",
    429: "Too many failed attempts",
    500: "Internal error",
    503: "Not available right now",
}
#: Called with (kind, actor, client address, detail) for security events: a refused token, a locked address, a role that is
#: too low.
Witness = Callable[[str, str, str, str], None]
#: What a witness is told of somebody who has shown no good token.
NOBODY = "(unknown)"
#: What probes ask for, under whatever name they know.
_PROBED = frozenset(("/health", "/ready", "/health/startup"))
#: Seconds between two records of one address that goes on while it is locked out, and how many addresses are remembered.
_LOCK_TOLD_EVERY = 60.0
_MOST_LOCKED = 10_000


class AdminProblem(Exception):
    """An answer that is a problem document."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None, **members: object) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, members: Mapping[str, object] | None = None
) -> Response[bytes]:
    reason = {401: "unauthenticated", 403: "forbidden", 404: "not_found", 409: "conflict", 412: "precondition_failed",
              422: "invalid", 421: "unknown_host", 429: "locked", 503: "unavailable"}.get(status, "bad_request")  # fmt: skip
    document = {"type": TYPE_PREFIX + "admin:" + reason, "title": _TITLES.get(status, "Error"), "status": status}
    document |= {"detail": detail} if detail else {}
    document |= members or {}
    return Response(
        msgspec.json.encode(document),
        status_code=status,
        media_type=PROBLEM,
        headers={"cache-control": "no-store", **(headers or {})},
    )


def admin_problem(_: Request[Any, Any, Any], error: AdminProblem) -> Response[bytes]:
    return problem(error.status, error.detail, error.headers, error.members)


def operation_refused(_: Request[Any, Any, Any], error: OperationRefused) -> Response[bytes]:
    status = _STATUS.get(error.word, 500)
    headers = {"retry-after": "1"} if status == 503 else {}
    return problem(status, error.detail, headers, error.members)


def invalid(_: Request[Any, Any, Any], error: ValidationException) -> Response[bytes]:
    extra = cast("list[dict[str, object]]", error.extra if isinstance(error.extra, list) else [])
    errors = [{"path": str(e.get("key", "")), "message": str(e.get("message", ""))} for e in extra]
    return problem(422, error.detail.partition(" for ")[0], members={"errors": errors})


def http_error(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    return problem(error.status_code, error.detail if error.status_code < 500 else "", error.headers)


def too_deep(_: Request[Any, Any, Any], error: RecursionError) -> Response[bytes]:
    return problem(400, "The body is nested too deeply.")


def store_gone(_: Request[Any, Any, Any], error: OSError) -> Response[bytes]:
    """What a handler needs is out of reach: the records, the shared store, a file."""
    return problem(503, f"This cannot be answered now: {error.strerror or error}.", {"retry-after": "1"})


EXCEPTION_HANDLERS: dict[int | type[Exception], Any] = {
    AdminProblem: admin_problem,
    OperationRefused: operation_refused,
    ValidationException: invalid,
    HTTPException: http_error,
    RecursionError: too_deep,
    OSError: store_gone,
}


class Authenticated(ASGIMiddleware):
    """Lets only verified operators through and leaves the operator in the scope's state."""

    def __init__(self, operators: Operators, unix: Callable[[], float], record_security_event: Witness) -> None:
        self._operators = operators
        self._unix = unix
        self._witness = record_security_event
        #: address -> (when its lock was told, attempts since)
        self._locked: dict[str, tuple[float, int]] = {}

    def __deepcopy__(self, memo: object) -> Authenticated:
        # Litestar copies what routes are made of; failures are to be counted in one place.
        return self

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        connection: Request[Any, Any, Any] = Request(scope)
        client = connection.client.host if connection.client is not None else ""
        verdict = self._operators.verify(connection.headers.get("authorization", ""), client, self._unix())
        if isinstance(verdict, Operator):
            scope["state"]["operator"] = verdict
            await next_app(scope, receive, send)
            return
        if isinstance(verdict, NotAnOperator):
            verdict = await self._operators.counted(verdict, client, self._unix())
        if isinstance(verdict, Locked):
            self._still_locked(client, self._unix())
            answer = problem(429, "", {"retry-after": retry_after(verdict.retry_after).decode()})
        else:
            answer = unauthenticated(verdict, client, self._witness)
        await answer.to_asgi_response(None, connection)(scope, receive, send)

    def _still_locked(self, client: str, unix: float) -> None:
        """Tell that an address is locked out, once a minute with a count: a scanner cannot fill the audit trail."""
        told, more = self._locked.get(client, (float("-inf"), 0))
        if unix - told < _LOCK_TOLD_EVERY:
            self._locked[client] = (told, more + 1)
            return
        if len(self._locked) >= _MOST_LOCKED:
            self._locked.clear()
        self._locked[client] = (unix, 0)
        before = f"; {more} more attempt(s) since that was last told" if more else ""
        self._witness("admin.locked", NOBODY, client, f"too many failed attempts from {client}{before}")


def unauthenticated(verdict: NotAnOperator, client: str, record_security_event: Witness) -> Response[bytes]:
    if verdict.reason != "missing":
        record_security_event("admin.refused", NOBODY, client, f"{verdict.reason} token from {client}")
    # One answer for every reason: a guess learns nothing.
    return problem(401, "", {"www-authenticate": 'Bearer realm="spork-admin"'})


def role_guard(
    record_security_event: Witness,
) -> Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]:
    """A Litestar guard for the role that a handler's `opt` names; viewer when it names none.

    A coroutine, because Litestar runs a plain function in a thread, where what `witness` starts has no event loop.
    """

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        needs = str(handler.opt.get("role", "viewer"))
        operator: Operator = connection.scope["state"]["operator"]
        if not operator.may(needs):
            client = connection.client.host if connection.client is not None else ""
            wanted = f"{handler.opt.get('act', handler.name)} needs {needs}, from {client}"
            record_security_event("admin.refused", operator.name, client, wanted)
            raise AdminProblem(403, f"This takes a token with the role {needs}.", needs=needs)

    return guard


class OwnNames:
    """Answers only requests that are meant for this listener by name: no web page reaches it through a name of its own.

    Not health, readiness and start-up, which tell nothing and which probes ask under any name.
    """

    def __init__(self, app: ASGIApp, names: Callable[[], Sequence[str]]) -> None:
        self.app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"] in _PROBED:
            await self.app(scope, receive, send)
            return
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) < 2 and answers_to(hosts[0] if hosts else None, self._names()):
            await self.app(scope, receive, send)
            return
        answer = problem(421, "Name this host in admin.hosts, or ask by address.")
        await answer.to_asgi_response(None, Request(scope))(scope, receive, send)


class RawAdminPaths:
    """Keeps percent-encoding in `/admin/v1` paths, so that a name with a slash in it stays one segment.

    Handlers decode the parameters themselves, once.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope.get("raw_path")
        if raw and raw.startswith(b"/admin/v1/"):
            scope["path"] = raw.split(b"?", 1)[0].decode("latin-1")
        await self.app(scope, receive, send)
