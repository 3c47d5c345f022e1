"""Problem documents: every reason in the source has its status, and every fault its answer."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from spork.adapters.litestar.problems import REASONS, TYPE_PREFIX, JsonProblemResponses, retry_after
from spork.domain.outcomes import GROUNDS, TIMEOUTS, Denial, DenialCategory, Fault, FaultKind, LocalResponse, Side

SRC = Path(__file__).resolve().parents[4] / "src"


def reasons_in_source() -> set[str]:
    """The first argument of every `Denial(...)` written as a text."""
    found = set()
    for path in SRC.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "Denial"
                and node.args
            ):
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    found.add(first.value)
    return found


def test_every_reason_in_the_source_has_a_status() -> None:
    assert reasons_in_source() - set(REASONS) == set()


@pytest.mark.parametrize("reason", sorted(REASONS.keys() | GROUNDS))
def test_the_ground_of_a_reason_and_its_status_say_the_same(reason: str) -> None:
    grounds = {401: DenialCategory.CREDENTIALS, 403: DenialCategory.ACCESS, 429: DenialCategory.ALLOWANCE}
    assert Denial(reason).ground is grounds.get(REASONS[reason][0], DenialCategory.OTHER)


def test_no_fault_is_taken_for_a_refusal_of_some_ground() -> None:
    assert GROUNDS.keys().isdisjoint(kind.value for kind in FaultKind)


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_a_denial_is_a_problem_document(reason: str) -> None:
    answer = JsonProblemResponses().deny(Denial(reason, "Why.", retry_after=0.2), "r1")
    document = json.loads(answer.body)
    assert answer.status == document["status"] == REASONS[reason][0]
    assert document["title"] and document["detail"] == "Why." and document["instance"] == "r1"
    assert document["type"].startswith((TYPE_PREFIX, "https://iana.org/"))
    headers = dict(answer.headers)
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"retry-after"] == b"1"
    assert int(headers[b"content-length"]) == len(answer.body)


@pytest.mark.parametrize("kind", list(FaultKind))
def test_a_fault_never_shows_its_note(kind: FaultKind) -> None:
    answer = JsonProblemResponses().fail(Fault(kind, Side.UPSTREAM, note="10.9.8.7 secret"), "r1")
    assert answer.status >= 400
    assert b"10.9.8.7" not in answer.body and b"secret" not in answer.body
    assert dict(answer.headers)[b"proxy-status"] == b"spork; error=" + kind.value.encode()
    assert (answer.status == 504) == (kind in TIMEOUTS)


def test_responses_have_a_length_unless_204() -> None:
    assert dict(JsonProblemResponses().respond(LocalResponse("redirect", status=308), "").headers) == {
        b"content-length": b"0"
    }
    preflight = JsonProblemResponses().respond(LocalResponse("preflight"), "")
    assert (preflight.status, preflight.headers) == (204, ())


@pytest.mark.parametrize(("seconds", "shown"), [(0.0, b"1"), (0.001, b"1"), (1.0, b"1"), (1.01, b"2"), (59.5, b"60")])
def test_retry_after_is_rounded_up_and_never_zero(seconds: float, shown: bytes) -> None:
    assert retry_after(seconds) == shown


def test_the_page_of_reasons_is_current() -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("problems_page", SRC.parent / "docs" / "problems.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (SRC.parent / "docs" / "problems.md").read_text() == module.page()
