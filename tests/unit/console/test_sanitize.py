"""Nothing that a terminal or a UI obeys passes `clean`."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spork.console.text.sanitize import CAP, clean, clean_lines, scrub
from tests.unit.console.seeds import HOSTILE

ANY = st.text(alphabet=st.characters(exclude_categories=()), max_size=600)
FORBIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def harmless(text: str) -> bool:
    return not any(unicodedata.category(char) in FORBIDDEN for char in text)


@given(ANY)
@example(HOSTILE)
@example("\ud800\udfff")
def test_no_character_that_is_obeyed_or_hidden_survives(text: str) -> None:
    cleaned = clean(text)
    assert harmless(cleaned)
    assert cleaned.isprintable()
    assert len(cleaned) <= CAP
    cleaned.encode()


@given(ANY)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    once = clean(text)
    assert clean(once) == once


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=CAP))
def test_plain_text_is_left_alone(text: str) -> None:
    assert clean(text) == text


@given(ANY)
def test_lines_keep_only_their_line_feeds(text: str) -> None:
    assert all(harmless(line) for line in clean_lines(text).split("\n"))


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("\x7f\r\n\t", "\\x7f\\x0d\\x0a\\x09"),
        ("z\u0301\u0301\u0301", "z\u0301\u0301\\u0301"),
        ("\u3164", "\\u3164"),
        ("Zürich 東京", "Zürich 東京"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_hostile_characters_are_shown_as_what_they_are(given_text: str, shown: str) -> None:
    assert clean(given_text) == shown


def test_long_text_is_cut_and_says_so() -> None:
    assert clean("x" * 10_000) == "x" * (CAP - 1) + "…"
    assert len(clean("\x00" * 10_000)) == CAP


DOCUMENT = st.recursive(
    st.none() | st.booleans() | st.integers() | ANY,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY, inner, max_size=4),
    max_leaves=12,
)


@given(DOCUMENT)
def test_scrub_reaches_every_string_and_key(document: object) -> None:
    def strings(value: object) -> list[str]:
        if isinstance(value, str):
            return [value]
        if isinstance(value, list):
            return [text for item in value for text in strings(item)]
        if isinstance(value, dict):
            return [text for name, item in value.items() for text in [name, *strings(item)]]
        return []

    assert all(harmless(text) for text in strings(scrub(document)))


def test_texts_of_many_lines_keep_their_lines() -> None:
    found = scrub({"running": "a:\n  b: \x1b[2J", "name": "a\nb"}, frozenset({"running"}))
    assert found == {"running": "a:\n  b: \\x1b[2J", "name": "a\\x0ab"}
