"""Where credentials may stand: each place, what is left of the request, and what is ambiguous."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.domain.http.head import RequestHead
from spork.domain.identity.presentation import KeyPlaces, Presentation, Presented, TokenPlaces

EVERYWHERE = TokenPlaces(headers=("X-Token", "CF-Assertion"), cookie="sid", query="access_token", protocol="bearer")
KEYS = KeyPlaces(headers=("X-Key", "X-Other-Key"), cookie="key", query="api_key")
Fields = list[tuple[bytes, bytes]]


def head(headers: Fields | None = None, query: bytes | None = None, upgrade: bool = False) -> RequestHead:
    made = RequestHead("GET", b"/x", query, tuple(headers or ()), "https", b"api")
    made.upgrade = upgrade
    return made


@pytest.mark.parametrize(
    ("asked", "found", "headers", "query"),
    [
        (head([(b"authorization", b"Bearer t")]), Presented(b"t"), [(b"authorization", b"Bearer t")], None),
        (head([(b"authorization", b"Basic t")]), Presented(), [(b"authorization", b"Basic t")], None),
        (head([(b"x-token", b"t")]), Presented(b"t"), [(b"x-token", b"t")], None),
        (head([(b"cf-assertion", b"bearer t")]), Presented(b"t"), [(b"cf-assertion", b"bearer t")], None),
        (head([(b"cookie", b"a=1; sid=t; b=2")]), Presented(b"t"), [(b"cookie", b"a=1; b=2")], None),
        (head([(b"cookie", b'sid="t"')]), Presented(b"t"), [], None),
        (head([(b"cookie", b"xsid=t; sidx=u")]), Presented(), [(b"cookie", b"xsid=t; sidx=u")], None),
        # A cookie of the same name that a neighbouring host planted.
        (head([(b"cookie", b"sid=planted; sid=t")]), Presented(b""), [], None),
        (head([(b"cookie", b"sid=planted"), (b"cookie", b"sid=t")]), Presented(b""), [], None),
        # The browser sends its cookie whatever else is shown.
        (
            head([(b"authorization", b"Bearer t"), (b"cookie", b"sid=u")]),
            Presented(b"t"), [(b"authorization", b"Bearer t")], None,
        ),
        (head([(b"authorization", b"Bearer t"), (b"x-token", b"u")]), Presented(b""), None, None),
        (head([(b"x-token", b"t"), (b"x-token", b"t")]), Presented(b""), None, None),
        (head(query=b"a=1&access_token=t&b=2"), Presented(b"t"), [], b"a=1&b=2"),
        (head(query=b"access%5Ftoken=t%2B"), Presented(b"t+"), [], None),
        (head(query=b"access_token=t&access_token=u"), Presented(b""), [], None),
        (head(query=b"api_key=k&x"), Presented(None, b"k"), [], b"x"),
        (head([(b"x-token", b"t")], query=b"access_token=u"), Presented(b""), None, None),
        (head([(b"x-key", b"k")]), Presented(None, b"k"), [(b"x-key", b"k")], None),
        (head([(b"x-key", b"k"), (b"x-other-key", b"l")]), Presented(None, b""), None, None),
        # The target's own, as this route looks for keys elsewhere.
        (head([(b"x-api-key", b"k")]), Presented(), [(b"x-api-key", b"k")], None),
        (head([(b"cookie", b"key=k; sid=t")]), Presented(b"t", b"k"), [], None),
        (
            head([(b"sec-websocket-protocol", b"chat, bearer, t")], upgrade=True),
            Presented(b"t", None, b"bearer"), [(b"sec-websocket-protocol", b"chat")], None,
        ),
        (head([(b"sec-websocket-protocol", b"bearer, t")], upgrade=True), Presented(b"t", None, b"bearer"), [], None),
        (head([(b"sec-websocket-protocol", b"bearer")], upgrade=True), Presented(b"", None, b"bearer"), [], None),
        (head([(b"sec-websocket-protocol", b"bearer, t")]), Presented(), None, None),
    ],
)  # fmt: skip
def test_places(asked: RequestHead, found: Presented, headers: Fields | None, query: bytes | None) -> None:
    assert Presentation(EVERYWHERE, KEYS).take(asked) == found
    if headers is not None:
        assert list(asked.headers) == headers
    assert asked.query == query


def test_the_authorization_header_may_be_left_to_the_target() -> None:
    presentation = Presentation(TokenPlaces(authorization=False, headers=("X-Token",)), KeyPlaces())
    assert presentation.take(head([(b"authorization", b"Bearer theirs"), (b"x-token", b"t")])) == Presented(b"t")
    assert presentation.consumes == {b"x-token", b"x-api-key"}


TEXT = st.binary(min_size=1, max_size=12)


@given(before=st.lists(TEXT), after=st.lists(TEXT), token=st.text("abcXYZ0._-~", min_size=1))
def test_nothing_is_left_of_a_token_in_the_query(before: list[bytes], after: list[bytes], token: str) -> None:
    pairs = [b"access_token=" + token.encode()]
    others = [b"q=" + text.hex().encode() for text in (*before, *after)]
    asked = head(query=b"&".join([*others[: len(before)], *pairs, *others[len(before) :]]))
    assert Presentation(EVERYWHERE, KEYS).take(asked) == Presented(token.encode())
    assert asked.query == (b"&".join(others) or None)
