"""Telemetry as written, to `spork.application.configuration.telemetry`."""

from __future__ import annotations

from spork.adapters.yaml import written
from spork.application.configuration.telemetry import OtlpExport, RouteTrace, Telemetry, Tracing


def translate_telemetry(telemetry: written.Telemetry | None) -> Telemetry | None:
    if telemetry is None:
        return None
    otlp, traces = telemetry.otlp, telemetry.traces
    return Telemetry(
        otlp=OtlpExport(
            url=otlp.url,
            headers=tuple((name.lower(), value) for name, value in otlp.headers.items()),
            compress=otlp.compress,
            signals=tuple(dict.fromkeys(otlp.signals)),
            timeout=otlp.timeout,
            interval=otlp.interval,
        ),
        traces=Tracing(
            ratio=traces.ratio,
            per_second=traces.per_second,
            errors=traces.errors == "always",
            slow=traces.slow,
            phases=traces.phases,
            propagate=tuple(dict.fromkeys(("w3c", *traces.propagate))),
            links=traces.links,
            link=traces.link,
            force_header="" if traces.force is None else traces.force.header.lower(),
            force_secret="" if traces.force is None else traces.force.secret,
            consumer=traces.consumer,
        ),
        service_name=telemetry.service_name,
        attributes=tuple(telemetry.attributes.items()),
    )


def translate_route_trace(trace: str | written.RouteTrace | None) -> RouteTrace:
    if trace is None:
        return RouteTrace()
    if isinstance(trace, str):
        return RouteTrace(enabled=trace != "off")
    return RouteTrace(True, trace.ratio, trace.trust, tuple(name.lower() for name in trace.headers))
