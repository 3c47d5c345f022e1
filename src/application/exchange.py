"""One request in flight: everything its phases learn, in one place that every phase may read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from domain.http import Header, RequestHead
from domain.outcomes import Outcome
from domain.tokens import Principal

if TYPE_CHECKING:
    from application.plan import RoutePlan, Snapshot
    from application.ports import RequestBody, ResponseSink


class Exchange:
    """One request in flight.

    Times are monotonic seconds unless named otherwise. `finalizers` run once in the close phase, last added first,
    whatever happened; they must not raise. `response_headers` are added to whatever answer goes out.
    """

    __slots__ = (
        "answer_started",
        "attempts",
        "body",
        "client",
        "consumed",
        "finalizers",
        "head",
        "hints",
        "looped",
        "now",
        "outcome",
        "params",
        "plan",
        "principal",
        "reason",
        "request_headers",
        "request_id_bytes",
        "response_headers",
        "rest",
        "retry_stop",
        "seconds",
        "sink",
        "snapshot",
        "status",
        "target_name",
        "traceparent",
        "unix",
        "upstream_name",
        "upstream_seconds",
    )

    def __init__(
        self,
        head: RequestHead,
        body: RequestBody,
        sink: ResponseSink,
        snapshot: Snapshot,
        now: float,
        unix: float,
    ) -> None:
        self.head = head
        self.body = body
        self.sink = sink
        self.snapshot = snapshot
        self.now = now
        self.unix = unix
        #: The request id as it goes on the wire; ASCII.
        self.request_id_bytes = b""
        #: Our own pseudonym stood in Via.
        self.looped = False
        #: The client's address after trusted proxies were believed; textual, never with a port.
        self.client = head.peer
        self.plan: RoutePlan | None = None
        self.params: dict[str, str] = {}
        #: What a prefix route left of the path, with its leading slash, or b"".
        self.rest = b""
        #: Header names that carried a credential the gateway took for itself; not forwarded.
        self.consumed: frozenset[bytes] = frozenset()
        self.principal: Principal | None = None
        #: Headers that guards want the target to receive (verified identity and the like).
        self.request_headers: list[Header] = []
        self.response_headers: list[Header] = []
        self.finalizers: list[Callable[[Exchange], None]] | None = None
        #: Free notes between phases of one exchange (limit states, cache keys): `hints["limits"] = ...`.
        self.hints: dict[str, object] = {}
        self.outcome: Outcome | None = None
        self.status = 0
        self.reason = ""
        self.attempts = 0
        #: Why the last failed try was not repeated (a slug of `domain.retries.Stop`), "" when it was not looked at.
        self.retry_stop = ""
        self.upstream_name = ""
        self.target_name = ""
        self.upstream_seconds = 0.0
        self.traceparent = b""
        self.answer_started = 0.0
        #: Whole duration, set when the exchange closes.
        self.seconds = 0.0

    @property
    def request_id(self) -> str:
        """The id this request is known by in answers, logs and problems."""
        return self.request_id_bytes.decode("ascii")

    @property
    def trace_id(self) -> str:
        """The trace this request belongs to: 32 hex digits of `traceparent`."""
        return self.traceparent[3:35].decode("ascii")

    def at_close(self, finalizer: Callable[[Exchange], None]) -> None:
        """Have `finalizer` called once when this exchange is over."""
        if self.finalizers is None:
            self.finalizers = [finalizer]
        else:
            self.finalizers.append(finalizer)
