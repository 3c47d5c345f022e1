"""Our caching rules beside those of another implementation of RFC 9111 (hishel), on random answers and times."""

from __future__ import annotations

import uuid
from email.utils import formatdate
from typing import Any

import pytest
from hishel import Entry, Request, Response
from hishel._core import _spec
from hishel._core._headers import Headers
from hypothesis import given
from hypothesis import strategies as some

from spork.domain.http.caching.facts import ResponseFacts
from spork.domain.http.caching.policy import CachePolicy
from spork.domain.http.caching.reuse import Use, usable
from spork.domain.http.caching.selection import fits, variant_of
from spork.domain.http.caching.stored import store
from spork.domain.http.caching.storing import Store, storable

NOW = 1_800_000_000.0
POLICY = CachePolicy()

directives = some.lists(
    some.one_of(
        some.sampled_from(
            ["public", "private", "no-store", "no-cache", "must-revalidate", "proxy-revalidate", "immutable"]
        ),
        some.builds("max-age={}".format, some.sampled_from([0, 1, 10, 60, 3600])),
        some.builds("s-maxage={}".format, some.sampled_from([0, 1, 10, 60, 3600])),
    ),
    max_size=4,
    unique_by=lambda each: each.partition("=")[0],
)
headers = some.fixed_dictionaries(
    {},
    optional={
        "cache-control": directives.map(", ".join),
        "expires": some.one_of(
            some.integers(-100, 4000).map(lambda seconds: formatdate(NOW + seconds, usegmt=True)), some.just("0")
        ),
        "date": some.integers(-200, 0).map(lambda seconds: formatdate(NOW + seconds, usegmt=True)),
        "etag": some.just('"a"'),
        "vary": some.sampled_from(["accept", "accept, x-a", "*"]),
    },
)
requests = some.fixed_dictionaries(
    {},
    optional={
        "authorization": some.just("Bearer x"),
        "accept": some.sampled_from(["text/html", "application/json"]),
        "x-a": some.just("1"),
    },
)
statuses = some.sampled_from([200, 203, 204, 300, 301, 302, 404, 410, 500, 503])


def ours(status: int, answer: dict[str, str], asked: dict[str, str], again: dict[str, str], later: float) -> bool:
    """Whether the second request is answered without the target."""
    fields = [(name.encode(), value.encode()) for name, value in answer.items()]
    facts = ResponseFacts(fields, NOW)
    decision = storable(status, facts, POLICY, "authorization" in asked, NOW)
    if not isinstance(decision, Store):
        return False
    varied = [(name.encode(), value.encode()) for name, value in asked.items()]
    entry = store(
        status, fields, facts, decision, NOW, NOW, variant=variant_of(facts.vary, varied, ()), tags=(), began=0.0
    )
    second = [(name.encode(), value.encode()) for name, value in again.items()]
    return fits(entry, variant_of(entry.vary, second, ())) and usable(entry, NOW + later) is Use.FRESH


def theirs(
    status: int, answer: dict[str, str], asked: dict[str, str], again: dict[str, str], later: float,
    clock: Any,
) -> bool:  # fmt: skip
    """The same question to hishel, as a shared cache."""
    given = {"date": formatdate(NOW, usegmt=True), **answer}
    options = _spec.CacheOptions(shared=True, supported_methods=["GET"], allow_stale=False)
    request = Request("GET", "https://example.com/x", Headers(asked))
    response = Response(status, Headers(given))
    clock(NOW)
    state = _spec.CacheMiss(request=request, options=options).next(response)
    while isinstance(state, _spec.InvalidateEntries):
        state = state.next()  # type: ignore[assignment]
    if not isinstance(state, _spec.StoreAndUse):
        return False
    clock(NOW + later)
    entry = Entry(uuid.uuid4(), request, state.response)
    second = Request("GET", "https://example.com/x", Headers(again))
    return isinstance(_spec.IdleClient(options=options).next(second, [entry]), _spec.FromCache)


@pytest.fixture(scope="module")
def clock() -> Any:
    """Sets the time that hishel reads."""
    moved = pytest.MonkeyPatch()
    moments = [NOW]
    moved.setattr(_spec.time, "time", lambda: moments[0])
    yield lambda now: moments.__setitem__(0, now)
    moved.undo()


@given(statuses, headers, requests, requests, some.sampled_from([0.0, 0.5, 5.0, 30.0, 100.0, 3700.0]))
def test_nothing_is_given_that_the_other_would_not_give_and_the_other_way_round(
    clock: Any, status: int, answer: dict[str, str], asked: dict[str, str], again: dict[str, str], later: float
) -> None:
    again = {name: value for name, value in again.items() if name != "authorization"}
    mine = ours(status, answer, asked, again, later)
    other = theirs(status, answer, asked, again, later, clock)
    assert mine == other, (mine, other)
