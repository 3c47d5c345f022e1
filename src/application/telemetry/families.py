"""Every metric the gateway exposes: its name, labels, meaning, and how workers' values add up.

Parts that have something to say implement `Meter`; their samples, and the cells of the tally, are put into a
`WorkerReport`, which is plain lists and numbers so that workers of one host can hand theirs to each other. The metrics
page of the documentation is written from `FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from spork.application.telemetry.rolling import BOUNDS, SIZE, add_difference
from spork.application.telemetry.tally import RequestCounters

#: The subset of the tally's bounds that is exposed as histogram buckets, in seconds.
EXPOSED = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. `kind`: counter, gauge, histogram. `merge` says how gauges of several workers become one:
    sum, max or min. Counters and histograms are summed. The name of a counter carries its `_total`."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str
    merge: str = "sum"
    #: A histogram whose samples are cumulative counts, with the upper bound (`+Inf`, and `sum`) as last label.
    counted: bool = False


FAMILIES = (
    Family(
        "gateway_requests_total", "counter", ("route", "method", "status"), "Requests answered, by what the client saw."
    ),
    Family(
        "gateway_response_time_seconds", "histogram", ("route", "method"), "From request head to the end of the answer."
    ),
    Family("gateway_overhead_seconds", "histogram", (), "Time spent in the gateway itself, targets' time taken off."),
    Family("gateway_request_bytes_total", "counter", ("route",), "Body bytes received from clients."),
    Family("gateway_response_bytes_total", "counter", ("route",), "Body bytes sent to clients."),
    Family("gateway_refusals_total", "counter", ("route", "reason"), "Refusals and faults by reason slug."),
    Family("gateway_rate_limit_exceeded_total", "counter", ("route", "limit"), "Requests refused by a limit."),
    Family(
        "gateway_current_rate_limit_usage",
        "gauge",
        ("limit",),
        "Share of the quota that the busiest subject of a limit has used, 0 to 1.",
        "max",
    ),
    Family(
        "gateway_certificate_expiry_timestamp_seconds",
        "gauge",
        ("certificate",),
        "When a certificate that this gateway shows ends, in Unix seconds, by its file; 0 where it cannot be read.",
        "min",
    ),
    Family(
        "gateway_external_authorization_total",
        "counter",
        ("route", "outcome"),
        "Requests that a service was asked about: allowed, denied, kept (an answer was known), failed (no answer, refused),"
        " let_through (no answer, admitted).",
    ),
    Family(
        "gateway_authentications_total",
        "counter",
        ("method", "result"),
        "Credentials accepted (`success`) or refused, with the reason slug as result.",
    ),
    Family(
        "gateway_decisions_total",
        "counter",
        ("front", "route", "result"),
        "Decisions for other proxies: allow, deny, or answer (a redirect).",
    ),
    Family(
        "gateway_plugin_verdicts_total",
        "counter",
        ("plugin", "route", "result"),
        "What plugins said of requests: pass, deny, answer, or failed.",
    ),
    Family(
        "gateway_plugin_failures_total",
        "counter",
        ("plugin", "kind"),
        "Failures of plugins, by where: guard, observe, timeout, or slow (it held the event loop).",
    ),
    Family("gateway_plugin_counts_total", "counter", ("plugin", "counter"), "What plugins count themselves."),
    Family(
        "gateway_graphql_operations_total",
        "counter",
        ("route", "operation", "type", "result"),
        "GraphQL operations by result (ok, errors, failed, refused, observed, abandoned); `operation` only of registered documents, else `other`.",
    ),
    Family(
        "gateway_graphql_cost", "histogram", ("route",), "Estimated cost of GraphQL operations, in units.", counted=True
    ),
    Family(
        "gateway_graphql_documents",
        "gauge",
        ("state",),
        "GraphQL documents: known to workers, evicted from them, registered.",
    ),
    Family(
        "gateway_version_requests_total",
        "counter",
        ("api", "version", "state"),
        "Requests by version of an API: current, deprecated, brownout or retired at the time.",
    ),
    Family("gateway_requests_in_flight", "gauge", (), "Requests being served now."),
    Family(
        "gateway_prehandler_wait_seconds",
        "histogram",
        (),
        "How long work that is ready waits for the event loop, sampled ten times a second.",
    ),
    Family("gateway_event_loop_lag_seconds", "gauge", (), "Longest delay of a timer in the last 10 seconds.", "max"),
    Family(
        "gateway_live_exchanges",
        "gauge",
        ("kind",),
        "Exchanges that outlive their head, open now: `websocket`, `stream`, `download`, `channel`.",
    ),
    Family(
        "gateway_live_ended_total",
        "counter",
        ("kind", "reason"),
        "Live exchanges that the gateway ended: token_expired, session_revoked, lifetime, idle, draining ...",
    ),
    Family(
        "gateway_channel_subscribers",
        "gauge",
        ("front",),
        "Connections that subscribe to channels, by front: mercure, pusher, personal.",
    ),
    Family("gateway_channel_events_total", "counter", ("front",), "Events published on this node."),
    Family("gateway_channel_deliveries_total", "counter", (), "Writes of events to subscribers of this node."),
    Family(
        "gateway_channel_refusals_total",
        "counter",
        ("front", "action"),
        "Subscriptions and publications that were refused: `subscribe`, `publish`.",
    ),
    Family("gateway_channel_slow_total", "counter", ("front",), "Connections ended because they read too slowly."),
    Family("gateway_channel_history_events", "gauge", (), "Events kept for subscribers that come back.", "max"),
    Family("gateway_channel_history_bytes", "gauge", (), "Bytes of these events in one process.", "max"),
    Family(
        "gateway_cost_units_total",
        "counter",
        ("route", "limit"),
        "Units that answers said they cost, by the limit that is charged them.",
    ),
    Family("gateway_config_info", "gauge", ("revision",), "1 for the revision in force.", "max"),
    Family("gateway_config_applied_timestamp_seconds", "gauge", (), "When the revision in force was applied.", "max"),
    Family("gateway_config_reloads_total", "counter", ("result",), "Reloads that were applied or refused."),
    Family(
        "gateway_store_failures_total", "counter", ("store",), "Operations on a shared store that failed or timed out."
    ),
    Family("audit_records_waiting", "gauge", (), "Audit records in state_dir that the records have not taken yet."),
    Family("audit_records_lost_total", "counter", (), "Audit records that could be kept nowhere."),
    Family(
        "gateway_log_lines_lost_total", "counter", ("log",), "Log lines dropped because the sink was stuck or failed."
    ),
    Family("gateway_events_total", "counter", ("kind",), "Events published, by kind."),
    Family("gateway_events_delivered_total", "counter", (), "Events that the message hub took."),
    Family("gateway_events_lost_total", "counter", (), "Events that waited too long for the message hub."),
    Family("gateway_events_waiting", "gauge", (), "Events that wait for the message hub."),
    Family(
        "gateway_spans_total",
        "counter",
        ("result",),
        "Spans: recorded (kept by sampling), sent, dropped (the ring was full), failed (given up), rejected (by the collector).",
    ),
    Family(
        "gateway_telemetry_batches_total",
        "counter",
        ("signal", "result"),
        "Batches posted to the collector: taken, again (to be repeated), too_large, refused.",
    ),
    Family("gateway_telemetry_waiting", "gauge", ("signal",), "Requests and log records that wait for the exporter."),
    Family(
        "gateway_cache_requests_total",
        "counter",
        ("route", "result"),
        "Requests of routes with a cache: hit, stale, revalidated, miss, collapsed, bypass.",
    ),
    Family("gateway_cache_bytes", "gauge", (), "Bytes of stored answers in memory, their overhead counted."),
    Family("gateway_cache_entries", "gauge", (), "Stored answers in memory."),
    Family(
        "gateway_cache_evictions_total",
        "counter",
        ("why",),
        "Stored answers let go: memory, variants, expired, purged, unconfirmed.",
    ),
    Family(
        "gateway_cache_fills_total",
        "counter",
        ("result",),
        "What came of asking a target: stored, not_taken, validated, refused, broken, too_large, failed.",
    ),
    Family(
        "gateway_cache_purges_total",
        "counter",
        ("by",),
        "Purges: admin, purge_method, method (an unsafe request), erasure.",
    ),
    Family(
        "gateway_contract_violations_total",
        "counter",
        ("route", "where"),
        "What did not fit the upstream's OpenAPI document: operation, path, query, header, media_type, body,"
        " answer_status, answer_media_type, answer_body.",
    ),
    Family(
        "gateway_openapi_document_age_seconds",
        "gauge",
        ("upstream",),
        "Seconds since an upstream's OpenAPI document was last found good.",
    ),
    Family("mirrored_requests_total", "counter", ("outcome",), "Copies for shadow upstreams: sent or left_out."),
    Family("gateway_security_denials_total", "counter", ("reason",), "Refusals of credentials, addresses and content."),
    Family("gateway_admin_streams", "gauge", (), "Open admin event streams."),
    Family(
        "gateway_slo_burn_rate",
        "gauge",
        ("objective", "window"),
        "How many times too fast the error budget is spent.",
        "max",
    ),
    Family(
        "gateway_slo_budget_remaining", "gauge", ("objective",), "Share of the error budget left in its period.", "min"
    ),
    Family("gateway_slo_requests_total", "counter", ("objective", "result"), "Requests under an objective: all, bad."),
    Family("gateway_workers", "gauge", (), "Worker processes whose numbers are in this answer."),
    Family("gateway_nodes_silent", "gauge", (), "Nodes of the fleet that have stopped reporting.", "max"),
    Family(
        "gateway_concerns", "gauge", ("severity",), "What an operator should look at, as the console lists it.", "max"
    ),
    Family(
        "upstream_requests_total",
        "counter",
        ("upstream", "target", "status"),
        "Requests forwarded to a target, by answer.",
    ),
    Family(
        "upstream_response_time_seconds",
        "histogram",
        ("upstream",),
        "Time spent waiting for and relaying a target's answer.",
    ),
    Family(
        "upstream_health_status",
        "gauge",
        ("upstream", "target"),
        "1 when a target takes traffic, 0 when it is down or ejected.",
        "min",
    ),
    Family("upstream_requests_in_flight", "gauge", ("upstream", "target"), "Requests a target is serving for us now."),
    Family("upstream_pool_connections", "gauge", ("upstream", "target"), "Open connections to a target."),
    Family(
        "upstream_concurrency_limit", "gauge", ("upstream",), "Requests an upstream may have in flight, by latency."
    ),
    Family("upstream_shed_total", "counter", ("upstream",), "Requests shed because an upstream had no place left."),
    Family("upstream_ejections_total", "counter", ("upstream", "target"), "Passive ejections of a target."),
    Family("upstream_retries_total", "counter", ("upstream",), "Tries after the first."),
    Family(
        "upstream_retry_budget_remaining",
        "gauge",
        ("upstream",),
        "Share of the retry budget that is left, 0 to 1.",
        "min",
    ),
    Family(
        "circuit_breaker_state", "gauge", ("name", "state"), "1 for the state a circuit is in, 0 for the others.", "max"
    ),
    Family("circuit_breaker_transitions_total", "counter", ("name", "to"), "Changes of a circuit's state."),
    Family("process_cpu_seconds_total", "counter", (), "CPU time of the workers."),
    Family("process_resident_memory_bytes", "gauge", (), "Resident memory of the workers."),
    Family(
        "gateway_descriptors_refused_total",
        "counter",
        ("side",),
        "Connections of clients, and to targets, not made for want of file descriptors.",
    ),
    Family("process_open_fds", "gauge", (), "Open file descriptors of the workers."),
    Family("process_start_time_seconds", "gauge", (), "When the oldest worker started.", "min"),
)
BY_NAME = {family.name: family for family in FAMILIES}

#: (family, label values, value)
Sample = tuple[str, tuple[str, ...], float]
#: (route, method, status, upstream, target, count, seconds, buckets, upstream seconds, upstream buckets, bytes in,
#: bytes out, retries, exemplar)
CellRow = tuple[
    str, str, int, str, str, int, float, list[int], float, list[int], int, int, int, tuple[str, float, float] | None
]


class Meter(Protocol):
    """A part with numbers of its own. Called when somebody looks, never on the request path."""

    def samples(self) -> Iterable[Sample]: ...


@dataclass(slots=True)
class WorkerReport:
    """What one worker counted since it started. `at` and `started` in Unix seconds. Fit for msgpack as it stands."""

    worker: str
    at: float
    started: float
    cells: list[CellRow] = field(default_factory=list)
    overhead: list[int] = field(default_factory=lambda: [0] * SIZE)
    overhead_seconds: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    #: How often ready work waited how long for the event loop, by bucket, and the sum in seconds.
    waits: list[int] = field(default_factory=lambda: [0] * SIZE)
    waited: float = 0.0
    #: The worker has gone: its counters still count, its gauges do not.
    gone: bool = False


def rows_of(tally: RequestCounters) -> list[CellRow]:
    """The tally's cells as they stand; from any thread."""
    rows: list[CellRow] = []
    for cell in tally.cells():
        route, method, status, upstream, target = cell.key
        rows.append(
            (route, method, status, upstream, target, cell.count, cell.seconds, list(cell.buckets),
             cell.upstream_seconds, list(cell.upstream_buckets), cell.bytes_in, cell.bytes_out, cell.retries, _traced(cell.exemplar))
        )  # fmt: skip
    return rows


def report_of(
    worker: str, started: float, unix: float, tally: RequestCounters, meters: Iterable[Meter], cells: bool = True
) -> WorkerReport:
    """This worker's numbers as they stand now; its `cells` may be put in later (`rows_of`). A meter that fails is left
    out."""
    samples: list[Sample] = []
    for meter in meters:
        samples += meter.samples()
    samples += [("gateway_refusals_total", key, value) for key, value in tally.reasons.items()]
    samples += [("gateway_rate_limit_exceeded_total", key, value) for key, value in tally.throttled.items()]
    samples += [("gateway_authentications_total", key, value) for key, value in tally.authentications.items()]
    rows = rows_of(tally) if cells else []
    return WorkerReport(worker, unix, started, rows, list(tally.overhead), tally.overhead_seconds, samples)


def _traced(exemplar: tuple[bytes, float, float] | None) -> tuple[str, float, float] | None:
    """An exemplar with the trace id of its traceparent."""
    return (exemplar[0][3:35].decode("ascii"), exemplar[1], exemplar[2]) if exemplar is not None else None


@dataclass(slots=True)
class HistogramSums:
    """A histogram before it is exposed: counts per bucket of `BOUNDS`, sum in seconds, the latest exemplar."""

    buckets: list[int] = field(default_factory=lambda: [0] * SIZE)
    seconds: float = 0.0
    exemplar: tuple[str, float, float] | None = None

    def add(self, buckets: list[int], seconds: float, exemplar: tuple[str, float, float] | None = None) -> None:
        add_difference(self.buckets, buckets, _ZERO)
        self.seconds += seconds
        if exemplar is not None and (self.exemplar is None or exemplar[2] >= self.exemplar[2]):
            self.exemplar = exemplar

    def exposed(self) -> list[tuple[float, int]]:
        """(upper bound, cumulative count) for each exposed bound, then infinity."""
        rows: list[tuple[float, int]] = []
        seen = 0
        wanted = iter(EXPOSED)
        bound = next(wanted)
        for index, upper in enumerate(BOUNDS):
            seen += self.buckets[index]
            if upper == bound:
                rows.append((upper, seen))
                bound = next(wanted, -1.0)
        rows.append((float("inf"), seen + self.buckets[-1]))
        return rows


_ZERO = (0,) * SIZE


class MetricSums:
    """Reports of any number of workers, added up by family and labels."""

    def __init__(self, reports: Iterable[WorkerReport]) -> None:
        self.values: dict[str, dict[tuple[str, ...], float]] = {}
        self.histograms: dict[str, dict[tuple[str, ...], HistogramSums]] = {}
        for report in reports:
            self._add(report)

    def _add(self, report: WorkerReport) -> None:
        for row in report.cells:
            self._add_cell(row)
        self._histogram("gateway_overhead_seconds", ()).add(report.overhead, report.overhead_seconds)
        self._histogram("gateway_prehandler_wait_seconds", ()).add(report.waits, report.waited)
        for name, labels, value in report.samples:
            family = BY_NAME.get(name)
            if family is not None and not (report.gone and family.kind == "gauge"):
                self._sample(family, tuple(labels), value)
        if not report.gone:
            self._sample(BY_NAME["gateway_workers"], (), 1.0)

    def _add_cell(self, row: CellRow) -> None:
        (
            route,
            method,
            status,
            upstream,
            target,
            count,
            seconds,
            buckets,
            up_seconds,
            up_buckets,
            b_in,
            b_out,
            retries,
            ex,
        ) = row
        self._count("gateway_requests_total", (route, method, str(status)), count)
        self._histogram("gateway_response_time_seconds", (route, method)).add(buckets, seconds, ex)
        self._count("gateway_request_bytes_total", (route,), b_in)
        self._count("gateway_response_bytes_total", (route,), b_out)
        if upstream and target:
            self._count("upstream_requests_total", (upstream, target, str(status)), count)
            self._histogram("upstream_response_time_seconds", (upstream,)).add(up_buckets, up_seconds)
            self._count("upstream_retries_total", (upstream,), retries)

    def _sample(self, family: Family, labels: tuple[str, ...], value: float) -> None:
        if family.counted or family.kind == "counter" or family.merge == "sum":
            self._count(family.name, labels, value)
            return
        values = self.values.setdefault(family.name, {})
        known = values.get(labels)
        merge: Callable[[float, float], float] = max if family.merge == "max" else min
        values[labels] = value if known is None else merge(known, value)

    def _count(self, name: str, labels: tuple[str, ...], value: float) -> None:
        values = self.values.setdefault(name, {})
        values[labels] = values.get(labels, 0) + value

    def _histogram(self, name: str, labels: tuple[str, ...]) -> HistogramSums:
        return self.histograms.setdefault(name, {}).setdefault(labels, HistogramSums())
