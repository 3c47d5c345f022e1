"""Fields of the body that tell routes apart."""

from __future__ import annotations

import json

import pytest

from spork.domain.routing.bodies import MOST_BYTES, BodyChoice, is_json, values_of

CHOICE = BodyChoice(
    [
        ((("model", "small-*"),), "small"),
        ((("model", "small-2"),), "second"),
        ((("model", "small-*"), ("stream", "true")), "streamed"),
        ((("model", "*"), ("usage.tier", "7")), "tier"),
    ],
    "rest",
)  # fmt: skip


@pytest.mark.parametrize(
    ("document", "route"),
    [
        ({"model": "small-1"}, "small"),
        ({"model": "small-2"}, "second"),
        ({"model": "small-2", "stream": True}, "streamed"),
        ({"model": "x", "usage": {"tier": 7}}, "tier"),
        ({"model": "x", "usage.tier": "7"}, "tier"),
        ({"model": "large"}, "rest"),
        ({"model": {"name": "small-1"}}, "rest"),
        ([], "rest"),
        ({}, "rest"),
    ],
)
def test_the_most_specific_one_that_holds_takes_it(document: object, route: str) -> None:
    assert CHOICE.choose(values_of(json.dumps(document).encode(), CHOICE.names)) == route


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b'{"model": "small-1", "model": "large"}', b'{"a": {"b": 1, "b": 2}, "model": "small-1"}',
     b'{"model": "small-1"}' + b" " * MOST_BYTES, b"[" * 50_000, b"\xff"],
)  # fmt: skip
def test_what_cannot_be_read_for_certain_matches_nothing(body: bytes) -> None:
    assert CHOICE.choose(values_of(body, CHOICE.names)) == "rest"


def test_json_is_known_by_its_media_type() -> None:
    assert all(map(is_json, (b"application/json", b"Application/JSON; charset=utf-8", b"application/problem+json")))
    assert not any(map(is_json, (b"", b"text/plain", b"application/jsonp")))
