"""One row in full, as lines: facts first, then what explains them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from spork.console.pictures import history
from spork.console.pictures.tables.usage import share, share_tone
from spork.console.text.formats import (
    MISSING,
    ahead,
    bar,
    clock,
    count,
    lasting,
    mask,
    percent,
    period,
    rate,
    since,
    size,
    sparkline,
    stamp,
    took,
    until,
)
from spork.console.text.labels import ratio_tone, said, state, status_tone
from spork.console.text.moment import Moment
from spork.console.text.spans import BLANK, Line, Span, wrap

if TYPE_CHECKING:
    from spork.application.views import (
        BreakerView,
        ConsumerView,
        EventView,
        QuotaView,
        RouteView,
        ServiceView,
        TargetView,
        TrafficView,
    )

LABEL = 13


def _plainly(word: str) -> Span:
    """A state within a line: its glyph if it has one, without the blanks that keep columns in line."""
    text, tone = said(word)
    return (text.strip(), tone)


def _share(ratio: float | None) -> str:
    return MISSING if ratio is None else f"{percent(ratio)}%"


def fact(label: str, *spans: Span | str) -> Line:
    """A labelled line; bare text is ordinary."""
    return [(f"{label:<{LABEL}}", "dim"), *((span, "") if isinstance(span, str) else span for span in spans)]


def title(text: str) -> Line:
    return [(text, "title")]


def text_fact(label: str, text: str, width: int, tone: str = "") -> list[Line]:
    """A labelled text, wrapped under itself."""
    pieces = wrap(text or MISSING, max(10, width - LABEL))
    return [fact(label if index == 0 else "", (piece, tone)) for index, piece in enumerate(pieces)]


def _when(at: float | None, moment: Moment) -> str:
    return MISSING if at is None else f"{stamp(at)} ({since(at, moment.now)} ago)"


def service(row: ServiceView, moment: Moment, width: int) -> list[Line]:
    up = f"{row.targets_up} of {row.targets_total} targets up"
    lines = [
        fact("state", _plainly(row.state), "   ", up, "   breaker ", _plainly(row.breaker)),
        fact(
            "traffic",
            (rate(row.rps), "bold"),
            " rps   ",
            (percent(row.error_ratio) + "%", ratio_tone(row.error_ratio)),
            f" 5xx   {percent(row.throttled_ratio)}% 429   {count(row.in_flight)} in flight   "
            f"{rate(row.retries_per_second)} retries/s",
        ),
        fact(
            "latency",
            f"p50 {took(row.p50_ms)}   p95 {took(row.p95_ms)}   p99 {took(row.p99_ms)}   "
            f"availability {_share(row.availability)}",
        ),
    ]
    lines.append(fact("balance", row.balance))
    lines += text_fact("routes", ", ".join(row.routes), width)
    return lines + history.lines("service", row.name, moment, width)


def target(row: TargetView, moment: Moment, width: int) -> list[Line]:
    lines = [
        fact(
            "states",
            "config ",
            _plainly(row.config),
            "   probe ",
            _plainly(row.probe),
            "   breaker ",
            _plainly(row.breaker),
            "   traffic ",
            _plainly(row.traffic),
        ),
        fact("address", row.url, f"   weight {row.weight}   priority {row.priority}"),
        fact(
            "traffic",
            (rate(row.rps), "bold"),
            " rps   ",
            (percent(row.error_ratio) + "%", ratio_tone(row.error_ratio)),
            f" 5xx   p95 {took(row.p95_ms)}   {count(row.in_flight)} in flight   {count(row.connections)} connections",
        ),
        fact(
            "probe",
            f"{since(row.last_probe_at, moment.now)} ago, took {took(row.probe_ms)}   {row.flaps} changes in 5 min",
        ),
        fact("ejections", f"{row.ejections}", f"   until {clock(row.ejected_until)}Z" if row.ejected_until else ""),
    ]
    lines += text_fact("last error", row.last_error or MISSING, width, "warn" if row.last_error else "dim")
    return lines + _found_by(row)


def _found_by(row: TargetView) -> list[Line]:
    """What each gateway finds, where they do not agree."""
    if len({(own.config, own.probe, own.breaker, own.traffic) for own in row.by_node}) < 2:
        return []
    lines = [title("gateways differ")]
    for own in row.by_node:
        lines.append([(own.node, "bold")])
        lines.append(
            fact(
                "",
                "config ",
                said(own.config),
                "   probe ",
                said(own.probe),
                "   breaker ",
                said(own.breaker),
                "   traffic ",
                said(own.traffic),
                f"   until {clock(own.ejected_until)}Z" if own.ejected_until else "",
            )
        )
    return lines


def breaker(row: BreakerView, moment: Moment, width: int) -> list[Line]:
    lines = [
        fact("state", _plainly(row.state), f"   since {_when(row.since, moment)}   {row.trips} trips"),
        *text_fact("cause", row.cause, width),
        *(text_fact("opened", row.opened_because, width) if row.opened_because not in ("", row.cause) else ()),
        fact("window", *_window_words(row)),
        fact("trips at", _thresholds(row)),
        fact(
            "recovers", f"after {row.open_for:g} s open, then over {row.ramp_seconds:g} s" if row.open_for else MISSING
        ),
        fact("traffic", (rate(row.rps), "bold"), " rps"),
    ]
    if row.state == "open":
        lines.append(fact("next try", ahead(row.next_try, moment.now)))
    if row.ramp is not None:
        lines.append(
            fact("recovering", (bar(row.ramp, 20, moment.ascii_only), "warn"), f" {percent(row.ramp)}% admitted")
        )
    if row.forced_by:
        left = f"for {until(row.expires_at, moment.now)} more" if row.expires_at else "until reset"
        lines.append(fact("forced", (f"by {row.forced_by}", "forced"), f" {left}"))
        lines += text_fact("reason", row.forced_reason or MISSING, width)
    lines += text_fact("fallback", row.fallback or "none: refused with 503", width)
    lines += text_fact("routes", ", ".join(row.routes), width)
    if len({own.state for own in row.by_node}) > 1:
        lines.append(title("gateways differ"))
        lines += [fact("", (own.node, "bold"), "   ", said(own.state), f"   {own.cause}") for own in row.by_node]
    return lines + _window(row, moment, width) + _transitions(row)


def _window_words(row: BreakerView) -> list[Span]:
    if not row.requests:
        return [("no request in the window", "dim")]
    return [
        (f"{percent(row.error_ratio)}%", ratio_tone(row.error_ratio, row.threshold / 2, row.threshold)),
        (f" failed of {count(row.requests)} requests ({count(row.failures)} failed, {count(row.slow)} slow)", ""),
    ]


def _thresholds(row: BreakerView) -> str:
    """All that opens it, in one line."""
    said = [f"{percent(row.threshold)}% failed of {row.min_requests} or more"]
    if row.slow_call_ms is not None:
        said.append(f"{percent(row.slow_ratio)}% slower than {took(row.slow_call_ms)}")
    if row.consecutive:
        said.append(f"{row.consecutive} failures in a row")
    window = f", in {row.window_seconds:g} s" if row.window_seconds else ""
    return ", or ".join(said) + window + (" (per target)" if row.per_target else "")


def _window(row: BreakerView, moment: Moment, width: int) -> list[Line]:
    """Requests and failures of each second of the window, a cell each, on one scale."""
    if not row.window:
        return []
    requests = [float(made) for made, _ in row.window]
    failures = [float(failed) for _, failed in row.window]
    most = max(1.0, *requests)
    ascii_only = moment.ascii_only
    return [
        fact(
            "last seconds",
            (sparkline(requests, len(requests), ascii_only, most), "accent"),
            f"  requests, {most:.0f}/s at most",
        ),
        fact("", (sparkline(failures, len(failures), ascii_only, most), "bad" if any(failures) else "dim"), "  failed"),
    ]


def _transitions(row: BreakerView) -> list[Line]:
    if not row.transitions:
        return []
    lines: list[Line] = [BLANK, title("Last transitions"), BLANK]
    for step in sorted(row.transitions, key=lambda step: -step.at):
        lines.append(
            [
                (f"{clock(step.at)}Z   ", "dim"),
                (f"{state(step.before).word:>8}", ""),
                (" → ", "dim"),
                (f"{state(step.after).word:<8}", state(step.after).tone),
                (f"  {step.cause}", ""),
            ]
        )
    return lines


def quota(row: QuotaView, moment: Moment, width: int) -> list[Line]:
    tone = share_tone(row)
    lines = [
        fact(
            "subject",
            (mask(row.subject, row.kind), "bold"),
            f"   by {row.kind}   owner {row.owner or MISSING}   plan {row.plan or MISSING}",
        ),
        fact("limit", f"{row.limit}: {count(row.quota)} per {period(row.period)}   {row.algorithm}"),
        fact(
            "used",
            (bar(share(row), 30, moment.ascii_only), tone or "accent"),
            (f"  {count(row.used)}", tone or "bold"),
            f" of {count(row.quota)}, {count(row.remaining)} left, resets in {lasting(row.resets_in)}",
        ),
        fact(
            "5 minutes",
            f"{count(row.admitted_5m)} admitted, ",
            (f"{count(row.refused_5m)} refused", "warn" if row.refused_5m else ""),
        ),
    ]
    if row.override:
        lines += text_fact("raised", row.override, width, "forced")
    return lines


def request(row: TrafficView, moment: Moment, width: int) -> list[Line]:
    own = None if row.upstream_ms is None else max(0.0, row.ms - row.upstream_ms)
    tone = status_tone(row.status)
    lines = [
        fact(
            "answer",
            (str(row.status), tone or "bold"),
            f"   {row.reason or 'no refusal'}",
            f"   attempt {row.attempts}" if row.attempts > 1 else "",
        ),
        fact("time", _when(row.at, moment)),
        *text_fact("request", f"{row.method} {row.path}", width, "bold"),
        fact("duration", f"{took(row.ms)} = {took(own)} gateway + {took(row.upstream_ms)} upstream"),
        fact(
            "went to",
            f"route {row.route or MISSING}   service {row.upstream or MISSING}   target {row.target or MISSING}",
        ),
        fact("caller", f"{row.subject or 'anonymous'}   from {row.client}"),
        fact("bytes", f"{size(row.bytes_in)} in, {size(row.bytes_out)} out"),
        fact("request id", row.request_id),
        fact("trace id", row.trace_id or MISSING),
        *([fact("trace", row.trace_url, ("   :trace copies the link", "dim"))] if row.trace_url else []),
    ]
    return [*lines, BLANK, [("Headers, query and body are never sent to the console.", "dim")]]


def event(row: EventView, moment: Moment, width: int) -> list[Line]:
    return [
        fact("kind", (row.kind, "bold"), "   ", _plainly(row.severity)),
        fact("time", _when(row.at, moment)),
        *text_fact("object", row.object, width),
        fact("actor", row.actor or MISSING),
        fact("outcome", row.outcome or MISSING),
        *text_fact("detail", row.detail, width),
        fact("audit id", row.audit_id or MISSING),
        fact("node", row.node or MISSING),
    ]


def route(row: RouteView, moment: Moment, width: int) -> list[Line]:
    lines = [
        fact(
            "matches",
            (",".join(row.methods) or "any method", "bold"),
            f"  {row.pattern}",
            f"   hosts {', '.join(row.hosts)}" if row.hosts else "",
        ),
        fact(
            "leads to",
            row.upstream or MISSING,
            f"   auth {', '.join(row.auth) or 'none: open to all'}",
            f"   limits {', '.join(row.limits) or 'none'}",
        ),
        fact(
            "traffic",
            (rate(row.rps), "bold"),
            " rps   ",
            (percent(row.error_ratio) + "%", ratio_tone(row.error_ratio)),
            f" 5xx   p95 {took(row.p95_ms)}   {count(row.hits)} hits   from {row.origin}",
        ),
    ]
    if row.shadowed_by:
        lines.append(fact("shadowed", (f"by {row.shadowed_by}: it always wins", "warn")))
    if row.problem:
        lines += text_fact("problem", row.problem, width, "bad")
    return lines


def consumer(row: ConsumerView, moment: Moment, width: int) -> list[Line]:
    return [
        fact("consumer", (row.name, "bold"), f"   plan {row.plan or MISSING}   owner {row.owner or MISSING}"),
        fact(
            "5 minutes",
            f"{count(row.admitted_5m)} admitted, ",
            (f"{count(row.refused_5m)} refused", "warn" if row.refused_5m else ""),
        ),
        fact("now", f"{rate(row.rps)} rps   last seen {_when(row.last_seen, moment)}"),
    ]


DETAILS: dict[str, Callable[[Any, Moment, int], list[Line]]] = {
    "service": service,
    "target": target,
    "breaker": breaker,
    "quota": quota,
    "request": request,
    "event": event,
    "route": route,
    "consumer": consumer,
}

TOPIC_OF = {
    "service": "services",
    "target": "targets",
    "breaker": "breakers",
    "quota": "quotas",
    "request": "traffic",
    "event": "events",
    "route": "routes",
    "consumer": "consumers",
}
DETAIL_OF = {topic: place for place, topic in TOPIC_OF.items()}


def joined(values: Sequence[str]) -> str:
    return ", ".join(values) or MISSING


__all__ = ["DETAILS", "DETAIL_OF", "TOPIC_OF", "fact", "sparkline", "text_fact", "title"]
