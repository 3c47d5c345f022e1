"""The configuration over the admin API: show, compare, apply, reload, roll back, explain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from litestar import Request, Router, get, post, put
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import OpenAPIMediaType, Operation, Schema
from litestar.openapi.spec import RequestBody as RequestBodySpec
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import FromPath, JSONBody, QueryParameter

from spork.adapters.litestar.admin.acting import TERMS, Desk, Reason, Terms, Why
from spork.adapters.litestar.admin.answers import READ, writing
from spork.application.admin.commands import OperationRefused, Operations
from spork.application.admin.configuration import ConfigurationActions, DiffView
from spork.application.admin.explain import Explainer, NotARequest
from spork.application.admin.queries import Item, Items, Queries
from spork.application.views import ActionResult, ConfigRevisionView, ConfigView, Explanation

Note = Annotated[str, QueryParameter(max_length=500, description="Why; goes into history and the audit trail")]


class Rollback(msgspec.Struct, forbid_unknown_fields=True):
    """Back to a revision of the history."""

    revision: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    reason: Reason = ""


class Question(msgspec.Struct, forbid_unknown_fields=True):
    """A request to explain. `client` is the address it would come from, `data` its body."""

    url: Annotated[
        str, msgspec.Meta(min_length=1, max_length=8192, examples=["http://api.example.com/api/v1/users/42"])
    ]
    method: Annotated[str, msgspec.Meta(min_length=1, max_length=32)] = "GET"
    headers: dict[str, str] = {}
    client: Annotated[str, msgspec.Meta(max_length=64)] = ""
    data: Annotated[str, msgspec.Meta(max_length=65536)] = ""


@dataclass
class YamlBody(Operation):
    """Describes a body of YAML text, which Litestar's own types cannot."""

    def __post_init__(self) -> None:
        self.request_body = RequestBodySpec(
            required=True,
            content={"application/yaml": OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING))},
        )


def configuring_handlers(
    queries: Queries, actions: ConfigurationActions, operations: Operations, explainer: Explainer
) -> list[Router]:
    desk = Desk(operations)
    handlers = [*_showing(queries, actions), *_applying(actions, desk), *_explaining(explainer)]
    return [Router("/", route_handlers=handlers, dependencies=TERMS)]


def _showing(queries: Queries, actions: ConfigurationActions) -> list[HTTPRouteHandler]:
    @get("/config", summary="What runs, what the file says, how they differ", **READ)
    async def config() -> ConfigView:
        return await queries.config()

    @get("/config/history", summary="Revisions that were in force, newest first", sync_to_thread=False, **READ)
    def history() -> Items[ConfigRevisionView]:
        return queries.items(actions.live.history())

    @get(
        "/config/revisions/{revision:str}",
        summary="One revision's text, secrets replaced",
        sync_to_thread=False,
        **READ,
    )
    def revision(revision: FromPath[str]) -> Item[dict[str, str]]:
        return queries.item(actions.text_of(revision))

    @post(
        "/config/diff",
        summary="How a YAML text differs from what runs",
        operation_class=YamlBody,
        status_code=200,
        responses=READ["responses"],
    )
    async def diff(request: Request[Any, Any, Any]) -> DiffView:
        return await actions.diff(await text_of(request))

    return [config, history, revision, diff]


def _applying(actions: ConfigurationActions, desk: Desk) -> list[HTTPRouteHandler]:
    @put(
        "/config",
        summary="Put a whole configuration (YAML) into force on every node",
        operation_class=YamlBody,
        **writing("admin", "config.apply"),
    )
    async def apply(terms: NamedDependency[Terms], note: Note = "") -> ActionResult:
        text = await text_of(terms.request)
        return await desk.carry_out(terms, lambda act: actions.apply(text, act), note)

    @post("/config/reload", summary="Read the configuration file again", **writing("admin", "config.reload"))
    async def reload(terms: NamedDependency[Terms], data: JSONBody[Why]) -> ActionResult:
        return await desk.carry_out(terms, lambda act: actions.reload(act), data.reason)

    @post("/config/rollback", summary="Put a former revision into force again", **writing("admin", "config.rollback"))
    async def rollback(terms: NamedDependency[Terms], data: JSONBody[Rollback]) -> ActionResult:
        return await desk.carry_out(terms, lambda act: actions.rollback(data.revision, act), data.reason)

    return [apply, reload, rollback]


def _explaining(explainer: Explainer) -> list[HTTPRouteHandler]:
    @post(
        "/explain",
        summary="What would happen to a request; sends and consumes nothing",
        status_code=200,
        responses=READ["responses"],
    )
    async def explain(data: JSONBody[Question]) -> Explanation:
        try:
            return await explainer.explain(data.method, data.url, data.headers, data.client, data.data)
        except NotARequest as error:
            raise OperationRefused("invalid", str(error), errors=[{"path": "url", "message": str(error)}]) from None

    return [explain]


async def text_of(request: Request[Any, Any, Any]) -> str:
    """The body as text. Raises OperationRefused when it is not UTF-8."""
    try:
        return (await request.body()).decode("utf-8")
    except UnicodeDecodeError as error:
        wrong = [{"path": "", "message": f"byte {error.start} is not UTF-8"}]
        raise OperationRefused("invalid", "The configuration is not UTF-8 text.", errors=wrong) from None
