"""The tail: a bounded ring of finished exchanges, sampled when there are many, for operators who watch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Final

from spork.application.views import TrafficView
from spork.domain.outcomes import SERVER_ERRORS

if TYPE_CHECKING:
    from spork.application.exchange.exchange import Exchange

#: Rows kept for the tail, and how many of one second are kept at most.
KEPT: Final = 1000
PER_SECOND: Final = 50

#: Seconds an exchange may be older than the newest; more than that, and the clock was set back.
SET_BACK: Final = 86_400

#: What a row is made of, kept raw until somebody looks.
_Row = tuple[float, str, bytes, int, float, float, int, str, str, str, str, str, str, str, str, int, int, str]


class Traffic:
    """Keeps the latest exchanges (`application.ports.Observer`): all of a quiet second, one in `rate` of a busy one.

    Failures (5xx) are kept before successes: they have room of their own in each second.
    """

    def __init__(
        self, kept: int = KEPT, per_second: int = PER_SECOND, redact: Callable[[str], str] = lambda text: text
    ) -> None:
        #: Takes keys and tokens that a client put into a path out of what is shown.
        self._redact = redact
        self._rows: deque[tuple[int, _Row]] = deque(maxlen=kept)
        self._per_second = per_second
        self._second = 0
        self._seen = 0
        self._failures = 0
        self._stride = 1
        self._number = 0
        #: Address of a trace in the operator's viewer, with {trace_id} and perhaps {span_id}; "" for none.
        self._link = ""
        #: One in this many exchanges of the last whole second is shown.
        self.rate = 1

    def link_traces(self, template: str) -> None:
        """Have rows link to their trace: `{trace_id}` and `{span_id}` in the template are filled in; empty for no link."""
        self._link = template

    def closed(self, exchange: Exchange) -> None:
        second = int(exchange.unix)
        # Exchanges close out of order: one that began a moment before the second turned must not turn it back, which
        # would end its sampling. Only a clock that was set back does.
        if second > self._second or second < self._second - SET_BACK:
            self._roll(second)
        self._seen += 1
        if exchange.status >= SERVER_ERRORS and self._failures < self._per_second:
            self._failures += 1
        elif self._seen % self._stride:
            return
        elif self._seen > 2 * self._per_second * self._stride:
            self._stride *= 2  # busier than the second before: not all of a burst
        self._keep(exchange)

    def _roll(self, second: int) -> None:
        # The next second is sampled by what this one was like: no buffering, no second look.
        self.rate = self._stride
        self._stride = max(1, -(-self._seen // self._per_second))
        self._second = second
        self._seen = 0
        self._failures = 0

    def _keep(self, exchange: Exchange) -> None:
        head = exchange.head
        principal = exchange.principal
        trace = exchange.trace
        self._number += 1
        self._rows.append(
            (
                self._number,
                (
                    exchange.unix,
                    head.method,
                    head.path,
                    exchange.status,
                    exchange.seconds,
                    exchange.upstream_seconds,
                    exchange.attempts,
                    exchange.plan.name if exchange.plan is not None else "",
                    exchange.upstream_name,
                    exchange.target_name,
                    (principal.consumer or principal.subject) if principal is not None else "",
                    exchange.client,
                    exchange.request_id,
                    exchange.trace_id,
                    exchange.reason,
                    exchange.body.received,
                    exchange.sink.sent,
                    exchange.traceparent[36:52].decode("ascii") if trace is not None and trace.kept else "",
                ),
            )
        )

    def latest(self, limit: int = 200, upstream: str = "") -> list[TrafficView]:
        """At most `limit` rows, newest first."""
        link = self._link
        rows = (row for _, row in reversed(self._rows) if not upstream or row[8] == upstream)
        return [_view(row, self._redact, link) for row in islice(rows, limit)]

    def since(self, number: int) -> tuple[list[TrafficView], int]:
        """Rows kept after row `number`, oldest first, and the number to ask with next time."""
        found: list[TrafficView] = []
        for seen, row in reversed(self._rows):
            if seen <= number:
                break
            found.append(_view(row, self._redact, self._link))
        found.reverse()
        return found, self._number


def _view(row: _Row, redact: Callable[[str], str], link: str = "") -> TrafficView:
    at, method, path, status, seconds, upstream_seconds, attempts, route, upstream, target, subject, client = row[:12]
    request_id, trace_id, reason, bytes_in, bytes_out, span_id = row[12:]
    return TrafficView(
        at=at,
        method=method,
        path=redact(path.decode("ascii", "backslashreplace")),
        status=status,
        ms=round(seconds * 1000, 3),
        upstream_ms=round(upstream_seconds * 1000, 3) if attempts else None,
        route=route or None,
        upstream=upstream or None,
        target=target or None,
        subject=subject or None,
        client=client,
        request_id=request_id,
        trace_id=trace_id,
        reason=reason or None,
        attempts=attempts,
        bytes_in=bytes_in,
        bytes_out=bytes_out,
        trace_url=link.replace("{trace_id}", trace_id).replace("{span_id}", span_id) if link and span_id else None,
    )
