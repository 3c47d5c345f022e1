"""Active probes with rise and fall, passive outlier ejection, aggregate status."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class ProbePolicy:
    """Active health check: `kind` http or tcp. Times in seconds; `rise`/`fall` results in a row change the verdict."""

    path: str = "/health"
    kind: str = "http"
    every: float = 5.0
    timeout: float = 1.0
    rise: int = 2
    fall: int = 3
    statuses: tuple[tuple[int, int], ...] = ((200, 399),)
    host: str | None = None


@dataclass(frozen=True, slots=True)
class OutlierPolicy:
    """Passive ejection: `consecutive` failures eject for `eject_for` seconds times ejections so far, capped."""

    consecutive: int = 5
    eject_for: float = 30.0
    max_eject_for: float = 300.0
    max_ejected: float = 0.5
    panic: float = 0.5


class ProbeVerdict(Enum):
    """What active probes say of a target."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


class ProbeRecord:
    """Probe results of one target turned into a verdict: the first check decides, then `rise` or `fall` in a row."""

    __slots__ = ("policy", "streak", "verdict")

    def __init__(self, policy: ProbePolicy) -> None:
        self.policy = policy
        self.verdict = ProbeVerdict.UNKNOWN
        self.streak = 0

    def observe(self, passed: bool) -> bool:
        """Take one result; True when the verdict changed."""
        wanted = ProbeVerdict.UP if passed else ProbeVerdict.DOWN
        if self.verdict is wanted:
            self.streak = 0
            return False
        self.streak += 1
        needed = self.policy.rise if passed else self.policy.fall
        if self.verdict is not ProbeVerdict.UNKNOWN and self.streak < needed:
            return False
        self.verdict = wanted
        self.streak = 0
        return True

    def __repr__(self) -> str:
        return f"<ProbeRecord {self.verdict.value} streak {self.streak}>"


def passes(policy: ProbePolicy, status: int) -> bool:
    """Whether a probe answered with `status` is a good one."""
    return any(low <= status <= high for low, high in policy.statuses)


def probe_pause(policy: ProbePolicy, chance: float) -> float:
    """Seconds to the next probe: `every` +-10 %, by `chance` in [0, 1)."""
    return policy.every * (0.9 + 0.2 * chance)


class Ejection:
    """Passive ejection of one target: `consecutive` failures in a row take it out for a time that grows with each
    ejection and shrinks again by one step per `eject_for` seconds spent in."""

    __slots__ = ("ejections", "policy", "streak", "total", "until")

    def __init__(self, policy: OutlierPolicy) -> None:
        self.policy = policy
        self.streak = 0
        self.ejections = 0
        self.total = 0
        self.until = 0.0

    def failed(self) -> bool:
        """Count one failure; True when the target has had enough of them in a row."""
        self.streak += 1
        return self.streak >= self.policy.consecutive > 0

    def eject(self, now: float) -> float:
        """Take the target out; returns when it comes back."""
        if self.ejections and now > self.until:
            decayed = int((now - self.until) / self.policy.eject_for) if self.policy.eject_for > 0 else self.ejections
            self.ejections = max(0, self.ejections - decayed)
        self.ejections += 1
        self.total += 1
        self.streak = 0
        self.until = now + min(self.policy.max_eject_for, self.policy.eject_for * self.ejections)
        return self.until

    def out(self, now: float) -> bool:
        return now < self.until

    def __repr__(self) -> str:
        return f"<Ejection streak {self.streak} ejections {self.ejections} until {self.until:.3f}>"


class ProbeHistory:
    """Probe results of the last hour of one service, one row per minute: availability and response time."""

    __slots__ = ("_rows",)

    MINUTES = 60

    def __init__(self) -> None:
        self._rows: deque[tuple[int, list[float]]] = deque(maxlen=self.MINUTES)

    def add(self, passed: bool, seconds: float, now: float) -> None:
        minute = int(now // 60)
        if not self._rows or minute > self._rows[-1][0]:
            self._rows.append((minute, [0, 0, 0.0]))
        row = self._rows[-1][1]
        row[0] += 1
        row[1] += passed
        row[2] += seconds

    def _recent(self, now: float) -> list[tuple[int, list[float]]]:
        oldest = int(now // 60) - self.MINUTES
        return [(minute, row) for minute, row in self._rows if minute > oldest]

    def availability(self, now: float) -> float | None:
        """Share of the last hour's probes that passed; None when there was none."""
        checks, passed = self.counts(now)
        return passed / checks if checks else None

    def counts(self, now: float) -> tuple[int, int]:
        """(probes, those that passed) of the last hour."""
        rows = self._recent(now)
        return int(sum(row[0] for _, row in rows)), int(sum(row[1] for _, row in rows))

    def response_seconds(self, now: float) -> float | None:
        """Mean time of the last hour's probes; None when there was none."""
        checks = sum(row[0] for _, row in self._recent(now))
        return sum(row[2] for _, row in self._recent(now)) / checks if checks else None

    def minutes(self, now: float) -> list[tuple[float, float, float]]:
        """(start in seconds, availability, mean seconds) per minute that had probes, oldest first."""
        return [(minute * 60.0, row[1] / row[0], row[2] / row[0]) for minute, row in self._recent(now)]


def may_eject(policy: OutlierPolicy, ejected: int, targets: int) -> bool:
    """Whether one more of `targets` may be ejected when `ejected` already are."""
    return ejected + 1 <= policy.max_ejected * targets


def overall(states: Iterable[str]) -> str:
    """The system's state from its services': healthy, degraded, down, unknown."""
    known = set(states)
    if not known or known == {"unknown"}:
        return "unknown"
    if known <= {"healthy", "unknown"}:
        return "healthy"
    return "down" if known == {"down"} else "degraded"
