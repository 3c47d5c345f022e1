"""Documents that this process has read: least recently used ones go when their bytes are too many.

An entry is remembered with what reading it cost to find out, refusals too. Its key has the policy's digest beside the text's, so
that a verdict never outlives the configuration it was made under.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from spork.domain.graphql.judging import Refusal
from spork.domain.graphql.measuring import Measures
from spork.domain.graphql.reading import Document, Operation

#: All entries together, bytes, about.
MEMORY: Final = 64 * 1024 * 1024
#: What an entry takes beside its text: objects of about this many bytes for each token.
_PER_TOKEN: Final = 120
_OVERHEAD: Final = 1500


class JudgedOperation:
    """One operation of a known document. `cost` is None where it depends on the variables in `priced_by`; `prices` are those found.
    `rules` are the places in the policy's list of rules that this operation falls under, `fields` those of the schema's needs."""

    __slots__ = ("cost", "fields", "measures", "operation", "priced_by", "prices", "refusal", "rules")

    def __init__(
        self,
        operation: Operation,
        measures: Measures,
        refusal: Refusal | None,
        rules: tuple[int, ...],
        cost: int | None = 0,
        fields: tuple[int, ...] = (),
        priced_by: tuple[str, ...] = (),
    ) -> None:
        self.operation = operation
        self.measures = measures
        self.refusal = refusal
        self.rules = rules
        self.cost = cost
        self.fields = fields
        self.priced_by = priced_by
        self.prices: dict[tuple[Any, ...], int] = {}


class KnownDocument(NamedTuple):
    """A document that was read. `refusal` where it could not be: then there are no `operations`."""

    digest: str
    document: Document | None
    operations: dict[str, JudgedOperation]
    refusal: Refusal | None
    size: int


def size_of(text: str, document: Document | None) -> int:
    """About how many bytes an entry takes."""
    return _OVERHEAD + (0 if document is None else document.tokens * _PER_TOKEN)


class DocumentCache:
    """Known documents of one process, by (policy digest, document digest)."""

    def __init__(self, memory: int = MEMORY) -> None:
        self._memory = memory
        self._entries: dict[tuple[str, str], KnownDocument] = {}
        self.size = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, policy: str, digest: str) -> KnownDocument | None:
        """The entry, which is now the one used last."""
        key = (policy, digest)
        found = self._entries.pop(key, None)
        if found is not None:
            self._entries[key] = found
        return found

    def seen(self, policy: str, digest: str) -> bool:
        """Whether there is an entry; changes nothing."""
        return (policy, digest) in self._entries

    def put(self, policy: str, known: KnownDocument) -> None:
        """Keep an entry, and let the oldest go while there is too much."""
        key = (policy, known.digest)
        before = self._entries.pop(key, None)
        if before is not None:
            self.size -= before.size
        self._entries[key] = known
        self.size += known.size
        while self.size > self._memory and self._entries:
            oldest = next(iter(self._entries))
            self.size -= self._entries.pop(oldest).size
            self.evicted += 1
