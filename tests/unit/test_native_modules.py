"""The list of modules that are compiled, and the form they are given."""

from __future__ import annotations

from pathlib import Path

from native.build import ROOT, modules, prepare


def test_every_listed_module_exists_once_and_in_order() -> None:
    names = modules()
    assert names == sorted(set(names))
    assert [name for name in names if not (ROOT / "src" / name).is_file()] == []


def test_the_copy_differs_in_slots_of_dataclasses_only(tmp_path: Path) -> None:
    prepare(tmp_path)
    changed = 0
    for name in modules():
        source, copy = (ROOT / "src" / name).read_text(), (tmp_path / name).read_text()
        assert "slots=True" not in copy
        for before, after in zip(source.split("\n"), copy.split("\n"), strict=True):
            if before != after:
                changed += 1
                assert before.startswith("@dataclass(")
                assert after.startswith("@dataclass(")
    assert changed > 10
    untouched = ROOT / "src" / "application" / "views.py"
    assert (tmp_path / "application" / "views.py").read_text() == untouched.read_text()
