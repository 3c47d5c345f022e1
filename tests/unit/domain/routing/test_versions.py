"""Versions: what a request names, and what a version is before, at and after each of its dates."""

from __future__ import annotations

import itertools
from email.utils import formatdate, parsedate_to_datetime

import http_sf  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.domain.http.head import Header
from spork.domain.routing.versions import (
    ApiVersion,
    Brownout,
    Selectors,
    Stage,
    accepted_version,
    earlier_kept,
    http_date,
    named_versions,
)

NAMES = ("v1", "v2")
DAY = 86400.0
T = 1_800_000_000.0
ALL = Selectors(1, b"api-version", b"v", "version")


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        ([], None),
        ([b"*/*"], None),
        ([b"application/json"], None),
        ([b"application/json;version=2"], "v2"),
        ([b'application/json; Version="v1"'], "v1"),
        ([b"application/vnd.acme.v2+json"], "v2"),
        ([b"application/vnd.acme.orders.v1"], "v1"),
        ([b"application/vnd.acme.v1+json;q=0.5, application/vnd.acme.v2+json;q=0.9"], "v2"),
        ([b"application/vnd.acme.v1+json, application/vnd.acme.v2+json"], "v1"),
        ([b"application/vnd.acme.v1+json;q=0, application/vnd.acme.v2+json;q=0.1"], "v2"),
        ([b"application/vnd.acme.v9+json, */*"], "v9"),
        ([b"application/vnd.acme.v9+json, application/vnd.acme.v1+json;q=0.1"], "v1"),
        ([b"application/vnd.v8engine+json"], None),
        ([b"text/html;version=7"], "7"),
    ],
)
def test_versions_in_accept(accept: list[bytes], version: str | None) -> None:
    assert accepted_version([(b"accept", value) for value in accept], NAMES, "version") == version


STATES: dict[str, list[tuple[str, ...]]] = {
    "path": [(), ("v1",), ("v2",)],
    "header": [(), ("v1",), ("v2",), ("v1", "v1"), ("v1", "v2"), ("v9",)],
    "accept": [(), ("v1",), ("v2",), ("v9",)],
    "query": [(), ("v1",), ("v1", "v2"), ("v9",), ("%762",)],
}


@pytest.mark.parametrize("states", list(itertools.product(*STATES.values())))
def test_every_selector_present_absent_doubled_disagreeing(states: tuple[tuple[str, ...], ...]) -> None:
    by_path, by_header, by_accept, by_query = states
    path = b"/api/%b/orders" % by_path[0].encode() if by_path else b"/api/orders/7"
    headers: list[Header] = [(b"api-version", name.encode()) for name in by_header]
    headers += [(b"accept", b"application/json;version=" + name.encode()) for name in by_accept]
    query = b"&".join(b"v=" + name.encode() for name in by_query) or None
    named = named_versions(ALL, NAMES, path, headers, query)
    assert named == [name.replace("%762", "v2") for state in states for name in state]


def test_a_longer_word_is_no_version() -> None:
    assert named_versions(ALL, NAMES, b"/api/v10/orders", [], None) == []


def version(**more: object) -> ApiVersion:
    return ApiVersion("orders", "v1", NAMES, Selectors(1), "v2", successor="v2", **more)  # type: ignore[arg-type]


ONCE = Brownout(T + 5 * DAY, 3600.0)
WEEKLY = Brownout(T + 10 * DAY, 1800.0, 7 * DAY)
GOING = version(deprecated=T, sunset=T + 100 * DAY, brownouts=(ONCE, WEEKLY), docs="https://docs.example.com/m")


@pytest.mark.parametrize(
    ("at", "stage"),
    [
        (T - 1, Stage.CURRENT),
        (T, Stage.DEPRECATED),
        (T + 5 * DAY - 1, Stage.DEPRECATED),
        (T + 5 * DAY, Stage.BROWNOUT),
        (T + 5 * DAY + 3599, Stage.BROWNOUT),
        (T + 5 * DAY + 3600, Stage.DEPRECATED),
        (T + 10 * DAY, Stage.BROWNOUT),
        (T + 10 * DAY + 1800, Stage.DEPRECATED),
        (T + 17 * DAY - 1, Stage.DEPRECATED),
        (T + 17 * DAY, Stage.BROWNOUT),
        (T + 94 * DAY + 1799, Stage.BROWNOUT),
        (T + 100 * DAY - 1, Stage.DEPRECATED),
        (T + 100 * DAY, Stage.RETIRED),
        (T + 101 * DAY, Stage.RETIRED),
    ],
)
def test_the_clock_over_every_date(at: float, stage: Stage) -> None:
    assert GOING.stage(at) is stage


@given(first=st.floats(0, 4e9), second=st.floats(0, 4e9))
def test_a_stage_depends_on_the_time_alone(first: float, second: float) -> None:
    """In both directions: a clock that steps back gives back what was."""
    before = GOING.stage(first)
    GOING.stage(second)
    assert GOING.stage(first) is before
    end = GOING.brownout_ends(first)
    assert end is None or first < end <= first + 3600


def test_what_is_sent_is_what_the_rfcs_say() -> None:
    fields = dict(header for header in GOING.fields() if header[0] != b"link")
    parsed = http_sf.parse(fields[b"deprecation"], tltype="item")
    assert parsed[0].timestamp() == T
    assert parsedate_to_datetime(fields[b"sunset"].decode()).timestamp() == T + 100 * DAY
    assert fields[b"api-version"] == b"v1"
    links = [value for name, value in GOING.fields() if name == b"link"]
    assert links == [
        b'<https://docs.example.com/m>; rel="deprecation"; type="text/html"',
        b'<https://docs.example.com/m>; rel="sunset"; type="text/html"',
    ]
    assert GOING.successor_link(b"/api/v1/orders/7") == (b"link", b'</api/v2/orders/7>; rel="successor-version"')
    assert GOING.successor_link(b"/api/orders/7") is None
    assert ApiVersion("a", "v2", NAMES, Selectors()).fields() == ((b"api-version", b"v2"),)


@given(st.integers(0, 4_000_000_000))
def test_dates_are_those_of_http(unix: int) -> None:
    assert http_date(unix).decode() == formatdate(unix, usegmt=True)


@pytest.mark.parametrize(
    ("theirs", "kept"),
    [
        ((b"deprecation", b"@%d" % (T - 5)), b"@%d" % (T - 5)),
        ((b"deprecation", b"@%d" % (T + 5)), b"@%d" % T),
        ((b"deprecation", b"true"), b"@%d" % T),
        ((b"sunset", http_date(T)), http_date(T)),
        ((b"sunset", http_date(T + 200 * DAY)), http_date(T + 100 * DAY)),
        ((b"sunset", b"soon"), http_date(T + 100 * DAY)),
    ],
)
def test_a_target_s_own_date_stays_where_it_is_earlier(theirs: Header, kept: bytes) -> None:
    merged = earlier_kept([(b"link", b'</x>; rel="next"'), theirs], GOING.fields())
    assert [value for name, value in merged if name == theirs[0]] == [kept]
    assert next(value for name, value in merged if name == b"link") == b'</x>; rel="next"'
