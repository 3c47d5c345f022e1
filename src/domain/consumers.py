"""Who calls: consumers, the plans they are on, and API keys."""

from __future__ import annotations

from dataclasses import dataclass

from domain.quotas import Limit


@dataclass(frozen=True, slots=True)
class Plan:
    """A named bundle: `limits` are rates, `quotas` are long ones (day, month). Empty means unlimited."""

    name: str
    limits: tuple[Limit, ...] = ()
    quotas: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class Consumer:
    """A caller known by name; `subjects` are token subjects that mean it."""

    name: str
    plan: str = ""
    subjects: tuple[str, ...] = ()
    owner: str = ""
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    basic_password_hash: str = ""
