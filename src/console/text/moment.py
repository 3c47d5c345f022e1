"""The instant a picture is made for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """What a cell may know besides its row: the server's time, whether sums are lower bounds, ASCII only."""

    now: float = 0.0
    partial: bool = False
    ascii_only: bool = False
