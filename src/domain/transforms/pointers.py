"""JSON Pointers (RFC 6901) over decoded JSON, compiled to their tokens.

`*` as a whole token is an extension: every member of an object, every element of an array. `-` names the place behind the
last element of an array, for setting only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

Tokens = tuple[str, ...]
EVERY: Final = "*"
_INDEX: Final = re.compile(r"0\Z|[1-9][0-9]{0,8}\Z")
_BAD_ESCAPE: Final = re.compile(r"~(?![01])")


class _Missing:
    """Nothing stands there."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


def parse_pointer(text: str) -> Tokens:
    """The tokens of a pointer; () is the whole value. Raises ValueError with half a sentence."""
    if text == "":
        return ()
    if text[0] != "/":
        raise ValueError(f"{text!r} is no JSON Pointer|did you mean /{text}?")
    if _BAD_ESCAPE.search(text):
        raise ValueError(f"{text!r} has a ~ that is neither ~0 nor ~1")
    return tuple(unescaped(token) for token in text[1:].split("/"))


def unescaped(token: str) -> str:
    """The name that a token of a pointer's text stands for (RFC 6901 4)."""
    return token.replace("~1", "/").replace("~0", "~")


def index_of(token: str, values: list[Any]) -> int | None:
    """The index that a token names in an array; None when there is no such element (no signs, no leading zeros)."""
    if not _INDEX.match(token):
        return None
    index = int(token)
    return index if index < len(values) else None


def step(value: Any, token: str) -> Any:
    """What stands under one token, or MISSING."""
    if isinstance(value, dict):
        return value.get(token, MISSING)
    if isinstance(value, list):
        index = index_of(token, value)
        return MISSING if index is None else value[index]
    return MISSING


def find(value: Any, tokens: Tokens) -> Any:
    """What a pointer without `*` names, or MISSING."""
    for token in tokens:
        value = step(value, token)
        if value is MISSING:
            return MISSING
    return value


def parents(value: Any, tokens: Tokens) -> Iterator[Any]:
    """The objects and arrays that hold what `tokens` name; several with `*` in the way."""
    found = [value]
    for token in tokens[:-1]:
        if token == EVERY:
            found = [child for each in found for child in _children(each)]
        else:
            found = [child for each in found if (child := step(each, token)) is not MISSING]
    return (each for each in found if isinstance(each, dict | list))


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def remove(value: Any, tokens: Tokens) -> bool:
    """Take what `tokens` name out of `value`, which is changed in place. False when nothing stood there."""
    last = tokens[-1]
    removed = False
    for parent in parents(value, tokens):
        if last == EVERY:
            removed = removed or bool(parent)
            parent.clear()
        elif isinstance(parent, dict):
            removed = parent.pop(last, MISSING) is not MISSING or removed
        elif (index := index_of(last, parent)) is not None:
            del parent[index]
            removed = True
    return removed


def put(value: Any, tokens: Tokens, new: Any) -> Any:
    """The value with `new` where `tokens` point: replaced, added to an object, or appended (`-`). Objects that are missing
    on the way are made; a way through a scalar or past the end of an array leads nowhere and changes nothing."""
    if not tokens:
        return new
    if EVERY in tokens:
        for parent in parents(value, tokens):
            _put_in(parent, tokens[-1], new)
        return value
    holder = value
    for token in tokens[:-1]:
        below = step(holder, token)
        if below is MISSING:
            if not isinstance(holder, dict):
                return value
            below = holder[token] = {}
        holder = below
    _put_in(holder, tokens[-1], new)
    return value


def _put_in(holder: Any, token: str, new: Any) -> None:
    if token == EVERY:
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        for key in keys:
            holder[key] = new
    elif isinstance(holder, dict):
        holder[token] = new
    elif isinstance(holder, list):
        if token == "-":  # noqa: S105 - the pointer's word for "behind the last"
            holder.append(new)
        elif (index := index_of(token, holder)) is not None:
            holder[index] = new


def change(value: Any, tokens: Tokens, act: Callable[[Any], Any]) -> Any:
    """The value with `act` of it wherever `tokens` point; MISSING from `act` takes it out."""
    if not tokens:
        return act(value)
    last = tokens[-1]
    for parent in parents(value, tokens):
        if isinstance(parent, dict):
            keys: list[Any] = list(parent) if last == EVERY else [last] if last in parent else []
        else:
            index = index_of(last, parent)
            keys = list(range(len(parent))) if last == EVERY else [] if index is None else [index]
        for key in reversed(keys):
            new = act(parent[key])
            if new is MISSING:
                del parent[key]
            else:
                parent[key] = new
    return value


def merge_patch(value: Any, patch: Any) -> Any:
    """RFC 7396 section 2: null removes, objects are merged, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = value if isinstance(value, dict) else {}
    for name, given in patch.items():
        if given is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), given)
    return merged
