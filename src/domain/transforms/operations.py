"""Operations on JSON values: set, remove, rename, move, merge, each compiled to a closure that changes a value in place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spork.domain.transforms.pointers import MISSING, change, find, merge_patch, parents, parse_pointer, put, remove
from spork.domain.transforms.templates import Lookup, compile_value


class NotThere(ValueError):
    """A strict operation found nothing where its pointer leads."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as configured: `kind` set, remove, rename, move or merge; `at` and `to` by kind."""

    kind: str
    at: str = ""
    to: Any = None


Apply = Callable[[Any, Lookup], Any]


def compile_operation(operation: Operation, strict: bool = False) -> Apply:
    """A function from the value and the request's words to the changed value. Raises ValueError for a bad pointer.

    With `strict`, what is to be removed, renamed or moved must be there: the function raises NotThere. A `set` whose
    placeholder stands for nothing takes the member away: a client's own value must not stay in its place.
    """
    if operation.kind == "merge":
        return _merge(operation.to)
    tokens = parse_pointer(operation.at)
    if operation.kind == "set":
        return _set(tokens, operation.to)
    if not tokens:
        raise ValueError("the whole value can only be set or merged")
    if operation.kind == "remove":
        return _checked(lambda value: remove(value, tokens), operation.at, strict)
    if operation.kind == "rename":
        return _checked(lambda value: _rename(value, tokens, str(operation.to)), operation.at, strict)
    return _move(tokens, parse_pointer(str(operation.to)), operation.at, strict)


def _set(tokens: tuple[str, ...], given: Any) -> Apply:
    make = compile_value(given)  # makes objects and arrays anew each time
    plain = not isinstance(given, dict | list)

    def apply(value: Any, lookup: Lookup) -> Any:
        new = make(lookup)
        if new is MISSING:
            if tokens:
                remove(value, tokens)
            return value
        if "*" in tokens and not plain:
            return change(value, tokens, lambda _: make(lookup))
        return put(value, tokens, new)

    return apply


def _checked(act: Callable[[Any], bool], at: str, strict: bool) -> Apply:
    def apply(value: Any, lookup: Lookup) -> Any:
        if not act(value) and strict:
            raise NotThere(at)
        return value

    return apply


def _rename(value: Any, tokens: tuple[str, ...], name: str) -> bool:
    """Give the member another name, in its place among the others."""
    renamed = False
    for parent in parents(value, tokens):
        if isinstance(parent, dict) and tokens[-1] in parent and tokens[-1] != name:
            members = [(name if key == tokens[-1] else key, given) for key, given in parent.items() if key != name]
            parent.clear()
            parent.update(members)
            renamed = True
    return renamed


def _move(source: tuple[str, ...], to: tuple[str, ...], at: str, strict: bool) -> Apply:
    if "*" in source or "*" in to:
        raise ValueError("a move has one source and one place to go: no *")
    if to[: len(source)] == source:
        raise ValueError("nothing can be moved into itself")

    def apply(value: Any, lookup: Lookup) -> Any:
        found = find(value, source)
        if found is MISSING:
            if strict:
                raise NotThere(at)
            return value
        remove(value, source)
        return put(value, to, found)

    return apply


def _merge(patch: Any) -> Apply:
    make = compile_value(patch)
    return lambda value, lookup: merge_patch(value, make(lookup))
