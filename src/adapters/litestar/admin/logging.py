"""How much is logged, changed while the gateway runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from spork.adapters.litestar.admin.acting import TERMS, Desk, Reason, Terms, Ttl
from spork.adapters.litestar.admin.answers import READ, writing
from spork.application.admin.commands import OperationRefused, Operations, Prepared
from spork.application.admin.controls import Act
from spork.application.views import ActionResult


class LogSettings(msgspec.Struct, forbid_unknown_fields=True):
    """What is left out stays as it is. `fields` are those of the access log, in order. `reset` goes back to what each
    process started with, before the rest is applied."""

    level: Literal["debug", "info", "warning", "error", "critical"] | None = None
    access_log: bool | None = None
    fields: Annotated[list[str], msgspec.Meta(min_length=1, max_length=60)] | None = None
    reset: bool = False
    reason: Reason = ""
    ttl: Ttl | None = None


class LogState(msgspec.Struct):
    """What is logged now on every process, and what `node`, the one that answers, could not write. `changed_by` is empty
    where processes log as they started; `until` in Unix seconds, None for no end."""

    level: str
    access_log: bool
    fields: list[str]
    lost: int
    node: str = ""
    changed_by: str = ""
    reason: str = ""
    until: float | None = None


Change = Callable[[LogSettings, Act], Awaitable[None]]


def logging_handlers(operations: Operations, state: Callable[[], LogState], change: Change) -> list[Router]:
    """`change` raises ValueError for a field that does not exist, OSError when the fleet cannot be told."""
    desk = Desk(operations)

    @get("/logging", summary="Level, access log and its fields", sync_to_thread=False, **READ)
    def shown() -> LogState:
        return state()

    @post("/logging", summary="Change what every process logs", **writing("operator", "log.change"))
    async def changed(terms: NamedDependency[Terms], data: JSONBody[LogSettings]) -> ActionResult:
        async def prepare(act: Act) -> Prepared:
            async def perform() -> str:
                try:
                    await change(data, act)
                except ValueError as error:
                    wrong = [{"path": "fields", "message": str(error)}]
                    raise OperationRefused("invalid", str(error), errors=wrong) from None
                except OSError as error:
                    raise OperationRefused("unavailable", f"The fleet cannot be told: {error}.") from error
                return _words(state())

            blast = "Changes the logs of every process of the fleet."
            return Prepared("log.change", "logging", _words(state()), "changed", blast, perform, _words(state()))

        return await desk.carry_out(terms, prepare, data.reason, data.ttl)

    return [Router("/", route_handlers=[shown, changed], dependencies=TERMS)]


def _words(state: Any) -> str:
    fields = f", fields {' '.join(state.fields)}" if state.changed_by else ""
    return f"level {state.level}, access log {'on' if state.access_log else 'off'}{fields}"
