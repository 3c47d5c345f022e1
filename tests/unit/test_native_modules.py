"""The list of modules that are compiled, and the form they are given."""

from __future__ import annotations

import ast
from pathlib import Path

from native.build import ROOT, modules, prepare


def test_every_listed_module_exists_once_and_in_order() -> None:
    names = modules()
    assert names == sorted(set(names))
    assert [name for name in names if not (ROOT / name).is_file()] == []


def test_the_copy_differs_in_slots_of_dataclasses_only(tmp_path: Path) -> None:
    prepare(tmp_path)
    changed = 0
    for name in modules():
        source, copy = (ROOT / name).read_text(), (tmp_path / name).read_text()
        assert "slots=True" not in copy
        for before, after in zip(source.split("\n"), copy.split("\n"), strict=True):
            if before != after:
                changed += 1
                assert before.startswith("@dataclass(")
                assert after.startswith("@dataclass(")
    assert changed > 10
    untouched = ROOT / "src" / "application" / "views.py"
    assert (tmp_path / "spork" / "application" / "views.py").read_text() == untouched.read_text()


def test_no_bound_of_a_slice_does_anything() -> None:
    """mypyc evaluates what stands in a slice twice where it has no faster form for it: `view[os.write(...) :]`
    wrote every line two times."""
    pure = {"len", "max", "min"}
    found = [
        f"{name}:{node.lineno}: {ast.unparse(node)}"
        for name in modules()
        for node in ast.walk(ast.parse((ROOT / name).read_text()))
        if isinstance(node, ast.Slice)
        for part in ast.walk(node)
        if isinstance(part, ast.NamedExpr | ast.Await | ast.Yield)
        or (isinstance(part, ast.Call) and getattr(part.func, "id", "") not in pure)
    ]
    assert found == []
