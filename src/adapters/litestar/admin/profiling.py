"""`POST /admin/v1/profile`: where this process spends its time, as a file for a flame graph."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import msgspec
from litestar import Response, Router, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from spork.adapters.litestar.admin.acting import TERMS, Reason, Terms
from spork.adapters.litestar.admin.answers import writing
from spork.application.admin.commands import OperationRefused
from spork.application.telemetry.profiler import LONGEST, MOST_OFTEN, Profiler

#: Notes in the audit trail who took a profile: operator, client address, what, reason.
Note = Callable[[str, str, str, str], Awaitable[None]]


class ProfileSettings(msgspec.Struct, forbid_unknown_fields=True):
    """What is sampled: for how many seconds, how often a second, in which file format."""

    seconds: Annotated[float, msgspec.Meta(gt=0, le=LONGEST, description="Seconds, at most 60")] = 5.0
    hertz: Annotated[int, msgspec.Meta(ge=1, le=MOST_OFTEN, description="Samples a second")] = 100
    format: Literal["speedscope", "collapsed"] = "speedscope"
    reason: Reason = ""


def profiling_handlers(profiler: Profiler, node: str, note: Note) -> list[Router]:
    @post(
        "/profile",
        summary="Sample this node's stacks for some seconds; answers a speedscope or collapsed-stack file",
        **(writing("admin", "profile.take") | {"opt": {"role": "admin"}}),  # its answer is no ActionResult
    )
    async def profile(terms: NamedDependency[Terms], data: JSONBody[ProfileSettings]) -> Response[bytes]:
        if profiler.busy:
            raise OperationRefused("conflict", "A profile is being taken.", current="profiling")
        write = await terms.write(data.reason)
        words = f"{data.seconds:g} s at {data.hertz} Hz"
        await note(write.operator.name, write.client, words, data.reason)
        if terms.dry_run:
            return _file(b"", "text/plain", "dry-run.txt")
        taken = await asyncio.to_thread(profiler.take, data.seconds, data.hertz)
        if taken is None:
            raise OperationRefused("conflict", "A profile is being taken.", current="profiling")
        if data.format == "collapsed":
            return _file(taken.collapsed(), "text/plain; charset=utf-8", "spork.collapsed.txt")
        return _file(taken.speedscope(f"spork {node}"), "application/json", "spork.speedscope.json")

    handlers: list[Any] = [profile]
    return [Router("/", route_handlers=handlers, dependencies=TERMS)]


def _file(content: bytes, media_type: str, name: str) -> Response[bytes]:
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return Response(content, media_type=media_type, headers=headers, status_code=200)
