"""Who may operate: tokens, roles, ends, guesses; and the parts of a process that say how they are."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from spork.adapters.files.state_files import RevisionFiles, WorkerFiles, admin_token, file_signature, newest_change
from spork.adapters.system.process import ProcessMeter
from spork.application.admin.access import Locked, NotAnOperator, Operator, Operators
from spork.application.admin.commands import ObjectVersions
from spork.application.admin.health import DiskHealth, LogHealth, LoopHealth
from spork.application.admin.stream import Revisions
from spork.application.configuration.live import Revision
from spork.application.configuration.model import AdminToken
from spork.application.fleet.heartbeat import LoopLag
from spork.application.telemetry.event_log import EventLog, select
from spork.application.telemetry.families import report_of
from spork.application.telemetry.tally import RequestCounters


def token(name: str, text: str, role: str = "viewer", expires_at: float | None = None) -> AdminToken:
    return AdminToken(name, hashlib.sha256(text.encode()).hexdigest(), role, expires_at)


OPERATORS = Operators(
    lambda: (token("a", "alpha", "admin"), token("b", "beta", "operator", 100.0), token("c", "gamma", "root"))
)


def test_several_tokens_with_roles_and_ends() -> None:
    assert OPERATORS.verify("Bearer alpha", "x", 50.0) == Operator("a", "admin")
    assert OPERATORS.verify("bearer beta", "x", 99.0) == Operator("b", "operator", 100.0)
    assert OPERATORS.verify("Bearer beta", "x", 100.0) == NotAnOperator("expired")
    assert OPERATORS.verify("Bearer gamma", "x", 1.0) == Operator("c", "viewer"), "a role nobody knows may the least"


@pytest.mark.parametrize(
    "value", ["", "alpha", "Basic alpha", "Bearer ", "Bearer alpha2", "Bearer \udcff", "Bearer " + "x" * 9999]
)
def test_anything_else_is_nobody(value: str) -> None:
    assert isinstance(Operators(lambda: (token("a", "alpha"),)).verify(value, "x", 1.0), NotAnOperator)


def test_roles_include_those_before_them() -> None:
    assert [Operator("x", "operator").may(role) for role in ("viewer", "operator", "admin")] == [True, True, False]


def test_guesses_from_one_address_lock_that_address_only_and_for_a_while() -> None:
    operators = Operators(lambda: (token("a", "alpha"),), attempts=3, period=60.0)
    for at in (0.0, 1.0, 2.0):
        operators.verify("Bearer no", "10.0.0.1", at)
    assert operators.verify("Bearer alpha", "10.0.0.1", 3.0) == Locked(57.0)
    assert isinstance(operators.verify("Bearer alpha", "10.0.0.2", 3.0), Operator)
    assert isinstance(operators.verify("Bearer alpha", "10.0.0.1", 61.0), Operator)


def test_a_flood_of_addresses_is_bounded() -> None:
    operators = Operators(lambda: (), addresses=10)
    for number in range(1000):
        operators.verify("Bearer no", f"10.0.{number >> 8}.{number & 255}", 1.0)
    assert len(operators._failures) == 10


def test_missing_tokens_do_not_count_as_guesses() -> None:
    operators = Operators(lambda: (token("a", "alpha"),), attempts=1)
    for _ in range(5):
        operators.verify("", "x", 1.0)
    assert isinstance(operators.verify("Bearer alpha", "x", 1.0), Operator)


def test_revisions_never_repeat_even_when_the_clock_stands_or_runs_back() -> None:
    at = [100.0]
    revisions = Revisions(lambda: at[0])
    first = [revisions.next() for _ in range(3)]
    at[0] = 50.0
    later = revisions.next()
    at[0] = 200.0
    assert [*first, later] == sorted({*first, later})
    assert revisions.next() == 200_000_000


def test_substances_change_only_when_they_do() -> None:
    substances = ObjectVersions(Revisions(lambda: 100.0))
    first = substances.changed("breaker a", "closed", since=10.0)
    assert first == 10_000_000
    assert substances.changed("breaker a", "closed", since=10.0) == first
    assert substances.changed("breaker a", "open") > first


def test_events_are_found_by_kind_actor_and_text_and_a_flood_leaves_room() -> None:
    at = [1.0]
    log = EventLog("n", lambda: at[0], per_second=5)
    log.publish("breaker.opened", "users", {"detail": "5 of 10 failed"})
    for _ in range(1000):
        log.publish("auth.failed", "10.0.0.1", {"actor": "mallory"})
    events = log.latest(2000)
    assert len(events) == 6
    assert log.counts[("auth.failed",)] == 1000
    assert [e.object for e in select(events, kind="breaker")] == ["users"]
    assert len(select(events, actor="mallory", limit=3)) == 3
    assert select(events, text="OF 10")[0].severity == "warning"
    assert select(events, after=events[0].id) == []


def test_a_failing_listener_stops_nobody() -> None:
    log = EventLog("n", lambda: 1.0)
    heard: list[str] = []

    def broken(event: object, data: object) -> None:
        raise RuntimeError

    log.listen(broken)
    log.listen(lambda event, data: heard.append(event.kind))
    log.publish("x.y", "z", {})
    assert heard == ["x.y"]


# -------------------------------------------------------------------------------------------------------------- health


def test_the_event_loop_is_judged_by_its_worst_lag() -> None:
    lag = LoopLag()
    verdicts = []
    for late in (0.001, 0.2, 2.0):
        lag.note(1.0, late)
        verdicts.append(LoopHealth(lag).health().status)
    assert verdicts == ["ok", "degraded", "failing"]


def test_what_the_process_uses_is_told_and_few_descriptors_left_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    process = ProcessMeter()
    health = process.health()
    assert (health.name, health.status) == ("process", "ok")
    assert isinstance(health.facts["resident_bytes"], int)
    assert health.facts["resident_bytes"] > 2**20
    assert float(str(health.facts["cpu_seconds"])) > 0
    monkeypatch.setattr("resource.getrlimit", lambda which: (process.descriptors(), 4096))
    assert process.health().status == "degraded"


async def test_a_blocked_loop_is_seen() -> None:
    import time

    lag = LoopLag(every=0.01)
    watching = asyncio.create_task(lag.watch())
    await asyncio.sleep(0.03)
    time.sleep(0.15)  # the loop is blocked on purpose: this lag is what is measured
    await asyncio.sleep(0.03)
    watching.cancel()
    assert lag.worst > 0.1
    assert sum(lag.waits) > 0


def test_a_log_that_loses_lines_is_degraded_until_it_stops() -> None:
    class Sink:
        lost, failed, waiting = 3, 0, 10

    now = [100.0]
    health = LogHealth(Sink(), lambda: True, monotonic=lambda: now[0])
    assert [health.health().status, health.health().status] == ["degraded", "degraded"], "whoever asks first"
    now[0] += 61.0
    assert health.health().status == "ok"
    assert LogHealth(Sink(), lambda: False).health().status == "off"


def test_the_disk_is_asked(tmp_path: Path) -> None:
    assert DiskHealth(str(tmp_path)).health().facts["free_bytes"]


# --------------------------------------------------------------------------------------------------------- state files


def test_the_token_is_made_once_and_private(tmp_path: Path) -> None:
    directory = str(tmp_path / "state")
    assert admin_token(directory) == admin_token(directory)
    path = tmp_path / "state" / "admin-token"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_revisions_are_private_bounded_and_survive_a_torn_file(tmp_path: Path) -> None:
    files = RevisionFiles(str(tmp_path), most=3)
    first = Revision("r0", 1.0, "a", "file", "", "text", "full")
    for number in range(5):
        files.keep(replace(first, revision=f"r{number}", at=float(number + 1)))
    assert [r.revision for r in files.all()] == ["r2", "r3", "r4"]
    paths = sorted((tmp_path / "revisions").glob("*.json"))
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in paths)
    paths[1].write_bytes(b'{"revision": "r3", "at"')
    assert [r.revision for r in files.all()] == ["r2", "r4"]


def test_workers_find_each_other_and_know_who_is_gone(tmp_path: Path) -> None:
    import os

    here = os.getpid()
    one, two = (WorkerFiles(str(tmp_path), "run", f"w{n}-{here}") for n in (1, 2))
    one.put(report_of(f"w1-{here}", 0.0, 100.0, RequestCounters(), ()))
    two.put(report_of(f"w2-{here}", 0.0, 100.0, RequestCounters(), ()))
    ended = WorkerFiles(str(tmp_path), "run", "w3-999999999")
    ended.put(report_of("w3-999999999", 0.0, 100.0, RequestCounters(), ()))
    assert {(r.worker, r.gone) for r in one.others()} == {(f"w2-{here}", False), ("w3-999999999", True)}
    WorkerFiles(str(tmp_path), "earlier", "w1-1").put(report_of("w1-1", 0.0, 1.0, RequestCounters(), ()))
    one.clear_old()
    assert not list((tmp_path / "workers").glob("earlier.*"))
    assert len(one.others()) == 2


def test_a_files_signature_changes_with_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a"
    before = file_signature([str(path)])
    path.write_text("x")
    after = file_signature([str(path)])
    assert before != after
    assert newest_change([str(path), "nowhere"]) == path.stat().st_mtime
    assert newest_change([]) == 0.0
