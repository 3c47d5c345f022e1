"""What a configuration says of tracing and of telemetry that is sent out."""

from __future__ import annotations

from dataclasses import dataclass

#: What may be sent over OTLP.
SIGNALS = ("traces", "metrics", "logs")


@dataclass(frozen=True, slots=True)
class OtlpExport:
    """A collector that takes OTLP over HTTP. Times in seconds.

    `url` is the collector's base address; `/v1/traces`, `/v1/metrics` and `/v1/logs` are added. `endpoints` name a whole
    address for one signal instead (only environment variables do). `interval` is the time between two reports of metrics.
    """

    url: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    compress: bool = True
    signals: tuple[str, ...] = ("traces",)
    timeout: float = 10.0
    interval: float = 15.0
    endpoints: tuple[tuple[str, str], ...] = ()

    def endpoint(self, signal: str) -> str:
        """Where `signal` is posted, "" for nowhere."""
        for name, address in self.endpoints:
            if name == signal:
                return address
        return f"{self.url.rstrip('/')}/v1/{signal}" if self.url else ""


@dataclass(frozen=True, slots=True)
class Tracing:
    """Which traces are kept and how they travel. See `spork.domain.tracing`."""

    ratio: float = 0.01
    per_second: int = 100
    #: Keep every request that failed (5xx or a fault), decided when it is over.
    errors: bool = True
    #: Keep requests that took longer, in seconds.
    slow: float | None = None
    phases: str = "events"
    propagate: tuple[str, ...] = ("w3c",)
    #: Whether a trace that a stranger brought is linked from the one begun here.
    links: bool = True
    #: Address of a trace in the operator's viewer; `{trace_id}` and `{span_id}` are filled in.
    link: str = ""
    #: Header and secret by which a request has its trace kept.
    force_header: str = ""
    force_secret: str = ""
    #: Whether spans name the consumer.
    consumer: bool = False


@dataclass(frozen=True, slots=True)
class Telemetry:
    otlp: OtlpExport = OtlpExport()
    traces: Tracing = Tracing()
    service_name: str = "spork"
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RouteTrace:
    """Tracing of one route: off, another ratio, callers whose trace is continued, request headers put on the span."""

    enabled: bool = True
    ratio: float | None = None
    trust: bool = False
    headers: tuple[str, ...] = ()
