"""How hard a write is to do by mistake.

tier 0   nothing to confirm                      probe now
tier 1   a dialog, Cancel focused, y confirms    reset, undrain
tier 2   before and after, blast radius, reason  trip, drain, limit, reload, a new key; the name typed in production
tier 3   the name typed, a pause to think        revoke, drain the last healthy target, more than one row at once
"""

from __future__ import annotations

import re
from dataclasses import dataclass

UNLOCK_SECONDS = 600.0
ARM_SECONDS = 3.0
ROLES = ("viewer", "operator", "admin")


@dataclass(frozen=True, slots=True)
class Gate:
    """What a dialog demands before its button works. `typed` is the text to type, or None."""

    tier: int
    dialog: bool
    reason: bool
    typed: str | None
    arm_seconds: float
    quick_yes: bool


def gate(tier: int, name: str, count: int, production: bool) -> Gate:
    """The gate of a write of `tier` on `count` rows, the first called `name`."""
    if count > 1:
        return Gate(3, True, True, str(count), ARM_SECONDS, False)
    if tier <= 0:
        return Gate(0, False, False, None, 0.0, True)
    if tier == 1:
        return Gate(1, True, False, None, 0.0, True)
    if tier == 2:
        return Gate(2, True, True, name if production else None, 0.0, False)
    return Gate(3, True, True, name, ARM_SECONDS, False)


def allowed(role: str, needed: str) -> bool:
    """Does `role` include `needed`? A role this console does not know includes nothing."""
    return role in ROLES and (not needed or ROLES.index(role) >= ROLES.index(needed))


@dataclass(slots=True)
class Lock:
    """Read-only until unlocked, and again after ten minutes. Times are monotonic."""

    until: float | None = None

    def unlock(self, now: float) -> None:
        self.until = now + UNLOCK_SECONDS

    def lock(self) -> None:
        self.until = None

    def open(self, now: float) -> bool:
        return self.until is not None and now < self.until

    def left(self, now: float) -> float:
        return max(0.0, self.until - now) if self.until is not None else 0.0


def seconds(text: str, most_days: int = 30) -> float:
    """A duration as typed: 15m, 90s, 4h, 1d, 1h30m as in the configuration, or bare seconds. Raises ValueError with what
    is accepted."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "": 1.0}
    text = text.strip().lower()
    whole = re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?|([0-9]{1,9}(\.[0-9]{1,6})?[smhd])+", text)
    if whole is None:
        raise ValueError("a duration such as 90s, 15m, 1h30m, 1d")
    value = sum(float(number) * units[unit] for number, unit in re.findall(r"([0-9.]+)([smhd]?)", text))
    if not 1 <= value <= most_days * 86_400:
        raise ValueError(f"between 1s and {most_days}d")
    return value
