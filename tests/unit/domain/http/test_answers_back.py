"""Addresses in answers, told from the client's point of view."""

from __future__ import annotations

import pytest

from spork.domain.http.answers_back import RewriteBack, WayBack

BACK = WayBack(b"/shop", b"/v1", {b"10.0.0.5:7001", b"shop.internal"}, b"https://gw.test")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"http://10.0.0.5:7001/v1/a?b#c", b"https://gw.test/shop/a?b#c"),
        (b"HTTP://Shop.Internal:80/v1", b"https://gw.test/shop"),
        (b"https://shop.internal:443/v1/", b"https://gw.test/shop/"),
        (b"http://shop.internal?q", b"https://gw.test/shop/?q"),
        (b"http://shop.internal:8080/v1/a", b"http://shop.internal:8080/v1/a"),
        (b"https://other.example/v1/a", b"https://other.example/v1/a"),
        (b"//shop.internal/a", b"//shop.internal/a"),
        (b"/v1/a", b"/shop/a"),
        (b"/v1", b"/shop"),
        (b"/", b"/shop/"),
        (b"/v10/a", b"/shop/v10/a"),
        (b"/shop/a", b"/shop/a"),
        (b"/shopping", b"/shop/shopping"),
        (b"a/b", b"a/b"),
        (b"../a", b"../a"),
        (b"", b""),
        (b"mailto:a@b", b"mailto:a@b"),
    ],
)
def test_locations(said: bytes, told: bytes) -> None:
    assert BACK.location(said) == told


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"a=1; Path=/v1/cart; Secure", b"a=1; Path=/shop/cart; Secure"),
        (b"a=1;path=/", b"a=1; Path=/shop"),
        (b"a=1; Domain=.shop.internal; HttpOnly", b"a=1; HttpOnly"),
        (b"a=1; Domain=10.0.0.5", b"a=1"),
        (b"a=1; Domain=example.com", b"a=1; Domain=example.com"),
        (b"a=path=/v1; Path", b"a=path=/v1; Path"),
    ],
)
def test_cookies(said: bytes, told: bytes) -> None:
    assert BACK.cookie(said) == told


def test_only_what_was_chosen_is_told_anew_and_order_and_duplicates_stay() -> None:
    headers = [(b"set-cookie", b"a=1; Path=/v1"), (b"location", b"/v1/x"), (b"set-cookie", b"b=2"), (b"x", b"/v1")]
    assert BACK.fields(headers, RewriteBack(location=False)) == [
        (b"set-cookie", b"a=1; Path=/shop"),
        *headers[1:],
    ]
    assert BACK.fields(headers, RewriteBack(cookies=False))[1] == (b"location", b"/shop/x")
    assert BACK.fields(headers[2:], RewriteBack()) is not None
