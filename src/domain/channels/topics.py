"""Topics and what selects them: exact text, URL patterns, and the URI templates of older Mercure hubs.

Source: draft-dunglas-mercure-08 (Terminology, Matcher Types); URL Pattern Living Standard, but for regular expressions in
groups, which are refused. Matching takes time linear in the topic: what would need backtracking does not match.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

EXACT: Final = "exact"
URL_PATTERN: Final = "urlpattern"
URI_TEMPLATE: Final = "uritemplate"
#: Selects every topic, whatever the type of matcher; no topic may be called so.
EVERY: Final = "*"
#: Characters of a topic or matcher.
MOST_CHARACTERS: Final = 1024
#: Relative topics and patterns are read against this address and the hub's path.
_ORIGIN: Final = "https://hub.invalid"
_TEMPLATE_VALUE: Final = r"[^/?#]+"
_WILDCARDS: Final = 8


class BadTopic(ValueError):
    """A topic or matcher that is not acceptable; the sentence is for the client."""


def check_text(text: str, what: str) -> None:
    """Raise BadTopic for control and format characters, which hide what a name is."""
    if len(text) > MOST_CHARACTERS:
        raise BadTopic(f"{what} is longer than {MOST_CHARACTERS} characters")
    if not text.isprintable() and any(unicodedata.category(each) in ("Cc", "Cf", "Cs") for each in text):
        raise BadTopic(f"{what} has control or format characters")


def reserved(topic: str, hub: str) -> bool:
    """Whether `topic` names something under the hub's own path `hub`, after dots and percent signs were resolved."""
    try:
        path = urlsplit(urljoin(_ORIGIN + hub, topic)).path
    except ValueError:
        return False
    for _ in range(2):
        path = urlsplit(urljoin(_ORIGIN, unquote(path).replace("\\", "/"))).path
    return path == hub or path.startswith(hub + "/")


class Matcher:
    """Selects topics. `kind` is its type and `text` what was written; two of the same kind and text are equal."""

    __slots__ = ("_test", "kind", "text")

    def __init__(self, kind: str, text: str, test: Callable[[str], bool]) -> None:
        self.kind = kind
        self.text = text
        self._test = test

    def __repr__(self) -> str:
        return f"Matcher({self.kind} {self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Matcher) and (self.kind, self.text) == (other.kind, other.text)

    def __hash__(self) -> int:
        return hash((self.kind, self.text))

    @property
    def exact(self) -> bool:
        """Whether it selects the one topic that is its text."""
        return self.kind == EXACT and self.text != EVERY

    def matches(self, topic: str) -> bool:
        return self._test(topic)


def matcher(kind: str, text: str, hub: str) -> Matcher:
    """The matcher of a type. `hub` is the hub's path. Raises BadTopic."""
    check_text(text, "a matcher")
    if not text:
        raise BadTopic("a matcher is empty")
    if text == EVERY:
        return Matcher(kind, text, lambda topic: True)
    if kind == EXACT:
        return Matcher(kind, text, text.__eq__)
    if kind == URL_PATTERN:
        return Matcher(kind, text, _url_pattern(text, hub))
    if kind == URI_TEMPLATE:
        return Matcher(kind, text, _uri_template(text))
    raise BadTopic("this type of matcher is not supported")


# ------------------------------------------------------------------------------------------------------- URL patterns

_COMPONENTS: Final = re.compile(r"(?:([^:/?#{]+)://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)


def _url_pattern(text: str, hub: str) -> Callable[[str], bool]:
    """A URL pattern without groups of regular expressions. What a pattern leaves out at its end may be anything."""
    if "(" in text:
        raise BadTopic("groups of regular expressions are not supported in URL patterns")
    found = _COMPONENTS.fullmatch(_optional_queries(text))
    if found is None:
        raise BadTopic("this is no URL pattern")
    scheme, authority, path, query, fragment = found.groups()
    if scheme is None and text.startswith("/"):
        scheme, authority = "https", "hub.invalid"
    elif scheme is None:
        resolved = urlsplit(urljoin(_ORIGIN + hub, "x"))
        scheme, authority, path = "https", "hub.invalid", resolved.path[:-1] + path
    tests = (
        _component(scheme.lower(), ""),
        _component(authority.lower(), ".", keep=":"),
        _component(path or EVERY, "/"),
        _component(EVERY if query is None else query, ""),
        _component(EVERY if fragment is None else fragment, ""),
    )
    base = _ORIGIN + hub

    def matches(topic: str) -> bool:
        try:
            parts = urlsplit(urljoin(base, topic))
        except ValueError:
            return False
        values = (parts.scheme, parts.netloc.lower(), parts.path or "/", parts.query, parts.fragment)
        return all(test(value) is not None for test, value in zip(tests, values, strict=True))

    return matches


def _optional_queries(text: str) -> str:
    """`{...}?` and `:name?` are no query marks: hide theirs while the components are told apart."""
    return re.sub(r"(\}|:[A-Za-z_$][A-Za-z0-9_$]*|\*)\?", "\\1\x00", text)


def _component(pattern: str, delimiter: str, keep: str = "") -> Callable[[str], re.Match[str] | None]:
    """A regular expression for one component. Wildcards commit to the first place where what follows them is found."""
    at, wildcards, depth = 0, 0, 0
    out: list[str] = []
    while at < len(pattern):
        character = pattern[at]
        modifier = ""
        if character == "\\" and at + 1 < len(pattern):
            out.append(re.escape(pattern[at + 1]))
            at += 2
            continue
        if character == EVERY:
            wildcards += 1
            at += 1 + (pattern[at + 1 : at + 2] == "\x00")
            out.append("\x01")
        elif (
            character == ":"
            and re.match(r"[A-Za-z_$]", pattern[at + 1 : at + 2])
            and not (keep and at + 1 == len(pattern))
        ):
            name = re.match(r":[A-Za-z_$][A-Za-z0-9_$]*", pattern[at:])
            assert name is not None
            wildcards += 1
            at += name.end()
            optional = pattern[at : at + 1] == "\x00"
            at += optional
            preceding = out.pop() if optional and out and out[-1] == re.escape(delimiter) and delimiter else ""
            one = f"{preceding}[^{re.escape(delimiter)}]+" if delimiter else f"{preceding}.+"
            out.append(f"(?:{one})?" if optional else one)
        elif character == "{":
            depth += 1
            at += 1
            out.append("(?:")
        elif character == "}" and depth:
            depth -= 1
            at += 1
            modifier = ")"
            if pattern[at : at + 1] == "\x00":
                at += 1
                modifier = ")?"
            out.append(modifier)
        else:
            out.append(re.escape(character))
            at += 1
    if depth or wildcards > _WILDCARDS:
        raise BadTopic("this URL pattern has too many wildcards, or a group without its end")
    return re.compile(_committing("".join(out)), re.DOTALL).fullmatch


def _committing(expression: str) -> str:
    """Stars (\\x01) of an expression: the last one takes all it can, each one before commits to the first fit."""
    first, *rest = expression.split("\x01")
    if not rest:
        return first
    *middle, last = rest
    if any("(?:" in piece or ")" in piece for piece in rest[:-1]):
        return first + "".join(f".*{piece}" for piece in rest) if len(rest) < 3 else _refuse()
    return first + "".join(f"(?>.*?{piece})" for piece in middle) + f".*{last}"


def _refuse() -> str:
    raise BadTopic("this URL pattern has too many wildcards beside groups")


# ------------------------------------------------------------------------------------------------------ URI templates


def _uri_template(text: str) -> Callable[[str], bool]:
    """Simple expressions of RFC 6570 (`{id}`), as hubs before draft 08 took them; the text itself is selected too."""
    if re.search(r"\{[^}]*[^A-Za-z0-9_}][^}]*\}", text) or text.count("{") > _WILDCARDS:
        raise BadTopic("only simple expressions are supported in URI templates")
    pieces = [
        _TEMPLATE_VALUE if piece.startswith("{") and piece.endswith("}") else re.escape(piece)
        for piece in re.split(r"(\{[A-Za-z0-9_]+\})", text)
    ]
    test = re.compile("".join(pieces)).fullmatch
    return lambda topic: topic == text or test(topic) is not None
