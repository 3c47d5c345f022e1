"""Topics and matchers: what selects what, and what is refused."""

from __future__ import annotations

import time

import pytest

from spork.domain.channels.topics import EXACT, URI_TEMPLATE, URL_PATTERN, BadTopic, check_text, matcher, reserved

HUB = "/.well-known/mercure"


@pytest.mark.parametrize(
    ("pattern", "topic", "fits"),
    [
        ("https://example.com/books/:id", "https://example.com/books/1", True),
        ("https://example.com/books/:id", "https://EXAMPLE.com/books/1", True),
        ("https://example.com/books/:id", "https://example.com/Books/1", False),
        ("https://example.com/books/:id", "https://example.com/books/1/2", False),
        ("https://example.com/books/:id", "https://example.com/books/", False),
        ("https://example.com/books/:id", "https://example.com/books/1?page=2", True),
        ("https://example.com/books/:id?", "https://example.com/books", True),
        ("https://example.com/books{/:id}?", "https://example.com/books/7", True),
        ("https://example.com/books{/:id}?", "https://example.com/books", True),
        ("https://:tenant.example.com/*", "https://acme.example.com/x/y", True),
        ("https://:tenant.example.com/*", "https://a.b.example.com/x", False),
        ("https://example.com", "https://example.com/anything", True),
        ("https://example.com/a/*/b/*/c", "https://example.com/a/1/2/b/3/c", True),
        ("https://example.com/a/*/b/*/c", "https://example.com/a/1/2/b/3", False),
        ("https://example.com/:a-:b.json", "https://example.com/x-y.json", True),
        ("/.well-known/mercure/subscriptions/*", "/.well-known/mercure/subscriptions/exact/x/y", True),
        ("/.well-known/mercure/subscriptions/*", "https://elsewhere.example/.well-known/mercure/subscriptions/x", False),
        ("books/:id", "books/1", True),
        ("books/:id", "papers/1", False),
        ("*", "anything at all", True),
    ],
)  # fmt: skip
def test_url_patterns(pattern: str, topic: str, fits: bool) -> None:
    assert matcher(URL_PATTERN, pattern, HUB).matches(topic) is fits


@pytest.mark.parametrize(
    "pattern", ["https://x/(a|b)", "https://x/{a", "/".join(["*"] * 12), "", "a\u202eb", "x" * 2000]
)
def test_patterns_that_are_refused(pattern: str) -> None:
    with pytest.raises(BadTopic):
        matcher(URL_PATTERN, pattern, HUB)


def test_no_pattern_takes_longer_than_its_topic_is_long() -> None:
    topic = "https://x/" + "a" * 1000
    for pattern in (
        "https://x/*a*a*a*a*a*a*b",
        "https://x/:a-:b-:c-:d-:e",
        "https://x/*{a}?*b",
        "https://x/" + "*" * 8 + "b",
    ):
        began = time.perf_counter()
        assert not matcher(URL_PATTERN, pattern, HUB).matches(topic)
        assert time.perf_counter() - began < 1.0, pattern


def test_exact_matching_normalises_nothing() -> None:
    assert matcher(EXACT, "A/é", HUB).matches("A/é")
    assert not matcher(EXACT, "A/é", HUB).matches("a/é")
    assert not matcher(EXACT, "x", HUB).matches(HUB + "/x")
    assert matcher(EXACT, "x", HUB).exact
    assert not matcher(EXACT, "*", HUB).exact


def test_templates_of_older_hubs() -> None:
    books = matcher(URI_TEMPLATE, "https://example.com/books/{id}", HUB)
    assert books.matches("https://example.com/books/1")
    assert books.matches("https://example.com/books/{id}")
    assert not books.matches("https://example.com/books/1/2")
    with pytest.raises(BadTopic):
        matcher(URI_TEMPLATE, "https://example.com/{+path}", HUB)


@pytest.mark.parametrize(
    "topic",
    [HUB, HUB + "/x", "https://a.example" + HUB, "x/../../.well-known/mercure/y", "/.well-known/%6Dercure/a",
     "/.well-known/mercure/../mercure/x", "/%2e%2e/.well-known/mercure", "/.well-known/%256Dercure/x", "subscriptions/../mercure/a"],
)  # fmt: skip
def test_the_hubs_own_path_is_nobody_elses(topic: str) -> None:
    assert reserved(topic, HUB)


@pytest.mark.parametrize("topic", ["/.well-known/mercury", "/.well-known/mercureX", "books/1", "http://[broken", "x"])
def test_other_topics_are_free(topic: str) -> None:
    assert not reserved(topic, HUB)


@pytest.mark.parametrize("text", ["a\nb", "a\x00", "a\x7f", "a\x85", "a\u200bb", "a\u202e", "\ud800"])
def test_names_that_hide_what_they_are(text: str) -> None:
    with pytest.raises(BadTopic):
        check_text(text, "a topic")
