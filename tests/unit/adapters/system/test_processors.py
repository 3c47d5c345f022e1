"""Workers from a container's quota."""

from __future__ import annotations

from pathlib import Path

import pytest

from spork.adapters.system import processors


@pytest.mark.parametrize(
    ("written", "count"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", 8), ("no", 8)]
)
def test_the_quota_is_rounded_up_and_never_more_than_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, count: int
) -> None:
    monkeypatch.setattr(processors.os, "sched_getaffinity", lambda pid: set(range(8)))
    (tmp_path / "cpu.max").write_text(written)
    assert processors.usable_processors(tmp_path) == count


def test_the_older_control_groups_are_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors.os, "sched_getaffinity", lambda pid: set(range(8)))
    assert processors.usable_processors(tmp_path) == 8
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("300000")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert processors.usable_processors(tmp_path) == 3
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1")
    assert processors.usable_processors(tmp_path) == 8
