"""The instant a picture is made for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Moment:
    """What a cell may know besides its row: the server's time, whether sums are lower bounds, ASCII only."""

    now: float = 0.0
    partial: bool = False
    ascii_only: bool = False
    quiet: frozenset[str] = frozenset()
    """Concerns the operator has acknowledged or snoozed."""
    history: Mapping[str, Any] = field(default_factory=dict)
    """The last minutes of each service and route, by `kind name`."""
