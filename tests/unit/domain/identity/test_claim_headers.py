"""Claims as headers: what has a text has a header, and no two values look alike."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spork.domain.identity.claim_headers import claim_headers

CLAIMS = {
    "email": "zoë@example.com", "org": {"id": 7, "name": "a,b"}, "groups": ["cn=dev,ou=x", "ops"], "vip": True,
    "empty": [], "nested": [{"a": 1}], "none": None, "https://x.example/tier": "gold",
}  # fmt: skip


def test_what_has_a_text_has_a_header() -> None:
    wanted = [
        (b"x-email", "email"), (b"x-org", "org.id"), (b"x-org-name", "org.name"), (b"x-groups", "groups"),
        (b"x-vip", "vip"), (b"x-tier", "https://x.example/tier"), (b"x-a", "empty"), (b"x-b", "nested"), (b"x-c", "none"),
        (b"x-d", "org"), (b"x-e", "not.there"),
    ]  # fmt: skip
    assert claim_headers(CLAIMS, wanted) == [
        (b"x-email", b"zo%C3%AB@example.com"), (b"x-org", b"7"), (b"x-org-name", b"a,b"),
        (b"x-groups", b"cn=dev%2Cou=x,ops"), (b"x-vip", b"true"), (b"x-tier", b"gold"),
    ]  # fmt: skip


@given(st.lists(st.text(max_size=5), min_size=1, max_size=3), st.lists(st.text(max_size=5), min_size=1, max_size=3))
def test_two_lists_are_never_told_alike(one: list[str], other: list[str]) -> None:
    wanted = [(b"x-groups", "groups")]
    same = claim_headers({"groups": one}, wanted) == claim_headers({"groups": other}, wanted)
    assert same == (one == other)
