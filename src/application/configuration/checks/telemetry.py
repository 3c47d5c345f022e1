"""What telemetry means: a collector to send to, a secret worth the name, headers that may be shown."""

from __future__ import annotations

from collections.abc import Iterator

from spork.application.configuration.model import Configuration
from spork.application.configuration.problems import Diagnostic

#: Shorter secrets of `force` could be guessed.
SECRET_CHARACTERS = 16
#: Header fields that are credentials; never put on spans.
_CREDENTIALS = frozenset(("authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"))


def check_telemetry(configuration: Configuration) -> Iterator[Diagnostic]:
    telemetry = configuration.telemetry
    for index, route in enumerate(configuration.routes):
        for name in route.trace.headers:
            if name in _CREDENTIALS:
                yield Diagnostic(f"routes[{index}].trace.headers", f"{name} carries credentials", "leave it out")
        if route.trace.ratio is not None and telemetry is None:
            yield Diagnostic(
                f"routes[{index}].trace.ratio", "keeps nothing without telemetry:", "add telemetry:", "warning"
            )
    if telemetry is None:
        return
    otlp, traces = telemetry.otlp, telemetry.traces
    for signal in otlp.signals:
        if not otlp.endpoint(signal):
            yield Diagnostic(
                "telemetry.otlp",
                f"{signal} have nowhere to go",
                "add url: http://collector:4318 (or OTEL_EXPORTER_OTLP_ENDPOINT)",
            )
            break
    if otlp.timeout <= 0:
        yield Diagnostic("telemetry.otlp.timeout", "must be longer than 0")
    if otlp.interval < 1:
        yield Diagnostic("telemetry.otlp.interval", "must be at least 1s")
    if "@" in otlp.url.partition("://")[2].partition("/")[0]:
        yield Diagnostic("telemetry.otlp.url", "carries credentials", "put them into headers: {authorization: ...}")
    if traces.force_header and len(traces.force_secret) < SECRET_CHARACTERS:
        yield Diagnostic(
            "telemetry.traces.force.secret",
            f"is shorter than {SECRET_CHARACTERS} characters",
            "make one by: openssl rand -hex 24",
        )
    if traces.link and "{trace_id}" not in traces.link:
        yield Diagnostic("telemetry.traces.link", "does not name {trace_id}", "end it with {trace_id}")
    if traces.link and not traces.link.startswith(("http://", "https://")):
        yield Diagnostic("telemetry.traces.link", "is not an http or https address")
