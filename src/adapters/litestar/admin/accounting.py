"""The audit trail, usage and objectives over the admin API, with exports."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import unquote

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIResponse, Operation
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.response import Stream

from spork.adapters.litestar.admin.acting import TERMS, Desk, Terms, Why
from spork.adapters.litestar.admin.answers import READ, writing
from spork.application.admin.commands import OperationRefused, Operations, Prepared
from spork.application.admin.controls import Act, CacheControl
from spork.application.admin.exports import as_csv, as_json_lines, csv_head
from spork.application.admin.operations_seen import SeenOperations
from spork.application.admin.queries import Item, Items, Queries
from spork.application.admin.versions import VersionReport
from spork.application.telemetry.audit import AuditTrail, Finding, view_of
from spork.application.telemetry.objectives import ObjectiveTracker
from spork.application.telemetry.usage import UsageRow, UsageStore
from spork.application.views import ActionResult, AuditView, GraphQLOperationView, ObjectiveView, VersionView

Word = Annotated[str, QueryParameter(max_length=200)]
Format = Annotated[str, QueryParameter(pattern="^(jsonl|csv)$", description="jsonl or csv")]
Unix = Annotated[float, QueryParameter(ge=0, le=1e11, description="Unix seconds; 0: no bound")]
Number = Annotated[int, QueryParameter(ge=0, le=2**53, description="Only records after this number")]
Top = Annotated[int, QueryParameter(ge=1, le=1000)]
#: Litestar adds the charset to text types itself.
_TYPES = {"jsonl": "application/x-ndjson", "csv": "text/csv"}


@dataclass
class _Download(Operation):
    """An export is described in every format it has; a ResponseSpec holds one only."""

    def __post_init__(self) -> None:
        answer = (self.responses or {})["200"]
        assert isinstance(answer, OpenAPIResponse)
        assert answer.content is not None
        (described,) = answer.content.values()
        answer.content = dict.fromkeys(_TYPES.values(), described)


class AuditVerification(msgspec.Struct):
    """`whole` when nothing is wrong. `number` and `hash` are the head: write them down elsewhere."""

    whole: bool
    number: int
    hash: str
    findings: list[Finding]


def accounting_handlers(
    queries: Queries,
    operations: Operations,
    levels: ObjectiveTracker,
    audit: AuditTrail | None,
    usage: UsageStore | None,
    flush: Callable[[], Any],
    versions: VersionReport,
    seen: SeenOperations,
    cache: Callable[[], CacheControl | None] = lambda: None,
) -> list[Router]:
    handlers = [*_trail(queries, audit), *_erasure(operations, audit, cache), *_usage(queries, usage, flush)]

    @get("/objectives", summary="Service level objectives and their burn rates", **READ)
    async def objectives() -> Items[ObjectiveView]:
        return queries.items(await levels.current())

    @get("/versions", summary="Versions of APIs, their requests and who still calls them", **READ)
    async def all_versions(api: Word = "") -> Items[VersionView]:
        return queries.items(await versions.report(time.time(), api))

    @get("/graphql", summary="GraphQL operations asked for: by whom, at which cost, and why refused", **READ)
    async def operations_seen(route: Word = "") -> Items[GraphQLOperationView]:
        return queries.items(seen.report(route))

    return [Router("/", route_handlers=[*handlers, objectives, all_versions, operations_seen], dependencies=TERMS)]


def _there(part: Any, what: str) -> Any:
    if part is None:
        raise OperationRefused("unavailable", f"This gateway keeps no {what}.")
    return part


def _trail(queries: Queries, audit: AuditTrail | None) -> list[HTTPRouteHandler]:
    @get("/audit", summary="Records of the audit trail, oldest first, or newest first by `order`", **READ)
    async def records(
        after: Number = 0, action: Word = "", actor: Word = "", q: Word = "", since: Unix = 0.0, until: Unix = 0.0,
        limit: Top = 200,
        last: Annotated[int, QueryParameter(ge=0, le=1000, description="Only the newest so many records; 0: all")] = 0,
        order: Annotated[
            Literal["oldest", "newest"],
            QueryParameter(description="Which come first; the cursor is the next `after`, or `before`"),
        ] = "oldest",
        before: Annotated[int, QueryParameter(ge=0, le=2**53, description="Only records before this number; 0: all")] = 0,
    ) -> Items[AuditView]:  # fmt: skip
        trail: AuditTrail = _there(audit, "audit trail")
        if last:
            after, limit = max(after, (await trail.head()).number - last), max(limit, last)
        found = await trail.find(after, action, actor, q, since, until, limit, before, order == "newest")
        following = str(found[-1].number) if len(found) == limit else None
        return queries.items([view_of(record) for record in found], following)

    @get(
        "/audit/export",
        summary="The whole trail",
        responses=READ["responses"] | _file(),
        operation_class=_Download,
        opt={"role": "operator"},
    )
    async def export(format: Format = "jsonl") -> Stream:
        trail: AuditTrail = _there(audit, "audit trail")
        return _download(_all(trail, format), format, "audit")

    @get("/audit/verify", summary="Whether any record was changed, removed or reordered", **READ)
    async def verify() -> Item[AuditVerification]:
        trail: AuditTrail = _there(audit, "audit trail")
        findings = await trail.verify()
        head = await trail.head()
        return queries.item(AuditVerification(not findings, head.number, head.hash, findings))

    return [records, export, verify]


async def _all(trail: AuditTrail, format: str) -> AsyncIterator[str]:
    if format == "csv":
        yield csv_head(AuditView)
    write = _writer(format)
    async for record in trail.every():
        for line in write([view_of(record)]):
            yield line


def _erasure(
    operations: Operations, audit: AuditTrail | None, cache: Callable[[], CacheControl | None]
) -> list[HTTPRouteHandler]:
    desk = Desk(operations)

    @post(
        "/subjects/{subject:str}/erase",
        summary="Forget a person's data in the audit trail; the chain stays valid",
        **writing("admin", "subject.erase"),
    )
    async def erase(terms: NamedDependency[Terms], subject: FromPath[str], data: JSONBody[Why]) -> ActionResult:
        trail: AuditTrail = _there(audit, "audit trail")

        async def prepare(act: Act) -> Prepared:
            async def perform() -> str:
                held = cache()
                if held is not None:
                    await held.forget(unquote(subject))
                return f"erased in {await trail.erase_subject(unquote(subject), time.time(), act.by)} record(s)"

            blast = "Names, addresses and details of this person are forgotten; who did what when stays by commitment."
            return Prepared("subject.erase", "audit trail", "kept", "erased", blast, perform)

        return await desk.carry_out(terms, prepare, data.reason)

    return [erase]


def _usage(queries: Queries, usage: UsageStore | None, flush: Callable[[], Any]) -> list[HTTPRouteHandler]:
    async def rows_of(consumer: str, route: str, since: float, until: float, limit: int) -> list[UsageRow]:
        store: UsageStore = _there(usage, "usage")
        await flush()
        last = until or time.time() + 3600
        return list(await store.rows(int(since // 3600), int(-(-last // 3600)), consumer, route, limit))

    @get("/usage", summary="Usage per hour, consumer and route", **READ)
    async def rows(
        consumer: Word = "", route: Word = "", since: Unix = 0.0, until: Unix = 0.0, limit: Top = 1000
    ) -> Items[UsageRow]:
        return queries.items(await rows_of(consumer, route, since, until, limit))

    @get(
        "/usage/export",
        summary="Usage as JSON lines or CSV, for billing",
        responses=READ["responses"] | _file(),
        operation_class=_Download,
        opt={"role": "operator"},
    )
    async def export(
        consumer: Word = "", route: Word = "", since: Unix = 0.0, until: Unix = 0.0, format: Format = "csv"
    ) -> Stream:
        found = await rows_of(consumer, route, since, until, 1_000_000)
        head = [csv_head(UsageRow)] if format == "csv" else []
        return _download(_chained(head, _writer(format)(found)), format, "usage")

    return [rows, export]


def _writer(format: str) -> Callable[[Iterable[Any]], Iterator[str]]:
    return as_csv if format == "csv" else as_json_lines


def _chained(head: Iterable[str], rest: Iterable[str]) -> Iterator[str]:
    yield from head
    yield from rest


def _download(lines: AsyncIterator[str] | Iterator[str], format: str, name: str) -> Stream:
    disposition = f'attachment; filename="{name}.{format}"'
    return Stream(lines, media_type=_TYPES[format], headers={"content-disposition": disposition})


def _file() -> dict[int, ResponseSpec]:
    return {
        200: ResponseSpec(data_container=str, description="A file", media_type=_TYPES["jsonl"], generate_examples=False)
    }
