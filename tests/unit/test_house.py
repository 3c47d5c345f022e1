"""The house's own rules: what the domain may import, names that say nothing, who owns the import packages."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src"

#: Standard library modules that hold values and pure functions. Anything else needs an argument in review.
ALLOWED_IN_DOMAIN = {
    "__future__",
    "base64",
    "binascii",
    "bisect",
    "calendar",
    "collections",
    "collections.abc",
    "dataclasses",
    "datetime",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "hmac",
    "ipaddress",
    "itertools",
    "json",
    "math",
    "operator",
    "random",
    "re",
    "string",
    "struct",
    "types",
    "typing",
    "unicodedata",
    "urllib.parse",
    "zlib",
    "zoneinfo",
}
VAGUE = {"util", "utils", "helper", "helpers", "manager", "managers", "common", "base", "misc", "service_impl", "data"}


def imported(path: Path) -> set[str]:
    """Every module that `path` imports, at any depth of the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module)
    return found


def stray_imports(path: Path) -> set[str]:
    return {name for name in imported(path) if name not in ALLOWED_IN_DOMAIN and not name.startswith("spork.domain")}


@pytest.mark.parametrize("path", sorted((SRC / "domain").rglob("*.py")), ids=lambda p: p.name)
def test_domain_imports_only_values(path: Path) -> None:
    assert stray_imports(path) == set()


def test_the_import_check_sees_a_stray_import(tmp_path: Path) -> None:
    module = tmp_path / "bad.py"
    module.write_text("def f():\n    import time\n    from os import path\n")
    assert stray_imports(module) == {"time", "os"}


@pytest.mark.parametrize("path", sorted((SRC / "application").rglob("*.py")), ids=lambda p: str(p.relative_to(SRC)))
def test_application_imports_no_third_party(path: Path) -> None:
    roots = {name.split(".")[0] for name in imported(path)}
    assert roots - sys.stdlib_module_names - {"spork"} == set()


#: An adapter folder imports the package it is named after (dnspython's is `dns`), msgspec, and nothing else.
FOREIGN = {
    "graphql_core": {"graphql"},
    "dnspython": {"dns"},
    "prometheus": {"prometheus_client"},
    "edge": {"uvicorn", "httptools"},
    "http1": {"httptools"},
}

#: Log lines are written to files.
STOOD_ON = {"structlog": {"spork.adapters.files.line_sink"}}


@pytest.mark.parametrize("folder", sorted(p for p in (SRC / "adapters").iterdir() if p.is_dir()), ids=lambda p: p.name)
def test_an_adapter_folder_imports_only_its_namesake(folder: Path) -> None:
    if folder.name == "__pycache__":
        return
    allowed = FOREIGN.get(folder.name, {folder.name}) | {"msgspec", "spork"}
    for path in folder.rglob("*.py"):
        names = imported(path)
        assert {name.split(".")[0] for name in names} - sys.stdlib_module_names <= allowed, path.name
        others = {name for name in names if name.startswith("spork.adapters.") and name.split(".")[2] != folder.name}
        assert others <= STOOD_ON.get(folder.name, set()), path.name


def test_domain_uses_only_an_injected_random() -> None:
    """`random` is imported for the type only: no module-level function of it is called."""
    for path in (SRC / "domain").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random":
                assert node.attr == "Random", f"{path.name}:{node.lineno} calls random.{node.attr}"


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = [path for path in SRC.rglob("*.py") if path.stem in VAGUE or path.parent.name in VAGUE]
    assert vague == []


def test_the_distribution_alone_owns_the_import_packages() -> None:
    owners = importlib.metadata.packages_distributions()
    assert set(owners.get("spork", ["spork-gateway"])) == {"spork-gateway"}
    assert "spork-gateway" not in {
        owner for name in ("domain", "application", "adapters", "console") for owner in owners.get(name, [])
    }


def module_graph() -> dict[str, set[str]]:
    """Every module of `spork` and what it imports of it: at the top, inside functions, and for types only."""
    paths = {
        f"spork.{path.relative_to(SRC).with_suffix('')}".replace("/", ".").removesuffix(".__init__"): path
        for path in SRC.rglob("*.py")
    }
    graph: dict[str, set[str]] = {name: set() for name in paths}
    for name, path in paths.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                for alias in node.names:
                    deeper = f"{node.module}.{alias.name}"
                    graph[name].add(deeper if deeper in paths else node.module)
            elif isinstance(node, ast.Import):
                graph[name] |= {alias.name for alias in node.names}
        graph[name] = (graph[name] & paths.keys()) - {name}
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """What is left when modules that import nothing left are taken away, again and again, from both ends."""
    left = {name: set(to) for name, to in graph.items()}
    while True:
        imported = {other for to in left.values() for other in to}
        ends = [name for name, to in left.items() if not to or name not in imported]
        if not ends:
            return [sorted(left)] if left else []
        for name in ends:
            del left[name]
        for to in left.values():
            to.difference_update(ends)


def test_no_module_imports_itself_by_way_of_another_not_even_for_types() -> None:
    assert circles(module_graph()) == []


def test_the_check_for_circles_sees_one() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]


def test_the_picture_of_the_structure_is_of_today() -> None:
    spec = importlib.util.spec_from_file_location("structure", SRC.parent / "docs" / "structure.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PICTURE.read_text() == module.picture(), "run `make structure`"


def test_the_twenty_questions_have_answers_that_exist() -> None:
    text = (SRC.parent / "CONTRIBUTING.md").read_text()
    rows = [line for line in text.partition("## Where is it?")[2].splitlines() if line.startswith("| ") and "?" in line]
    assert len(rows) == 20
    for row in rows:
        place = row.split("|")[2].split("`")[1]
        assert (SRC.parent / place).exists(), row
