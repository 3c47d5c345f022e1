"""A row of usage as the gateway answers it: its own type belongs to the gateway, not to the views."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UsageRow:
    """`hour` is Unix time divided by 3600."""

    hour: int
    consumer: str
    route: str
    requests: int = 0
    errors: int = 0
    refused: int = 0
    units: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
