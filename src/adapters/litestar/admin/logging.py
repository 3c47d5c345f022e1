"""How much is logged, changed while the gateway runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from spork.adapters.litestar.admin.acting import TERMS, Desk, Reason, Terms
from spork.adapters.litestar.admin.answers import READ, writing
from spork.application.admin.commands import OperationRefused, Operations, Prepared
from spork.application.views import ActionResult


class LogSettings(msgspec.Struct, forbid_unknown_fields=True):
    """What is left out stays as it is. `fields` are those of the access log, in order."""

    level: Literal["debug", "info", "warning", "error", "critical"] | None = None
    access_log: bool | None = None
    fields: Annotated[list[str], msgspec.Meta(min_length=1, max_length=60)] | None = None
    reason: Reason = ""


class LogState(msgspec.Struct):
    """What is logged now, and what could not be written."""

    level: str
    access_log: bool
    fields: list[str]
    lost: int


def logging_handlers(
    operations: Operations, state: Callable[[], LogState], change: Callable[[LogSettings], None]
) -> list[Router]:
    """`change` raises ValueError for a field that does not exist."""
    desk = Desk(operations)

    @get("/logging", summary="Level, access log and its fields", sync_to_thread=False, **READ)
    def shown() -> LogState:
        return state()

    @post(
        "/logging", summary="Change what is logged on this node, until it restarts", **writing("operator", "log.change")
    )
    async def changed(terms: NamedDependency[Terms], data: JSONBody[LogSettings]) -> ActionResult:
        async def prepare() -> Prepared:
            async def perform() -> str:
                try:
                    change(data)
                except ValueError as error:
                    wrong = [{"path": "fields", "message": str(error)}]
                    raise OperationRefused("invalid", str(error), errors=wrong) from None
                return _words(state())

            return Prepared("log.change", "logging", _words(state()), "changed", "Changes this node's logs.", perform)

        return await desk.carry_out(terms, lambda act: prepare(), data.reason)

    return [Router("/", route_handlers=[shown, changed], dependencies=TERMS)]


def _words(state: Any) -> str:
    return f"level {state.level}, access log {'on' if state.access_log else 'off'}"
