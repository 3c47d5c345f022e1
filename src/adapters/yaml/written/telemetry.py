"""Tracing, and telemetry that is sent to a collector, as written."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from spork.adapters.yaml.scalars import Count, Duration, HeaderName, HttpUrl, Ratio, Secret
from spork.adapters.yaml.written.form import Written


class Otlp(Written, frozen=True):
    """A collector that takes OTLP over HTTP (protobuf): OpenTelemetry Collector, Jaeger, Grafana Tempo and others."""

    url: Annotated[HttpUrl, "Base address, e.g. http://collector:4318; empty: as OTEL_EXPORTER_OTLP_ENDPOINT says."] = (
        ""
    )
    headers: Annotated[dict[HeaderName, Secret], "Sent with every batch; write secrets as ${VAR}."] = msgspec.field(
        default_factory=dict
    )
    compress: Annotated[bool, "Send batches as gzip."] = True
    signals: Annotated[
        tuple[Literal["traces", "metrics", "logs"], ...], "What is sent; logs are the access log and events."
    ] = ("traces",)
    timeout: Annotated[Duration, "Longest time for one batch."] = 10.0
    interval: Annotated[Duration, "Time between two reports of metrics."] = 15.0


class Force(Written, frozen=True):
    """A header by which one request has its trace kept."""

    header: Annotated[HeaderName, "Name of the header; it is not passed on."]
    secret: Annotated[Secret, "Value it must have, 16 characters or more; write it as ${VAR}."]


class Traces(Written, frozen=True):
    """Which traces are kept, and how they travel."""

    ratio: Annotated[Ratio, "Share of new traces that is kept, by trace id."] = 0.01
    per_second: Annotated[Count, "Most traces kept by ratio, and most by errors or slow, in a second; 0: no cap."] = 100
    errors: Annotated[Literal["always", "off"], "Keep every request that failed (5xx, faults), decided at its end."] = (
        "always"
    )
    slow: Annotated[Duration | None, "Keep requests that took longer, decided at their end; left out: none."] = None
    phases: Annotated[
        Literal["events", "spans", "off"],
        "Phases of a request as events of its span, or as spans of their own; guards that waited over 1ms always are spans.",
    ] = "events"
    propagate: Annotated[
        tuple[Literal["w3c", "b3", "b3multi", "jaeger"], ...], "Formats read and written; w3c always is."
    ] = ("w3c",)
    links: Annotated[bool, "Link to the trace that an untrusted caller brought."] = True
    link: Annotated[
        str,
        "Address of a trace in your viewer, such as https://jaeger.example.com/trace/{trace_id}; {trace_id} is filled in.",
    ] = ""
    force: Annotated[Force | None, "A header with a secret that has a trace kept; left out: none."] = None
    consumer: Annotated[bool, "Put the consumer's name on spans."] = False


class Telemetry(Written, frozen=True):
    """Tracing, and telemetry that is sent to a collector; without this key nothing is. See docs/telemetry.md."""

    otlp: Annotated[Otlp, "The collector."] = Otlp()
    traces: Annotated[Traces, "Which traces are kept, and how they travel."] = Traces()
    service_name: Annotated[str, "service.name of this gateway; OTEL_SERVICE_NAME goes before it."] = "spork"
    attributes: Annotated[dict[str, str], "Further resource attributes, e.g. deployment.environment.name."] = (
        msgspec.field(default_factory=dict)
    )


class RouteTrace(Written, frozen=True):
    """Tracing of one route."""

    ratio: Annotated[Ratio | None, "Share of new traces kept instead of telemetry.traces.ratio."] = None
    trust: Annotated[
        bool,
        "Continue the trace that any caller brings, with its sampled flag; otherwise only trusted_proxies' traces.",
    ] = False
    headers: Annotated[tuple[HeaderName, ...], "Request headers put on the span; never credentials."] = ()
