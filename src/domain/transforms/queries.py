"""Changes of a query string by the rules of application/x-www-form-urlencoded (WHATWG URL, section 5).

Parameters that are not changed stay byte for byte, in their place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote_plus, unquote_plus

from spork.domain.transforms.templates import Lookup, Template


@dataclass(frozen=True, slots=True)
class QueryEdit:
    """`keep` (empty: all) and `remove` go by the client's names, then `rename`, then `set` in place of any such name."""

    set: tuple[tuple[str, str], ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    remove: frozenset[str] = field(default_factory=frozenset)
    keep: frozenset[str] = field(default_factory=frozenset)


class QueryTransform:
    """A compiled `QueryEdit`."""

    __slots__ = ("_keep", "_remove", "_rename", "_set")

    def __init__(self, edit: QueryEdit) -> None:
        self._set = {name: Template(text) for name, text in edit.set}
        self._rename = dict(edit.rename)
        self._remove = edit.remove
        self._keep = edit.keep

    def apply(self, query: bytes | None, lookup: Lookup) -> bytes | None:
        """The query towards the target; None when it had none and gets none. A `set` whose placeholder stands for nothing
        only takes the client's parameter away."""
        kept: list[bytes] = []
        for pair in (query or b"").split(b"&"):
            if not pair:
                continue
            raw, equals, value = pair.partition(b"=")
            name = unquote_plus(raw.decode("latin-1"), encoding="utf-8", errors="replace")
            if name in self._remove or (self._keep and name not in self._keep):
                continue
            renamed = self._rename.get(name)
            if (name if renamed is None else renamed) in self._set:
                continue
            kept.append(pair if renamed is None else _encoded(renamed) + equals + value)
        for name, template in self._set.items():
            text = template.fill(lookup)
            if text is not None:
                kept.append(_encoded(name) + b"=" + _encoded(text))
        if not kept:
            return None if not query else b""
        return b"&".join(kept)


def _encoded(text: str) -> bytes:
    return quote_plus(text, safe="*-._").encode("ascii")


def without(query: bytes, name: bytes) -> bytes | None:
    """The query without the parameters called `name`; None when nothing else stood there."""
    kept = [pair for pair in query.split(b"&") if pair.partition(b"=")[0] != name]
    return b"&".join(kept) if kept else None
