"""The exporter against a real receiver: what it repeats, halves, gives up and counts, and that it ends in time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from spork.adapters.otlp import exporter as exporting
from spork.adapters.otlp.exporter import Item, OtlpExporter, Source
from spork.application.configuration.telemetry import OtlpExport
from spork.application.telemetry.otlp.wire import message, resource_of
from tests.collector import Collector, collector, silent
from tests.servers import free_port, wait_until


def span(number: int) -> bytes:
    content = message(b"\x0a", number.to_bytes(16, "big")) + message(b"\x12", number.to_bytes(8, "big"))
    return message(b"\x12", content + message(b"\x2a", b"GET"))


class Spans:
    """What waits to be sent."""

    def __init__(self) -> None:
        self.waiting: list[int] = []
        self.asked = 0

    def take(self) -> Iterator[Item]:
        self.asked += 1
        while self.waiting:
            yield 1, (span(self.waiting.pop(0)),)


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
def exporter(spans: Spans, monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpExporter]:
    monkeypatch.setattr(exporting, "DELAY", 0.01)
    monkeypatch.setattr(exporting, "FIRST_PAUSE", 0.02)
    made = OtlpExporter((Source("traces", spans.take, "1", waiting=lambda: len(spans.waiting)),))
    made.start()
    yield made
    made.stop(2.0)


def settings(url: str, **fields: Any) -> OtlpExport:
    return replace(OtlpExport(url=url, timeout=2.0), **fields)


def numbers(taken: Collector) -> list[int]:
    return [int.from_bytes(s.trace_id, "big") for s in taken.spans]


def test_batches_arrive_whole_with_resource_and_headers(exporter: OtlpExporter, spans: Spans) -> None:
    with collector() as taken:
        spans.waiting += range(1, 601)
        exporter.configure(settings(taken.url, headers=(("authorization", "Bearer x"),)), resource_of({"service.name": "gw"}))  # fmt: skip
        wait_until(lambda: len(taken.spans) == 600, 5)
        assert numbers(taken) == list(range(1, 601))
        assert taken.resources[0] == {"service.name": "gw"}
        assert taken.headers[0]["authorization"] == "Bearer x"
        assert taken.headers[0]["content-encoding"] == "gzip"
        wait_until(lambda: exporter.counts["traces"].sent == 600, 5)


def test_without_compression_bytes_go_as_they_are(exporter: OtlpExporter, spans: Spans) -> None:
    with collector() as taken:
        spans.waiting.append(1)
        exporter.configure(settings(taken.url, compress=False), b"")
        wait_until(lambda: taken.spans, 5)
        assert "content-encoding" not in taken.headers[0]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_is_only_busy_gets_the_batch_again(status: int, exporter: OtlpExporter, spans: Spans) -> None:
    with collector() as taken:
        taken.reply = lambda number, _: (status, {"retry-after": "0"}, b"") if number < 3 else (200, {}, b"")
        spans.waiting += [1, 2]
        exporter.configure(settings(taken.url), b"")
        wait_until(lambda: taken.spans, 5)
        assert numbers(taken) == [1, 2]
        assert len(taken.batches) == 3


def test_retry_after_is_honoured(exporter: OtlpExporter, spans: Spans) -> None:
    with collector() as taken:
        taken.reply = lambda number, _: (503, {"retry-after": "1"}, b"") if number == 1 else (200, {}, b"")
        spans.waiting.append(1)
        exporter.configure(settings(taken.url), b"")
        wait_until(lambda: taken.spans, 5)
        assert taken.batches[1][1] - taken.batches[0][1] >= 0.95


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_what_refuses_is_not_asked_again_and_counted(status: int, exporter: OtlpExporter, spans: Spans) -> None:
    with collector() as taken:
        taken.reply = lambda number, _: (status, {}, b"no") if number == 1 else (200, {}, b"")
        spans.waiting += [1, 2, 3]
        exporter.configure(settings(taken.url), b"")
        wait_until(lambda: exporter.counts["traces"].failed == 3, 5)
        spans.waiting.append(4)
        wait_until(lambda: taken.spans, 5)
        assert numbers(taken) == [4]


def test_a_batch_that_is_too_large_is_halved_until_it_fits(exporter: OtlpExporter, spans: Spans) -> None:
    with collector() as taken:
        taken.reply = lambda _, count: (413, {}, b"") if count > 3 else (200, {}, b"")
        spans.waiting += range(1, 11)
        exporter.configure(settings(taken.url), b"")
        wait_until(lambda: len(taken.spans) == 10, 5)
        assert numbers(taken) == list(range(1, 11))
        assert exporter.counts["traces"].failed == 0


def test_one_span_that_is_too_large_is_given_up(exporter: OtlpExporter, spans: Spans) -> None:
    with collector() as taken:
        taken.reply = lambda *_: (413, {}, b"")
        spans.waiting += [1, 2]
        exporter.configure(settings(taken.url), b"")
        wait_until(lambda: exporter.counts["traces"].failed == 2, 5)


def test_what_the_collector_did_not_take_is_counted_and_never_more_than_was_sent(
    exporter: OtlpExporter, spans: Spans
) -> None:
    with collector() as taken:
        answer = ExportTraceServiceResponse(partial_success={"rejected_spans": 99}).SerializeToString()
        taken.reply = lambda *_: (200, {}, answer)
        spans.waiting += [1, 2]
        exporter.configure(settings(taken.url), b"")
        wait_until(lambda: exporter.counts["traces"].rejected == 2, 5)
        assert exporter.counts["traces"].sent == 0


def test_an_answer_without_end_or_of_nonsense_is_an_answer(exporter: OtlpExporter, spans: Spans) -> None:
    with collector() as taken:
        taken.reply = lambda number, _: (200, {}, b"\xff" * 200_000 if number == 1 else b"<html>")
        spans.waiting.append(1)
        exporter.configure(settings(taken.url), b"")
        wait_until(lambda: exporter.counts["traces"].sent == 1, 5)
        spans.waiting.append(2)
        wait_until(lambda: exporter.counts["traces"].sent == 2, 5)


def test_a_collector_that_is_gone_comes_back(exporter: OtlpExporter, spans: Spans) -> None:
    port = free_port()
    spans.waiting.append(1)
    exporter.configure(settings(f"http://127.0.0.1:{port}"), b"")
    wait_until(lambda: exporter.counts["traces"].batches.get("again"), 5)
    with collector(port) as taken:
        wait_until(lambda: numbers(taken) == [1], 10)
        spans.waiting.append(2)
        wait_until(lambda: 2 in numbers(taken), 5)


def test_a_connection_that_the_collector_closed_is_made_anew(exporter: OtlpExporter, spans: Spans) -> None:
    with collector() as taken:
        taken.reply = lambda *_: (200, {"connection": "close"}, b"")
        exporter.configure(settings(taken.url), b"")
        for number in (1, 2, 3):
            spans.waiting.append(number)
            wait_until(lambda number=number: number in numbers(taken), 5)
        assert exporter.counts["traces"].failed == 0


def test_a_collector_that_hangs_costs_its_timeout_and_no_more(exporter: OtlpExporter, spans: Spans) -> None:
    with silent() as url:
        spans.waiting.append(1)
        exporter.configure(settings(url, timeout=0.2), b"")
        wait_until(lambda: exporter.counts["traces"].batches.get("again", 0) >= 2, 5)


def test_another_collector_takes_over_while_one_hangs(exporter: OtlpExporter, spans: Spans) -> None:
    with silent() as url, collector() as taken:
        spans.waiting.append(1)
        exporter.configure(settings(url, timeout=0.2), b"")
        wait_until(lambda: spans.asked and not spans.waiting, 5)
        exporter.configure(settings(taken.url), b"")
        spans.waiting.append(2)
        wait_until(lambda: 2 in numbers(taken), 5)


def test_what_waits_is_sent_at_the_end(spans: Spans) -> None:
    with collector() as taken:
        exporter = OtlpExporter((Source("traces", spans.take),))
        exporter.configure(settings(taken.url), b"")
        exporter.start()
        spans.waiting += range(1, 5001)
        exporter.stop(5.0)
        assert len(taken.spans) == 5000


@pytest.mark.parametrize("gone", [True, False])
def test_the_end_is_bounded_whatever_the_collector_does(gone: bool, spans: Spans) -> None:
    with silent() as url:
        exporter = OtlpExporter((Source("traces", spans.take),))
        exporter.configure(settings(f"http://127.0.0.1:{free_port()}" if gone else url, timeout=30.0), b"")
        exporter.start()
        spans.waiting += range(1, 100)
        began = time.monotonic()
        exporter.stop(0.3)
        assert time.monotonic() - began < 2.0


def test_no_settings_send_nothing(exporter: OtlpExporter, spans: Spans) -> None:
    with collector() as taken:
        exporter.configure(settings(taken.url), b"")
        wait_until(lambda: spans.asked, 5)
        exporter.configure(None, b"")
        asked = spans.asked
        wait_until(lambda: not exporter._changed, 5)
        spans.waiting.append(1)
        exporter.stop(1.0)
        assert taken.spans == []
        assert spans.asked <= asked + 1
