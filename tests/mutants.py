"""Mutation check of the domain's decisions: breaks one comparison, number, operator or branch at a time; a test must notice.

`python -m tests.mutants [--each N] [MODULE ...]`: N mutants (default 6) of each module, chosen evenly over its source, so that a run is the
same each time. A mutant is survived when the tests of its room (tests/unit/domain/ROOM) pass all the same. Exit 1 if any is.
Each mutant runs in a fork of one process that has pytest imported already; nothing on disk changes.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import io
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
#: A mutant whose tests take this many seconds is noticed: something waits that should not.
PATIENCE = 60
#: The modules that decide, below src/domain.
DECIDING = (
    "http/authority", "http/proxies", "http/forwarding", "routing/patterns", "routing/table", "routing/precedence", "limits/gcra",
    "limits/windows", "limits/calendars", "limits/limit", "upstreams/balancing", "upstreams/health", "upstreams/circuit",
    "upstreams/circuit_machine", "upstreams/retries", "upstreams/call_window", "identity/authorization", "identity/tokens",
    "security/cors", "security/csrf", "security/ssrf",
)  # fmt: skip
_COMPARED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
             ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}  # fmt: skip
_COMPUTED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult}


def mutations(tree: ast.Module) -> Iterator[tuple[int, str, ast.Module]]:
    """(line, what was done, the mutated module) for every place that can be broken."""
    nodes = list(ast.walk(tree))
    for at, node in enumerate(nodes):
        made = _broken(node)
        if made is None:
            continue
        fresh = copy.deepcopy(tree)
        twin = list(ast.walk(fresh))[at]
        what = made(twin)
        yield getattr(node, "lineno", 0), what, ast.fix_missing_locations(fresh)


def _broken(node: ast.AST):  # type: ignore[no-untyped-def]
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARED:
        return _other_comparison
    if isinstance(node, ast.BinOp) and type(node.op) in _COMPUTED:
        return _other_operator
    if isinstance(node, ast.BoolOp):
        return _other_word
    if isinstance(node, ast.If | ast.IfExp):
        return _negated
    return None


def _other_comparison(node: ast.Compare) -> str:
    before = type(node.ops[0])
    node.ops[0] = _COMPARED[before]()
    return f"{before.__name__} becomes {_COMPARED[before].__name__}"


def _other_operator(node: ast.BinOp) -> str:
    before = type(node.op)
    node.op = _COMPUTED[before]()
    return f"{before.__name__} becomes {_COMPUTED[before].__name__}"


def _other_word(node: ast.BoolOp) -> str:
    before = type(node.op).__name__
    node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    return f"{before} becomes {type(node.op).__name__}"


def _negated(node: ast.If | ast.IfExp) -> str:
    node.test = ast.UnaryOp(ast.Not(), node.test)
    return "the condition is negated"


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module in its mutated form."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self.name, self.path, self.tree = name, path, tree

    def find_spec(self, fullname: str, path: object, target: ModuleType | None = None) -> object:
        return importlib.util.spec_from_loader(fullname, self, origin=str(self.path)) if fullname == self.name else None

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = str(self.path)
        exec(compile(self.tree, str(self.path), "exec"), module.__dict__)  # the source of this repository, broken once


def noticed(name: str, path: Path, tree: ast.Module, tests: Sequence[str]) -> bool:
    """Whether a test fails (or hangs, or cannot be imported) with the mutated module."""
    child = os.fork()
    if child == 0:
        sys.meta_path.insert(0, Mutated(name, path, tree))  # type: ignore[arg-type]
        silence = io.StringIO()
        code = 1
        try:
            import pytest

            with redirect_stdout(silence), redirect_stderr(silence):
                code = pytest.main(
                    ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=1", *tests]
                )
        finally:
            os._exit(0 if code == 0 else 1)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status != 0
        time.sleep(0.02)  # between two looks at the child
    os.kill(child, 9)
    os.waitpid(child, 0)
    return True


def chosen(found: list[tuple[int, str, ast.Module]], each: int) -> list[tuple[int, str, ast.Module]]:
    """`each` of them, evenly over the source."""
    if len(found) <= each:
        return found
    return [found[i * len(found) // each] for i in range(each)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", default=list(DECIDING), help="below src/domain, e.g. limits/gcra")
    parser.add_argument("--each", type=int, default=6)
    args = parser.parse_args(arguments)
    import hypothesis
    import pytest  # noqa: F401  # imported once, for all forks

    del hypothesis
    survived: list[str] = []
    total = 0
    for module in args.modules:
        path = ROOT / "src" / "domain" / f"{module}.py"
        name = "spork.domain." + module.replace("/", ".")
        tests = [str(ROOT / "tests" / "unit" / "domain" / module.partition("/")[0])]
        for line, what, tree in chosen(list(mutations(ast.parse(path.read_text()))), args.each):
            total += 1
            if not noticed(name, path, tree, tests):
                survived.append(f"src/domain/{module}.py:{line}: {what}")
                print("survived:", survived[-1], flush=True)
    print(f"{total - len(survived)} of {total} mutants noticed ({(total - len(survived)) / max(total, 1):.0%})")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
