"""The access log's lines, what is kept out of them, and a sink that never makes anybody wait."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from spork.adapters.files.line_sink import LineSink, line_sink
from spork.adapters.structlog.access_log import DEFAULT_FIELDS, AccessLog
from spork.adapters.structlog.application_log import level, set_level, set_up_logging
from spork.adapters.structlog.redaction import redact, redact_fields
from spork.application.telemetry.event_delivery import EventLines
from spork.application.telemetry.event_log import EventLog
from spork.domain.identity.tokens import Principal
from tests.closed_exchanges import closed_exchange
from tests.servers import wait_until

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


def unopened() -> LineSink:
    """A sink that keeps its lines, because nobody writes them."""
    return LineSink(lambda data: None)


def kept(sink: LineSink) -> list[bytes]:
    return [line for batch in sink._batches for line in batch]


def written(log: AccessLog) -> list[dict[str, object]]:
    return [json.loads(line) for line in kept(log.sink)]


@pytest.fixture
def log() -> AccessLog:
    return AccessLog(unopened())


def test_a_line_has_what_operators_look_for(log: AccessLog) -> None:
    log.closed(closed_exchange(principal=Principal("alice", "jwt", consumer="acme")))
    line = written(log)[0]
    assert line["time"] == "2027-01-15T08:00:00.250Z"
    assert (line["route"], line["upstream"], line["target"]) == ("users", "users", "127.0.0.1:7001")
    assert (line["subject"], line["consumer"], line["status"], line["ms"]) == ("alice", "acme", 200, 4.0)
    assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert set(line) <= set(DEFAULT_FIELDS)


def test_server_errors_are_errors_and_refusals_carry_their_reason(log: AccessLog) -> None:
    log.closed(closed_exchange(status=502, reason="connection_refused"))
    assert (written(log)[0]["level"], written(log)[0]["reason"]) == ("error", "connection_refused")


@given(path=st.binary(max_size=60), query=st.binary(max_size=40), agent=st.binary(max_size=40))
def test_every_line_is_one_line_of_valid_json_whatever_came(path: bytes, query: bytes, agent: bytes) -> None:
    log = AccessLog(unopened(), (*DEFAULT_FIELDS, "query", "header:user-agent"))
    log.closed(closed_exchange(path=path, query=query, headers=((b"user-agent", agent),)))
    (line,) = kept(log.sink)
    assert b"\n" not in line
    assert line.isascii()
    assert isinstance(json.loads(line), dict)


def test_credentials_in_a_path_do_not_reach_the_log(log: AccessLog) -> None:
    log.closed(closed_exchange(path=b"/a/spk_abc_S3CRETS3CRET/" + JWT.encode()))
    assert written(log)[0]["path"] == "/a/spk_abc_[redacted]/[redacted]"


def test_fields_are_chosen_by_name(log: AccessLog) -> None:
    log.choose(("status", "query", "header:x-tenant", "plan"))
    log.closed(closed_exchange(query=b"token=" + JWT.encode(), headers=((b"x-tenant", b"t1"),)))
    assert written(log) == [{"status": 200, "query": "token=[redacted]", "header:x-tenant": "t1", "plan": None}]
    with pytest.raises(ValueError, match="no field"):
        log.choose(("nope",))
    with pytest.raises(ValueError, match="credential"):
        log.choose(("header:authorization",))
    log.choose(DEFAULT_FIELDS)
    log.closed(closed_exchange())
    assert written(log)[1]["route"] == "users"


def test_switched_off_it_writes_nothing(log: AccessLog) -> None:
    log.enabled = False
    log.closed(closed_exchange())
    assert written(log) == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain", "plain"),
        (f"Bearer {JWT}", "Bearer [redacted]"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [redacted]"),
        ("key spk_k1_AAAA-BBBB_CCCC end", "key spk_k1_[redacted] end"),
        (f"x{JWT}y", "x[redacted]"),
    ],
)
def test_redaction_by_pattern(text: str, wanted: str) -> None:
    assert redact(text) == wanted


def test_redaction_by_field_reaches_into_what_is_nested() -> None:
    event = {"X-Api-Key": "k", "data": {"password": "p", "list": [f"Bearer {JWT}"]}, "user": "alice"}
    assert redact_fields(event) == {
        "X-Api-Key": "[redacted]", "data": {"password": "[redacted]", "list": ["Bearer [redacted]"]}, "user": "alice",
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------------------- the sink


@pytest.mark.alone
async def test_a_stuck_sink_costs_no_time_and_its_loss_is_counted_and_said() -> None:
    """A pipe that nobody reads: puts stay fast, memory stays bounded; when it moves again the loss is written."""
    reading, writing = os.pipe()
    sink = LineSink(lambda data: _write_all(writing, data), bound=200_000, every=0.01)
    sink.open()
    line = b"x" * 99
    slowest = 0.0
    for number in range(20_000):
        began = time.perf_counter()
        sink.put(line)
        slowest = max(slowest, time.perf_counter() - began)
        if number % 500 == 0:
            await asyncio.sleep(0)
    assert sink.lost >= 20_000 - 2_000 - 1
    assert sink.waiting <= 200_000
    assert slowest < 0.05
    received = bytearray()

    def drain() -> None:
        while chunk := os.read(reading, 1 << 16):
            received.extend(chunk)

    reader = threading.Thread(target=drain)
    reader.start()
    lost = sink.lost
    for _ in range(1000):
        if sink.waiting < 100_000:
            break
        await asyncio.sleep(0.01)
    sink.put(b"afterwards")
    await asyncio.sleep(0.02)
    await asyncio.to_thread(sink.close, 5.0)
    os.close(writing)
    reader.join(5)
    os.close(reading)
    said = [json.loads(row)["lines"] for row in bytes(received).splitlines() if b"log.lost" in row]
    assert sum(said) == lost == sink.lost
    assert bytes(received).endswith(b"afterwards\n")


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def test_closing_gives_up_on_a_sink_that_never_moves() -> None:
    never = threading.Event()
    sink = LineSink(lambda data: never.wait() and None)  # type: ignore[func-returns-value]
    sink.open()
    sink.put(b"x")
    began = time.monotonic()
    sink.close(0.2)
    assert time.monotonic() - began < 2
    never.set()


def test_a_failing_sink_is_counted_and_goes_on() -> None:
    calls: list[bytes] = []

    def write(data: bytes) -> None:
        calls.append(data)
        if len(calls) == 1:
            raise OSError("no space")

    sink = LineSink(write)
    sink.open()
    sink.put(b"one")
    wait_until(lambda: sink.failed == 1, 5, "the failure")
    sink.put(b"two")
    sink.close(5)
    assert (sink.failed, sink.written, calls[-1]) == (1, 1, b"two\n")


def test_a_rotated_file_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    sink = line_sink(str(path))
    sink.open()
    sink.put(b"one")
    wait_until(lambda: path.read_bytes() == b"one\n", 5, "the first line")
    path.rename(tmp_path / "access.log.1")
    sink.reopen()
    wait_until(path.exists, 5, "the new file")
    sink.put(b"two")
    sink.close(5)
    assert (path.read_bytes(), (tmp_path / "access.log.1").read_bytes()) == (b"two\n", b"one\n")


# ----------------------------------------------------------------------------------------------------- application log


@pytest.fixture
def application_log() -> Iterator[io.BytesIO]:
    out = io.BytesIO()
    root = logging.getLogger()
    before, level_before = root.handlers[:], root.level
    sink = LineSink(lambda data: out.write(data) and None)  # type: ignore[func-returns-value]
    sink.open()
    set_up_logging(sink, people=False)
    yield out
    sink.close()
    root.handlers[:] = before
    root.setLevel(level_before)
    structlog.reset_defaults()


def lines_of(out: io.BytesIO, count: int) -> list[dict[str, object]]:
    wait_until(lambda: out.getvalue().count(b"\n") >= count, 5, "log lines")
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_library_and_own_logging_become_redacted_json_lines(application_log: io.BytesIO) -> None:
    logging.getLogger("some.library").warning("token %s\nsecond line", JWT)
    structlog.get_logger("spork").info("hello", authorization="Basic abc", user="alice")
    first, second = lines_of(application_log, 2)
    assert first["event"] == "token [redacted]\nsecond line"
    assert (first["level"], first["logger"]) == ("warning", "some.library")
    assert (second["event"], second["authorization"], second["user"]) == ("hello", "[redacted]", "alice")


def happened(kind: str, subject: str, data: dict[str, object]) -> None:
    events = EventLog("host:8000", lambda: 1_790_000_000.25)
    events.listen(EventLines().hear)
    events.publish(kind, subject, data)


def test_an_event_is_a_line_with_its_data_as_fields(application_log: io.BytesIO) -> None:
    happened("target.down", "users/127.0.0.1:7001", {"detail": "connection refused", "failures": 3, "audit_id": None})
    line = lines_of(application_log, 1)[0]
    assert list(line)[:4] == ["time", "level", "event", "logger"]
    del line["time"]
    assert line == {
        "level": "warning", "event": "target.down", "logger": "spork.events", "subject": "users/127.0.0.1:7001",
        "detail": "connection refused", "failures": 3, "source": "/spork/host:8000",
        "event_id": "1790000000250-000001-host:8000",
    }  # fmt: skip


def test_an_events_data_is_redacted_and_takes_no_place_of_the_line(application_log: io.BytesIO) -> None:
    """Data has any names: those that a log record or the line itself has are no reason to lose the event."""
    clash = dict.fromkeys(("name", "message", "event", "level", "time", "args", "source", "exc_info"), "x")
    happened("auth.failed", f"203.0.113.9 {JWT}", {**clash, "token": "abc", "key": "spk_abc_S3CRETS3CRET"})
    line = lines_of(application_log, 1)[0]
    assert (line["event"], line["level"], line["source"]) == ("auth.failed", "warning", "/spork/host:8000")
    assert {line[f"data_{name}"] for name in clash} == {"x"}
    assert (line["subject"], line["token"], line["key"]) == (
        "203.0.113.9 [redacted]",
        "[redacted]",
        "spk_abc_[redacted]",
    )


def test_an_event_is_one_line_whatever_a_client_wrote_into_it(application_log: io.BytesIO) -> None:
    given = {"detail": "two\nlines, \udc80 and %s", "credential": f"Bearer {JWT}", "seen": {1: 2}, "actor": "bob"}
    happened("auth.failed", "alice\udcff", dict(given))
    line = lines_of(application_log, 1)[0]
    assert (line["event"], line["subject"], line["level"]) == ("auth.failed", "alice\udcff", "warning")
    assert (line["detail"], line["credential"], line["actor"], line["seen"]) == (
        given["detail"], "Bearer [redacted]", "bob", {"1": 2},
    )  # fmt: skip


def test_a_flood_of_one_kind_of_event_is_a_few_lines_and_what_is_missing_is_said(application_log: io.BytesIO) -> None:
    now = [100.0]
    events = EventLog("n", lambda: now[0])
    events.listen(EventLines(per_second=3).hear)
    for _ in range(50):
        events.publish("auth.failed", "203.0.113.9", {})
    events.publish("target.down", "users/a", {})
    now[0] = 101.0
    events.publish("auth.failed", "203.0.113.9", {})
    events.publish("auth.failed", "203.0.113.9", {})
    lines = lines_of(application_log, 6)
    assert [line["event"] for line in lines] == ["auth.failed"] * 3 + ["target.down"] + ["auth.failed"] * 2
    assert [line.get("left_out") for line in lines] == [None, None, None, None, 47, None]
    assert events.counts[("auth.failed",)] == 52


def test_people_read_when_how_bad_what_and_then_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level_before = root.handlers[:], root.level
    try:
        set_up_logging(people=True)
        happened("target.down", "users/127.0.0.1:7001", {"detail": "connection refused"})
    finally:
        root.handlers[:] = before
        root.setLevel(level_before)
        structlog.reset_defaults()
    (line,) = capsys.readouterr().err.splitlines()
    when, rest = line.split(" ", 1)
    assert when.endswith("Z")
    assert " ".join(rest.split()) == (
        "[warning ] target.down [spork.events] subject=users/127.0.0.1:7001 detail='connection refused' "
        "source=/spork/host:8000 event_id=1790000000250-000001-host:8000"
    )


def test_the_level_changes_while_it_runs(application_log: io.BytesIO) -> None:
    log = logging.getLogger("spork.x")
    log.debug("one")
    set_level("debug")
    log.debug("two")
    assert level() == "debug"
    assert [line["event"] for line in lines_of(application_log, 1)] == ["two"]
    with pytest.raises(ValueError, match="no level"):
        set_level("loud")


def test_an_exception_is_one_line(application_log: io.BytesIO) -> None:
    try:
        raise RuntimeError("broken\nin two")
    except RuntimeError:
        logging.getLogger("spork").exception("it failed")
    assert "RuntimeError: broken" in str(lines_of(application_log, 1)[0]["exception"])
