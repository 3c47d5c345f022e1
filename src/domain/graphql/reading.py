"""Executable documents read: operations and fragments as tuples (GraphQL specification, September 2025, 2).

Only what a server executes is read; definitions of types are refused, for nothing here could measure them. What cannot be
read is never passed on: a document that only the target understands would pass every limit.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from spork.domain.graphql.tokens import Unreadable, checked_text, tokens_of

#: Braces, brackets and fragments within each other; more is refused as too deep, whatever the policy allows.
MOST_NESTED: Final = 200
#: Tokens read at most, whatever the policy allows.
MOST_TOKENS: Final = 100_000

FIELD: Final = 0
SPREAD: Final = 1
INLINE: Final = 2


class TooDeep(Unreadable):
    """The document nests deeper than anything sensible."""


class Variable(NamedTuple):
    """A variable where a value stands."""

    name: str


class Directive(NamedTuple):
    """A directive as applied; `arguments` by name."""

    name: str
    arguments: dict[str, Any]


#: One selection: kind, name, alias, arguments, directives, selections. FIELD: all of them. SPREAD: the name is the fragment's. INLINE: it
#: is the type condition, "" for none. A plain tuple, for one is made for every field.
#:
#: Values are int, float, bool, None, list, dict, Variable; a quoted text is its token with the quotes, an enum value its name.
Selection = tuple[int, str, str, dict[str, Any], tuple[Directive, ...], tuple[Any, ...]]


class Operation(NamedTuple):
    """An operation: `kind` query, mutation or subscription; `name` "" for the anonymous one; `defaults` of its variables by name
    (a variable without a default is there with None)."""

    kind: str
    name: str
    variables: dict[str, tuple[str, Any]]
    directives: tuple[Directive, ...]
    selections: tuple[Selection, ...]


class Fragment(NamedTuple):
    """A fragment definition: the type it is on, and what it selects."""

    on: str
    directives: tuple[Directive, ...]
    selections: tuple[Selection, ...]


class Document(NamedTuple):
    """A whole document. `tokens` counts them as a server does; `directives` those on variable definitions are among them."""

    operations: dict[str, Operation]
    fragments: dict[str, Fragment]
    tokens: int


_NOTHING: Final[dict[str, Any]] = {}
_NO_DIRECTIVES: Final[tuple[Directive, ...]] = ()
_NO_SELECTIONS: Final[tuple[Selection, ...]] = ()
_KINDS: Final = frozenset(("query", "mutation", "subscription"))
_NAME_START: Final = frozenset("_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}


def read(text: str, most_tokens: int = MOST_TOKENS) -> Document:
    """The document in `text`. Raises TooManyTokens, TooDeep, Unreadable; each in time linear to the text."""
    reader = _Reader(tokens_of(text, min(most_tokens, MOST_TOKENS)))
    return reader.document()


class _Reader:
    """A position in a document's tokens."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def document(self) -> Document:
        operations: dict[str, Operation] = {}
        fragments: dict[str, Fragment] = {}
        tokens = self._tokens
        while lexeme := tokens[self._at]:
            described = lexeme[0] == '"'
            if described:
                checked_text(lexeme)
                self._at += 1
                lexeme = tokens[self._at]
            if lexeme in _KINDS:
                self._at += 1
                self._add(operations, self._operation(lexeme))
            elif lexeme == "{" and not described:
                self._add(operations, Operation("query", "", {}, _NO_DIRECTIVES, self._selections()))
            elif lexeme == "fragment":
                self._at += 1
                name = self._name()
                if name == "on" or name in fragments:
                    raise Unreadable("a fragment stands twice, or is called on")
                fragments[name] = self._fragment()
            else:
                raise Unreadable("something stands that is neither an operation nor a fragment")
        if not operations and not fragments:
            raise Unreadable("there is nothing to execute")
        return Document(operations, fragments, len(tokens) - 1)

    @staticmethod
    def _add(operations: dict[str, Operation], operation: Operation) -> None:
        if operation.name in operations or (operations and (not operation.name or "" in operations)):
            raise Unreadable("an operation stands twice, or one without a name beside others")
        operations[operation.name] = operation

    def _operation(self, kind: str) -> Operation:
        name = self._name() if self._tokens[self._at][:1] in _NAME_START else ""
        variables = self._variables() if self._tokens[self._at] == "(" else {}
        return Operation(kind, name, variables, self._directives(), self._selections())

    def _fragment(self) -> Fragment:
        if self._tokens[self._at] != "on":
            raise Unreadable("a fragment says no type")
        self._at += 1
        return Fragment(self._name(), self._directives(), self._selections())

    def _name(self) -> str:
        lexeme = self._tokens[self._at]
        if lexeme[:1] not in _NAME_START or not lexeme:
            raise Unreadable("a name is missing")
        self._at += 1
        return lexeme

    def _expect(self, wanted: str) -> None:
        if self._tokens[self._at] != wanted:
            raise Unreadable(f"{wanted} is missing")
        self._at += 1

    def _variables(self) -> dict[str, tuple[str, Any]]:
        self._at += 1
        variables: dict[str, tuple[str, Any]] = {}
        tokens = self._tokens
        while True:
            if tokens[self._at][:1] == '"':
                checked_text(tokens[self._at])
                self._at += 1
            self._expect("$")
            name = self._name()
            self._expect(":")
            kind = self._type()
            default: Any = None
            if tokens[self._at] == "=":
                self._at += 1
                default = self._value(constant=True)
            for directive in self._directives(constant=True):
                kind += f" @{directive.name}"
            if name in variables:
                raise Unreadable("a variable stands twice")
            variables[name] = (kind, default)
            if tokens[self._at] == ")":
                self._at += 1
                return variables

    def _type(self) -> str:
        brackets = 0
        while self._tokens[self._at] == "[":
            self._at += 1
            brackets += 1
            if brackets > MOST_NESTED:
                raise TooDeep("a type nests too deep")
        kind = "[" * brackets + self._name()
        if self._tokens[self._at] == "!":
            self._at += 1
            kind += "!"
        for _ in range(brackets):
            self._expect("]")
            kind += "]"
            if self._tokens[self._at] == "!":
                self._at += 1
                kind += "!"
        return kind

    def _directives(self, constant: bool = False) -> tuple[Directive, ...]:
        if self._tokens[self._at] != "@":
            return _NO_DIRECTIVES
        found: list[Directive] = []
        while self._tokens[self._at] == "@":
            self._at += 1
            name = self._name()
            arguments = self._arguments(constant) if self._tokens[self._at] == "(" else _NOTHING
            found.append(Directive(name, arguments))
        return tuple(found)

    def _arguments(self, constant: bool = False) -> dict[str, Any]:
        self._at += 1
        arguments: dict[str, Any] = {}
        tokens = self._tokens
        while True:
            name = self._name()
            if tokens[self._at] != ":":
                raise Unreadable(": is missing")
            self._at += 1
            if name in arguments:
                raise Unreadable("an argument stands twice")
            arguments[name] = self._value(constant)
            if tokens[self._at] == ")":
                self._at += 1
                return arguments

    def _value(self, constant: bool = False) -> Any:
        lexeme = self._tokens[self._at]
        self._at += 1
        first = lexeme[:1]
        if first in _NAME_START and lexeme:
            return _WORDS.get(lexeme, lexeme)
        if first == '"':
            return checked_text(lexeme)
        if first == "$" and not constant:
            return Variable(self._name())
        if first == "[":
            return self._list(constant)
        if first == "{":
            return self._object(constant)
        if first and first in "-0123456789":
            return _number(lexeme)
        raise Unreadable("a value is missing")

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise TooDeep("it nests too deep")

    def _list(self, constant: bool) -> list[Any]:
        self._deeper()
        items: list[Any] = []
        while self._tokens[self._at] != "]":
            items.append(self._value(constant))
        self._at += 1
        self._depth -= 1
        return items

    def _object(self, constant: bool) -> dict[str, Any]:
        self._deeper()
        members: dict[str, Any] = {}
        while self._tokens[self._at] != "}":
            name = self._name()
            self._expect(":")
            if name in members:
                raise Unreadable("a member stands twice")
            members[name] = self._value(constant)
        self._at += 1
        self._depth -= 1
        return members

    def _selections(self) -> tuple[Selection, ...]:
        tokens = self._tokens
        if tokens[self._at] != "{":
            raise Unreadable("{ is missing")
        self._deeper()
        self._at += 1
        found: list[Selection] = []
        while True:
            lexeme = tokens[self._at]
            if lexeme[:1] in _NAME_START and lexeme:
                self._at += 1
                alias = ""
                if tokens[self._at] == ":":
                    self._at += 1
                    alias, lexeme = lexeme, self._name()
                following = tokens[self._at]
                arguments, directives, below = _NOTHING, _NO_DIRECTIVES, _NO_SELECTIONS
                if following == "(":
                    arguments = self._arguments()
                    following = tokens[self._at]
                if following == "@":
                    directives = self._directives()
                    following = tokens[self._at]
                if following == "{":
                    below = self._selections()
                found.append((FIELD, lexeme, alias, arguments, directives, below))
            elif lexeme == "...":
                self._at += 1
                found.append(self._spread())
            elif lexeme == "}" and found:
                self._at += 1
                self._depth -= 1
                return tuple(found)
            else:
                raise Unreadable("a selection is missing")

    def _spread(self) -> Selection:
        lexeme = self._tokens[self._at]
        on = ""
        if lexeme == "on":
            self._at += 1
            on = self._name()
        elif lexeme[:1] in _NAME_START and lexeme:
            self._at += 1
            return (SPREAD, lexeme, "", _NOTHING, self._directives(), _NO_SELECTIONS)
        directives = self._directives()
        return (INLINE, on, "", _NOTHING, directives, self._selections())


def _number(lexeme: str) -> int | float:
    """A number; one with more digits than any size has is its nearest float."""
    if len(lexeme) < 19 and lexeme.lstrip("-").isdigit():
        return int(lexeme)
    return float(lexeme)
