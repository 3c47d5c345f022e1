"""Finished requests on their way to spans: one tuple each into a bounded ring, taken out by a thread.

The request path formats nothing: `closed` decides whether the trace is kept, and if so puts references into the ring. When
the collector does not keep up, the oldest are dropped and counted. Counters have one writer each (the event loop, or the
thread that takes), so that no lock is needed.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from spork.application.exchange.tracing import RequestTrace
from spork.application.telemetry.tally import violated
from spork.domain.outcomes import SERVER_ERRORS, DenialCategory, Denied, Failed, Local, Side

if TYPE_CHECKING:
    from collections.abc import Callable

    from spork.application.exchange.exchange import Exchange

#: Requests that may wait, and about how many bytes they may hold.
MOST_WAITING: Final = 16_384
MOST_BYTES: Final = 8 * 1024 * 1024
#: A batch; with so many waiting the thread is woken.
BATCH: Final = 512
#: Longest path, query or field value that is kept.
LONGEST: Final = 1024
#: What a record holds beside text, and each try of it.
_RECORD_BYTES: Final = 700
_TRY_BYTES: Final = 250


class SpanRecord(NamedTuple):
    """One finished request. `began` and times of tries and phases are monotonic, `unix` is `began` by the wall clock."""

    trace: RequestTrace
    method: str
    path: bytes
    query: bytes
    scheme: str
    host: bytes
    peer: str
    peer_port: int
    version: str
    user_agent: bytes
    client: str
    status: int
    reason: str
    failed: bool
    route: str
    pattern: str
    upstream: str
    consumer: str
    limits: tuple[str, ...]
    local: str
    unix: float
    began: float
    seconds: float
    answer_started: float
    size: int


def _nobody() -> None:
    """Nobody waits for a batch."""


class SpanRing:
    """Sees exchanges when they are over (`exchange.Observer`) and keeps those whose trace is kept until `take`."""

    def __init__(
        self,
        waiting: int = MOST_WAITING,
        most_bytes: int = MOST_BYTES,
        on_full: Callable[[], None] = _nobody,
    ) -> None:
        """`on_full` is called when a batch waits; it must not block."""
        self._ring: deque[SpanRecord] = deque()
        self._waiting = waiting
        self._most_bytes = most_bytes
        self._put = 0
        self._gone = 0
        self._taken = 0
        self._on_full = on_full
        #: Spans put in, and spans dropped because the ring was full.
        self.recorded = 0
        self.dropped = 0
        #: Without an exporter nothing is kept.
        self.active = False

    def __len__(self) -> int:
        return len(self._ring)

    def closed(self, exchange: Exchange) -> None:
        trace = exchange.trace
        if trace is None or not self.active:
            return
        outcome = exchange.outcome
        if not trace.sampled:
            if not trace.recording:
                return
            failed = exchange.status >= SERVER_ERRORS or (
                isinstance(outcome, Failed) and outcome.fault.side is not Side.DOWNSTREAM
            )
            if not trace.route.keeps_at_the_end(exchange, failed):
                return
        trace.kept = True
        self._keep(record_of(exchange, trace))

    def _keep(self, record: SpanRecord) -> None:
        ring = self._ring
        while ring and (
            len(ring) >= self._waiting or self._put - self._gone - self._taken + record.size > self._most_bytes
        ):
            try:
                oldest = ring.popleft()
            except IndexError:  # the thread was faster
                break
            self._gone += oldest.size
            self.dropped += 1 + len(oldest.trace.tries)
        ring.append(record)
        self._put += record.size
        self.recorded += 1 + len(record.trace.tries)
        if len(ring) % BATCH == 0:
            self._on_full()

    def take(self, most: int = BATCH) -> list[SpanRecord]:
        """The oldest records, at most so many, removed. For one thread."""
        records: list[SpanRecord] = []
        while len(records) < most:
            try:
                record = self._ring.popleft()
            except IndexError:
                break
            self._taken += record.size
            records.append(record)
        return records


def record_of(exchange: Exchange, trace: RequestTrace) -> SpanRecord:
    """What spans are made of, as references. Long text is cut here, so that a record holds a bounded number of bytes."""
    head = exchange.head
    plan = exchange.plan
    outcome = exchange.outcome
    principal = exchange.principal
    path = head.path[:LONGEST]
    query = b"" if head.query is None else head.query[:LONGEST]
    agent = (head.header(b"user-agent") or b"")[:LONGEST]
    size = _RECORD_BYTES + len(path) + len(query) + len(agent) + len(trace.state)
    for record in trace.tries:
        record.path = record.path[:LONGEST]
        if not record.span_id:  # kept for how it ended
            record.span_id = b"%016x" % (trace.route.bits(64) or 1)
        size += _TRY_BYTES + len(record.path)
    trace.captured = tuple((name, value[:LONGEST]) for name, value in trace.captured[:16])
    trace.state_fields = ()
    for _, value in trace.captured:
        size += len(value) + 64
    return SpanRecord(
        trace,
        head.method,
        path,
        query,
        head.scheme,
        head.host,
        head.peer,
        head.peer_port,
        head.version,
        agent,
        exchange.client,
        exchange.status,
        exchange.reason,
        isinstance(outcome, Failed) and outcome.fault.side is not Side.DOWNSTREAM,
        plan.name if plan is not None else "",
        plan.config.match.path.text if plan is not None else "",
        exchange.upstream_name,
        principal.consumer if principal is not None and trace.route.consumer else "",
        violated(outcome) if isinstance(outcome, Denied) and outcome.denial.ground is DenialCategory.ALLOWANCE else (),
        outcome.by if isinstance(outcome, Local) else "",
        exchange.unix,
        exchange.now,
        exchange.seconds,
        exchange.answer_started,
        size,
    )
