"""Masks over JSON: personal data and secrets taken out of a value, by member name at any depth or by pointer."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from spork.domain.transforms.pointers import MISSING, change, parse_pointer

_STARS: Final = "***"


@dataclass(frozen=True, slots=True)
class Mask:
    """`fields` are names (any depth) and pointers (`/card/number`). `how` is mask, hash or remove; `keep_last` characters of
    a text stay readable. Callers with one of the scopes `exempt` see everything."""

    fields: tuple[str, ...]
    how: str = "mask"
    keep_last: int = 0
    exempt: frozenset[str] = field(default_factory=frozenset)


class Masker:
    """A compiled `Mask`. `key` makes hashes that nobody can guess values by, the same on every node that shares it."""

    __slots__ = ("_act", "_names", "_pointers", "exempt")

    def __init__(self, mask: Mask, key: bytes = b"") -> None:
        self._names = frozenset(name for name in mask.fields if name[:1] != "/")
        self._pointers = tuple(parse_pointer(name) for name in mask.fields if name[:1] == "/")
        self._act = _act(mask, key)
        self.exempt = mask.exempt

    def apply(self, value: Any) -> Any:
        """The value, changed in place; what a masked member holds is masked whole, objects and arrays too."""
        for tokens in self._pointers:
            value = change(value, tokens, self._act)
        if self._names:
            self._walk(value)
        return value

    def _walk(self, value: Any) -> None:
        waiting = [value]
        while waiting:
            found = waiting.pop()
            if isinstance(found, dict):
                for name in [name for name in found if name in self._names]:
                    new = self._act(found[name])
                    if new is MISSING:
                        del found[name]
                    else:
                        found[name] = new
                waiting.extend(found[name] for name in found if name not in self._names)
            elif isinstance(found, list):
                waiting.extend(found)


def _act(mask: Mask, key: bytes) -> Callable[[Any], Any]:
    if mask.how == "remove":
        return lambda value: MISSING
    if mask.how == "hash":
        return lambda value: None if value is None else _hashed(value, key)
    last = mask.keep_last

    def cover(value: Any) -> Any:
        if value is None:
            return None
        text = "" if isinstance(value, dict | list | bool) else str(value)
        # What is hardly longer than what may stay would be readable as a whole.
        return _STARS + text[-last:] if last and len(text) >= 2 * last else _STARS

    return cover


def _hashed(value: Any, key: bytes) -> str:
    return hmac.new(key, repr(value).encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]
