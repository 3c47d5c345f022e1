"""What requests under objectives came to, kept where a fleet, or the next process, finds it again.

Counts are kept in slices of time, of the widths that an objective's windows and period are added up from. Every process
adds what it counted; nobody's counts are taken back when it goes, because its requests were served.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from spork.domain.objectives import WINDOWS, Objective

#: (width of the slice in seconds, Unix time divided by it)
Slice = tuple[int, int]

#: For how long a process that has stopped telling is named among those whose counts are in, seconds: the longest window.
NAMED_FOR = float(max(seconds for seconds, _ in WINDOWS))


@dataclass(frozen=True, slots=True)
class Counted:
    """Requests of one slice, and how many of them were bad."""

    objective: Objective
    slice: Slice
    requests: int
    bad: int


@dataclass(slots=True)
class Kept:
    """One objective's counts by slice: (requests, bad). `since` when they began, in Unix seconds; None before."""

    since: float | None = None
    slices: dict[Slice, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """What is kept of some objectives, by `Objective.key`, and the processes whose counts are in it."""

    objectives: dict[str, Kept]
    nodes: tuple[str, ...]


class ObjectiveLedger(Protocol):
    """Where counts are kept. `where` is the word operators read: process, records or redis."""

    @property
    def where(self) -> str: ...

    def add(self, node: str, batch: str, counted: Sequence[Counted], unix: float) -> Awaitable[None]:
        """Add to what is there, all or nothing. A batch that was taken before, by its name, is not added again.

        Without counts it says that the node is there. Raises OSError when it cannot be known whether it was taken.
        """

    def read(self, objectives: Sequence[Objective], unix: float) -> Awaitable[Reading]:
        """What is kept and still needed of them. Raises OSError."""


def needed(objective: Objective, slice: Slice, unix: float) -> bool:
    """Whether a slice still belongs to one of the objective's windows, or its period."""
    width, number = slice
    longest = objective.kept.get(width)
    return longest is not None and (number + 1) * width > unix - longest - width
