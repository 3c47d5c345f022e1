"""What an operation asks for, measured: depth, aliases, fields and the like, with fragments always written out.

Each fragment is measured once however often it is spread, so that two spreads a level, which mean 2^n fields, take no time;
counts stop at `MOST`. `@skip` and `@include` subtract nothing: variables decide them at the target.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from spork.domain.graphql.reading import FIELD, SPREAD, Document, Operation, Selection, TooDeep

#: Counts go no higher.
MOST: Final = 1_000_000_000
#: Fields and fragments within each other that are followed; more is too deep, whatever the policy allows.
MOST_FOLLOWED: Final = 250
INTROSPECTION: Final = frozenset(("__schema", "__type"))


class Cyclic(ValueError):
    """A fragment contains itself."""


class Unknown(ValueError):
    """A fragment is spread that nobody defined."""


class Measures(NamedTuple):
    """Counts of one operation. `introspection` is the depth below `__schema` and `__type`, 0 without; it is no part of `depth`.
    `roots` are the names of root fields, `root_fields` how many there are."""

    depth: int
    introspection: int
    aliases: int
    fields: int
    directives: int
    root_fields: int
    roots: frozenset[str]


#: Counts of a selection set: depth, introspection, aliases, fields, directives, and the fields that stand in it directly, fragments
#: written out.
_Part = tuple[int, int, int, int, int, int]


def measure(document: Document, operation: Operation) -> Measures:
    """The measures of one operation of `document`. Raises Cyclic, Unknown, TooDeep."""
    depth, introspection, aliases, fields, applied, root_fields = _Measuring(document).selections(
        operation.selections, 0
    )
    directives = len(operation.directives)
    for kind, _ in operation.variables.values():
        directives += kind.count("@")
    return Measures(
        depth, introspection, aliases, fields, min(applied + directives, MOST), root_fields, _roots(document, operation)
    )


def _roots(document: Document, operation: Operation) -> frozenset[str]:
    """The names of root fields, in fragments too."""
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [operation.selections]
    while waiting:
        for kind, name, _, _, _, below in waiting.pop():
            if kind == FIELD:
                found.add(name)
            elif kind != SPREAD:
                waiting.append(below)
            elif name not in seen:
                seen.add(name)
                waiting.append(document.fragments[name].selections)
    return frozenset(found)


class _Measuring:
    """Measures one document; remembers each fragment."""

    def __init__(self, document: Document) -> None:
        self._fragments = document.fragments
        self._known: dict[str, _Part] = {}
        self._within: set[str] = set()

    def selections(self, selections: tuple[Selection, ...], followed: int) -> _Part:
        """What a selection set asks for, its own fields at depth 1."""
        if followed > MOST_FOLLOWED:
            raise TooDeep("it nests too deep")
        depth = introspection = aliases = fields = directives = root_fields = 0
        for kind, name, alias, _, applied, below in selections:
            if applied:
                directives += len(applied)
            if kind == FIELD:
                fields += 1
                root_fields += 1
                if alias:
                    aliases += 1
                if not below:
                    continue
                deep, inside, more_aliases, more_fields, more_directives, _ = self.selections(below, followed + 1)
                if name in INTROSPECTION:
                    inside = max(deep, inside) + 1
                elif deep >= depth:
                    depth = deep + 1
            else:
                deep, inside, more_aliases, more_fields, more_directives, more_roots = (
                    self._fragment(name, followed) if kind == SPREAD else self.selections(below, followed + 1)
                )
                if deep > depth:
                    depth = deep
                root_fields += more_roots
            if inside > introspection:
                introspection = inside
            aliases += more_aliases
            fields += more_fields
            directives += more_directives
        if depth == 0 and root_fields:
            depth = 1
        if fields > MOST:
            aliases, fields = min(aliases, MOST), MOST
            directives, root_fields = min(directives, MOST), min(root_fields, MOST)
        return depth, introspection, aliases, fields, directives, root_fields

    def _fragment(self, name: str, followed: int) -> _Part:
        known = self._known.get(name)
        if known is not None:
            return known
        fragment = self._fragments.get(name)
        if fragment is None:
            raise Unknown("a fragment is spread that nobody defined")
        if name in self._within:
            raise Cyclic("a fragment contains itself")
        self._within.add(name)
        part = self.selections(fragment.selections, followed + 1)
        self._within.discard(name)
        if fragment.directives:
            part = (*part[:4], min(part[4] + len(fragment.directives), MOST), part[5])
        self._known[name] = part
        return part
