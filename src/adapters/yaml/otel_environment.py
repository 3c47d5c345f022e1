"""OpenTelemetry's standard variables, as overrides of `telemetry:`.

They change a configuration that has `telemetry:`; alone they switch nothing on, because many clusters set them for every pod.
A value that cannot be read is ignored with a warning, as the OpenTelemetry specification wants.
Source: opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables and .../protocol/exporter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import unquote

from spork.application.configuration.problems import Diagnostic
from spork.application.configuration.telemetry import SIGNALS, OtlpExport, Telemetry, Tracing
from spork.domain.tracing.propagation import PROPAGATORS

_NAMES = {"tracecontext": "w3c", "b3": "b3", "b3multi": "b3multi", "jaeger": "jaeger"}
_SAMPLERS = ("always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio")  # fmt: skip


def with_environment(
    telemetry: Telemetry | None, environ: Mapping[str, str]
) -> tuple[Telemetry | None, list[Diagnostic]]:
    """`telemetry` as the variables change it, and warnings about those that could not be read."""
    if telemetry is None:
        return None, []
    reader = _Reader(environ)
    if reader.text("OTEL_SDK_DISABLED").lower() == "true":
        return None, []
    changed = Telemetry(
        otlp=_otlp(telemetry.otlp, reader),
        traces=_traces(telemetry.traces, reader),
        service_name=telemetry.service_name,
        attributes=telemetry.attributes,
    )
    attributes = dict(changed.attributes) | reader.pairs("OTEL_RESOURCE_ATTRIBUTES")
    named = attributes.pop("service.name", "")
    name = reader.text("OTEL_SERVICE_NAME") or named or changed.service_name
    return replace(changed, service_name=name, attributes=tuple(attributes.items())), reader.problems


def _otlp(otlp: OtlpExport, reader: _Reader) -> OtlpExport:
    protocol = reader.text("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in ("", "http/protobuf"):
        reader.complain("OTEL_EXPORTER_OTLP_PROTOCOL", f"{protocol} is not spoken", "use http/protobuf (port 4318)")
    signals = list(otlp.signals)
    for signal in SIGNALS:
        exporter = reader.text(f"OTEL_{signal.upper()}_EXPORTER")
        if exporter == "none" and signal in signals:
            signals.remove(signal)
        elif exporter == "otlp" and signal not in signals:
            signals.append(signal)
        elif exporter not in ("", "none", "otlp"):
            reader.complain(f"OTEL_{signal.upper()}_EXPORTER", f"{exporter} is not known", "use otlp or none")
    endpoints = dict(otlp.endpoints)
    for signal in SIGNALS:
        endpoint = reader.url(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
        if endpoint:
            endpoints[signal] = endpoint
    compression = reader.text("OTEL_EXPORTER_OTLP_COMPRESSION")
    if compression not in ("", "gzip", "none"):
        reader.complain("OTEL_EXPORTER_OTLP_COMPRESSION", f"{compression} is not known", "use gzip or none")
    headers = dict(otlp.headers) | {k.lower(): v for k, v in reader.pairs("OTEL_EXPORTER_OTLP_HEADERS").items()}
    timeout = reader.milliseconds("OTEL_EXPORTER_OTLP_TIMEOUT")
    interval = reader.milliseconds("OTEL_METRIC_EXPORT_INTERVAL")
    return OtlpExport(
        url=reader.url("OTEL_EXPORTER_OTLP_ENDPOINT") or otlp.url,
        headers=tuple(headers.items()),
        compress={"gzip": True, "none": False}.get(compression, otlp.compress),
        signals=tuple(signals),
        timeout=timeout or otlp.timeout,
        interval=max(1.0, interval) if interval else otlp.interval,
        endpoints=tuple(endpoints.items()),
    )


def _traces(traces: Tracing, reader: _Reader) -> Tracing:
    sampler = reader.text("OTEL_TRACES_SAMPLER")
    if sampler and sampler not in _SAMPLERS:
        reader.complain("OTEL_TRACES_SAMPLER", f"{sampler} is not known", f"one of {', '.join(_SAMPLERS)}")
    elif sampler.endswith("always_on"):
        traces = replace(traces, ratio=1.0)
    elif sampler.endswith("always_off"):
        traces = replace(traces, ratio=0.0, errors=False, slow=None)
    elif sampler:
        ratio = reader.number("OTEL_TRACES_SAMPLER_ARG", lambda value: 0.0 <= value <= 1.0)
        traces = replace(traces, ratio=1.0 if ratio is None else ratio)
    written = reader.text("OTEL_PROPAGATORS")
    if written and written != "none":
        wanted = [name.strip() for name in written.split(",")]
        unknown = [name for name in wanted if name not in _NAMES and name != "baggage"]
        if unknown:
            reader.complain("OTEL_PROPAGATORS", f"{', '.join(unknown)} is not spoken", f"one of {', '.join(_NAMES)}")
        chosen = {"w3c", *(_NAMES[name] for name in wanted if name in _NAMES)}
        traces = replace(traces, propagate=tuple(name for name in PROPAGATORS if name in chosen))
    return traces


class _Reader:
    """Reads variables, and keeps what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[Diagnostic] = []

    def complain(self, name: str, message: str, suggestion: str = "") -> None:
        self.problems.append(Diagnostic("telemetry", f"{name}: {message}", suggestion, "warning"))

    def text(self, name: str) -> str:
        return self._environ.get(name, "").strip()

    def url(self, name: str) -> str:
        value = self.text(name)
        if value and not value.startswith(("http://", "https://")):
            self.complain(name, f"{value!r} is not an http or https address", "http://collector:4318")
            return ""
        return value

    def number(self, name: str, fits: Callable[[float], bool]) -> float | None:
        value = self.text(name)
        if not value:
            return None
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not fits(number):
            self.complain(name, f"{value!r} is out of range")
            return None
        return number

    def milliseconds(self, name: str) -> float | None:
        """Seconds, of a variable in milliseconds."""
        found = self.number(name, lambda value: 0 < value < 1e9)
        return None if found is None else found / 1000

    def pairs(self, name: str) -> dict[str, str]:
        """`key=value,key=value`, percent-encoded; what is no pair makes the whole variable invalid."""
        found: dict[str, str] = {}
        for part in filter(None, (part.strip() for part in self.text(name).split(","))):
            key, equals, value = part.partition("=")
            if not equals or not key.strip():
                self.complain(name, "is not key=value,key=value")
                return {}
            found[unquote(key.strip())] = unquote(value.strip())
        return found
