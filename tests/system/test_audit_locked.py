"""Records that are locked lose no audit record: it waits in state_dir, or the write is refused."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tests.servers import gateway_process, wait_until
from tests.system.test_admin import admin, config, echo_service

ACTIONS = 3


def test_audit_records_of_writes_done_while_the_records_are_locked_are_all_in_the_trail_later(tmp_path: Path) -> None:
    with echo_service() as echo, gateway_process(config(echo), tmp_path) as gateway, admin(gateway) as client:
        client.timeout = 30
        database = next((tmp_path / ".spork").glob("*.db"), None) or next((tmp_path / ".spork").glob("*.sqlite*"))
        lock = sqlite3.connect(database, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        try:
            for number in range(ACTIONS):
                answer = client.post("/admin/v1/breakers/echo/trip", json={"reason": f"no {number}", "ttl": 60})
                assert answer.status_code == 200, answer.text
                assert "waits in state_dir" in answer.text
        finally:
            lock.execute("ROLLBACK")
            lock.close()
        trail = lambda: client.get("/admin/v1/audit?action=breaker.trip").json()["items"]  # noqa: E731
        wait_until(lambda: len(trail()) == ACTIONS, 20, "the records in the trail")
        assert sorted(record["reason"] for record in trail()) == [f"no {number}" for number in range(ACTIONS)]
        assert list((tmp_path / ".spork" / "audit-waiting").glob("*.jsonl")) == []


def test_a_write_whose_record_could_be_kept_nowhere_is_refused(tmp_path: Path) -> None:
    with echo_service() as echo, gateway_process(config(echo), tmp_path) as gateway, admin(gateway) as client:
        place = tmp_path / ".spork" / "audit-waiting"
        if place.exists():
            place.rmdir()
        place.write_text("a file where a directory should be")
        answer = client.post("/admin/v1/breakers/echo/trip", json={"reason": "x", "ttl": 60})
        assert answer.status_code == 503, answer.text
        assert "Nothing was done" in answer.text
        place.unlink()
        assert client.post("/admin/v1/breakers/echo/trip", json={"reason": "x", "ttl": 60}).status_code == 200
