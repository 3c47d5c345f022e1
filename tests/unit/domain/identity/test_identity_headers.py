"""What targets are told of a caller: an encoding in which no two callers look alike."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.domain.identity.tokens import Principal, identity_headers, percent_encoded


def told(**parts: object) -> dict[str, str]:
    given_ = {"subject": "s", "method": "jwt", **parts}
    return {name.decode(): value.decode("ascii") for name, value in identity_headers(Principal(**given_))}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("subject", "header"),
    [
        ("zoë", "zo%C3%AB"),
        ("zo%C3%AB", "zo%25C3%25AB"),
        ("50%", "50%25"),
        ("Jane Doe", "Jane Doe"),
        (" jane ", "%20jane%20"),
        ("auth0|7", "auth0|7"),
        ("a\tb", "a%09b"),
    ],
)
def test_a_subject_is_told_so_that_it_can_be_read_back(subject: str, header: str) -> None:
    assert told(subject=subject)["x-user-id"] == header
    assert unquote(header) == subject


def test_an_element_of_a_list_stays_one_element() -> None:
    found = told(roles=frozenset(("cn=dev,ou=admin", "reader,admin")), scopes=frozenset(("a b", "c")))
    assert found["x-user-roles"] == "cn=dev%2Cou=admin,reader%2Cadmin"
    assert found["x-user-scopes"] == "a%20b c"
    assert {unquote(role) for role in found["x-user-roles"].split(",")} == {"cn=dev,ou=admin", "reader,admin"}


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_two_texts_are_told_alike(one: str, other: str) -> None:
    first, second = percent_encoded(one), percent_encoded(other)
    assert (first == second) == (one == other)
    assert first.strip(b" \t") == first and first.isascii() and first.decode("ascii").isprintable()


@given(st.frozensets(st.text(min_size=1, max_size=6)), st.frozensets(st.text(min_size=1, max_size=6)))
def test_no_two_lists_are_told_alike(one: frozenset[str], other: frozenset[str]) -> None:
    for name in ("roles", "scopes"):
        assert (told(**{name: one}) == told(**{name: other})) == (one == other)
