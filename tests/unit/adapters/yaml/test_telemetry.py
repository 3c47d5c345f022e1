"""`telemetry:` as written and as OpenTelemetry's variables change it; what is wrong gets a place and a remedy."""

from __future__ import annotations

from typing import Any

import pytest

from spork.adapters.yaml.load import loads

BASE = """
upstreams: {{u: {{targets: [http://127.0.0.1:1]}}}}
routes: [{{name: r, match: /*, upstream: u, trace: {route}}}]
{telemetry}
"""


def read(telemetry: str = "", route: str = "{ratio: 10%}", **environ: str) -> tuple[Any, list[str]]:
    loaded = loads(BASE.format(telemetry=telemetry, route=route), environ=environ)
    return loaded.configuration, [f"{p.severity} {p.path}: {p.message}" for p in loaded.problems]


GOOD = "telemetry: {otlp: {url: http://collector:4318}}"


def test_what_is_written_is_what_is_configured() -> None:
    written = "telemetry: {otlp: {url: http://c:4318/, headers: {X-A: b}, compress: false}, traces: {ratio: 5%, slow: 2s, errors: off, propagate: [b3]}, attributes: {a: b}}"  # fmt: skip
    configuration, problems = read(written, "{ratio: 100%, trust: true, headers: [X-Tenant]}")
    telemetry = configuration.telemetry
    assert problems == []
    assert telemetry.otlp.endpoint("traces") == "http://c:4318/v1/traces"
    assert telemetry.otlp.endpoint("logs") == "http://c:4318/v1/logs"
    assert telemetry.otlp.headers == (("x-a", "b"),)
    assert (telemetry.traces.ratio, telemetry.traces.slow, telemetry.traces.errors) == (0.05, 2.0, False)
    assert telemetry.traces.propagate == ("w3c", "b3")
    (route,) = configuration.routes
    assert (route.trace.ratio, route.trace.trust, route.trace.headers) == (1.0, True, ("x-tenant",))
    assert read(GOOD, "off")[0].routes[0].trace.enabled is False


@pytest.mark.parametrize(
    ("telemetry", "route", "problem"),
    [
        ("telemetry: {}", "{}", "error telemetry.otlp: traces have nowhere to go"),
        (GOOD, "{headers: [Authorization]}", "error routes[0].trace.headers: authorization carries credentials"),
        ("", "{ratio: 1%}", "warning routes[0].trace.ratio: keeps nothing without telemetry:"),
        ("telemetry: {otlp: {url: http://c:1, interval: 10ms}}", "{}", "error telemetry.otlp.interval: must be at least 1s"),
        ("telemetry: {otlp: {url: http://c:1, timeout: 0s}}", "{}", "error telemetry.otlp.timeout: must be longer than 0"),
        ("telemetry: {otlp: {url: http://a:b@c:1}}", "{}", "error telemetry.otlp.url: carries credentials"),
        ("telemetry: {otlp: {url: http://c:1}, traces: {force: {header: x-t, secret: short}}}", "{}", "error telemetry.traces.force.secret: is shorter than 16 characters"),
        ("telemetry: {otlp: {url: http://c:1}, traces: {link: 'http://j/trace'}}", "{}", "error telemetry.traces.link: does not name {trace_id}"),
        ("telemetry: {otlp: {url: http://c:1}, traces: {link: 'javascript:{trace_id}'}}", "{}", "error telemetry.traces.link: is not an http or https address"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(telemetry: str, route: str, problem: str) -> None:
    assert problem in read(telemetry, route)[1]


@pytest.mark.parametrize(
    ("environ", "check"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://e:4318"}, lambda t: t.otlp.endpoint("traces") == "http://e:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://e/t"}, lambda t: t.otlp.endpoint("traces") == "http://e/t" and t.otlp.endpoint("logs") == "http://collector:4318/v1/logs"),
        ({"OTEL_SDK_DISABLED": "TRUE"}, lambda t: t is None),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=a,x=b%2Cc"}, lambda t: (t.service_name, t.attributes) == ("a", (("x", "b,c"),))),
        ({"OTEL_SERVICE_NAME": "b", "OTEL_RESOURCE_ATTRIBUTES": "service.name=a"}, lambda t: t.service_name == "b"),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, lambda t: t.traces.ratio == 0.25),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, lambda t: (t.traces.ratio, t.traces.errors) == (0.0, False)),
        ({"OTEL_PROPAGATORS": "tracecontext,baggage,jaeger"}, lambda t: t.traces.propagate == ("w3c", "jaeger")),
        ({"OTEL_METRICS_EXPORTER": "otlp", "OTEL_TRACES_EXPORTER": "none"}, lambda t: t.otlp.signals == ("metrics",)),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "2500", "OTEL_EXPORTER_OTLP_COMPRESSION": "none"}, lambda t: (t.otlp.timeout, t.otlp.compress) == (2.5, False)),
    ],
)  # fmt: skip
def test_standard_variables_go_before_the_file(environ: dict[str, str], check: Any) -> None:
    configuration, problems = read(GOOD, "{}", **environ)
    assert check(configuration.telemetry)
    assert problems == []
    assert read("", "{}", **environ)[0].telemetry is None, "alone they switch nothing on"


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_TRACES_SAMPLER": "sometimes"},
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "7"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"},
        {"OTEL_RESOURCE_ATTRIBUTES": "nonsense"},
        {"OTEL_PROPAGATORS": "xray"},
        {"OTEL_LOGS_EXPORTER": "console"},
    ],
)
def test_a_variable_that_cannot_be_read_is_ignored_with_a_warning(environ: dict[str, str]) -> None:
    configuration, problems = read(GOOD, "{}", **environ)
    assert configuration.telemetry.otlp.url == "http://collector:4318"
    (problem,) = problems
    assert problem.startswith("warning telemetry: OTEL_")
