"""Upstreams and targets as they live: small mutable holders around immutable declarations."""

from __future__ import annotations

from application.exchange import Exchange
from domain.circuit import CallResult, Open, Permit
from domain.upstreams import Target, Upstream

_PERMIT = Permit()


class LiveTarget:
    """One address in use."""

    __slots__ = ("active", "authority", "declared", "name")

    def __init__(self, declared: Target) -> None:
        self.declared = declared
        self.name = declared.name or declared.authority.decode()
        self.authority = declared.authority
        self.active = 0

    def started(self) -> None:
        self.active += 1

    def finished(self, result: CallResult, seconds: float, now: float) -> None:
        self.active -= 1


class LiveUpstream:
    """A pool of targets in use, with its breaker."""

    def __init__(self, declared: Upstream) -> None:
        self.declared = declared
        self.name = declared.name
        self.targets = [LiveTarget(target) for target in declared.targets]
        self._next = 0

    def permit(self, now: float) -> Permit | Open:
        return _PERMIT

    def record(self, permit: Permit, result: CallResult, seconds: float, now: float) -> None:
        pass

    def judge(self, status: int) -> CallResult:
        return CallResult.FAILED if status in (502, 503, 504) else CallResult.OK

    def choose(self, exchange: Exchange) -> LiveTarget | None:
        self._next += 1
        return self.targets[self._next % len(self.targets)]
