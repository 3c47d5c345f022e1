"""`GET /admin/v1/stream`: server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from litestar import Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery, HeaderParameter, QueryParameter
from litestar.response import Stream as StreamResponse

from spork.adapters.litestar.admin.access import AdminProblem
from spork.adapters.litestar.admin.answers import READ
from spork.adapters.litestar.admin.reading import split_topics
from spork.application.admin.access import Operator
from spork.application.admin.queries import check_topics
from spork.application.admin.stream import Stream, TooManyStreams

Since = Annotated[str, QueryParameter(max_length=20, pattern="^[0-9]{0,18}$", description="Resume after this revision")]
LastEventId = Annotated[str, HeaderParameter(name="Last-Event-ID", max_length=64)]


def streaming_handlers(
    stream: Stream, still: Callable[[Operator], bool], heartbeat: float = 5.0
) -> list[HTTPRouteHandler]:
    """The live stream. `still` says whether an operator is one yet."""
    events = ResponseSpec(
        data_container=str,
        description="Events: delta, tick, sample, audit, gap",
        media_type="text/event-stream",
        generate_examples=False,
    )
    responses = READ["responses"] | {200: events}

    @get("/stream", summary="What changes, as server-sent events", responses=responses)
    async def stream_(
        request: Request[Any, Any, Any], topics: FromQuery[str] = "", since: Since = "", last_event_id: LastEventId = ""
    ) -> StreamResponse:
        wanted = frozenset(check_topics(split_topics(topics)))
        operator: Operator = request.scope["state"]["operator"]
        start = last_event_id.strip() or since
        try:
            watcher = stream.watch(
                wanted, int(start) if start.isascii() and start.isdigit() else None, lambda: still(operator)
            )
        except TooManyStreams:
            raise AdminProblem(503, "Too many open streams.", {"retry-after": "5"}) from None
        return StreamResponse(
            stream.frames(watcher, heartbeat),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    return [stream_]
