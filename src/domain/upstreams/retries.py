"""When a request may be sent again, and how many may be (Finagle's retry budget, Gateway API GEP-3388)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from spork.domain.http.head import IDEMPOTENT
from spork.domain.outcomes import Fault


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts` counts further tries after the first. `budget` is the share of recent requests that may be retries,
    above a floor of `min_per_second`. Times in seconds; `replay_bytes` bounds the body kept for sending again.
    `hedge_after`: a second try beside a GET or HEAD that has no answer yet; None is off."""

    attempts: int = 2
    budget: float = 0.2
    min_per_second: float = 10.0
    per_try: float | None = None
    backoff_base: float = 0.025
    backoff_cap: float = 0.25
    statuses: tuple[int, ...] = (502, 503, 504)
    replay_bytes: int = 65536
    idempotency_key: bool = False
    hedge_after: float | None = None


#: Seconds over which a budget remembers requests and retries.
BUDGET_WINDOW: Final = 10


class RetryBudget:
    """Retries of one upstream: at most `budget` x requests + `min_per_second` x seconds, over the last 10 seconds.

    The ring has one second more than the window, so that the bound holds over any 10 seconds, not only aligned ones.
    """

    __slots__ = ("_floor", "_ratio", "_row", "_rows", "_second", "requests", "retries")

    def __init__(self, policy: RetryPolicy, now: float) -> None:
        self._ratio = policy.budget
        self._floor = policy.min_per_second * BUDGET_WINDOW
        self._second = int(now)
        self._row = [0, 0]
        self._rows: deque[list[int]] = deque([self._row])
        self.requests = 0
        self.retries = 0

    def adjust(self, policy: RetryPolicy) -> None:
        self._ratio = policy.budget
        self._floor = policy.min_per_second * BUDGET_WINDOW

    def deposit(self, now: float) -> None:
        """One first try goes out."""
        if int(now) > self._second:
            self._turn(int(now))
        self._row[0] += 1
        self.requests += 1

    def withdraw(self, now: float) -> bool:
        """Take one retry; False when there is none left."""
        if int(now) > self._second:
            self._turn(int(now))
        if self.retries + 1 > self._ratio * self.requests + self._floor:
            return False
        self._row[1] += 1
        self.retries += 1
        return True

    def per_second(self, now: float) -> float:
        """Retries per second over the window."""
        if int(now) > self._second:
            self._turn(int(now))
        return self.retries / BUDGET_WINDOW

    def _turn(self, second: int) -> None:
        for _ in range(min(second - self._second, BUDGET_WINDOW + 1)):
            self._rows.append([0, 0])
            if len(self._rows) > BUDGET_WINDOW + 1:
                requests, retries = self._rows.popleft()
                self.requests -= requests
                self.retries -= retries
        self._second = second
        self._row = self._rows[-1]

    def __repr__(self) -> str:
        return f"<RetryBudget {self.retries} retries of {self.requests} requests in the window>"


@dataclass(frozen=True, slots=True)
class Again:
    """Send again, on another target, after `delay` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Do not send again; `why` is a stable slug for the log and metrics."""

    why: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """What happened to one try. `number` counts from 1. Exactly one of `fault` and `status` is set.

    `replayable`: the body can be sent again from its beginning. `answer_started`: a byte went to the client.
    `has_key`: the request carries an Idempotency-Key. `retry_after`: what the target asked for, seconds.
    """

    number: int
    method: str
    fault: Fault | None = None
    status: int = 0
    replayable: bool = True
    answer_started: bool = False
    has_key: bool = False
    retry_after: float | None = None


def backoff(policy: RetryPolicy, retry: int, chance: float) -> float:
    """Full jitter: U(0, min(cap, base x 2^(retry-1))) seconds before the `retry`-th retry (1 is the first)."""
    return chance * min(policy.backoff_cap, policy.backoff_base * 2.0 ** min(retry - 1, 30))


def may_retry(
    policy: RetryPolicy | None, budget: RetryBudget | None, attempt: Attempt, now: float, deadline: float, chance: float
) -> Again | Stop:
    """Whether, and after how long, a request may be sent again. Withdraws from `budget` only when it may.

    `now` and `deadline` in monotonic seconds, `chance` uniform in [0, 1). A retry-safe fault may repeat any method:
    the target cannot have acted on it.
    """
    if policy is None:
        return Stop("off")
    if attempt.number > policy.attempts:
        return Stop("attempts")
    if attempt.answer_started:
        return Stop("answer_started")
    if not attempt.replayable:
        return Stop("body")
    fault = attempt.fault
    if fault is None and attempt.status not in policy.statuses:
        return Stop("status")
    safe = fault is not None and fault.retry_safe
    keyed = policy.idempotency_key and attempt.has_key
    if not (safe or keyed or attempt.method in IDEMPOTENT):
        return Stop("method")
    delay = backoff(policy, attempt.number, chance)
    if attempt.retry_after is not None:
        delay = max(delay, attempt.retry_after)
    if now + delay >= deadline:
        return Stop("deadline")
    if budget is not None and not budget.withdraw(now):
        return Stop("budget")
    return Again(delay)


def retry_after_seconds(value: bytes | None) -> float | None:
    """The delay-seconds form of Retry-After (RFC 9110 10.2.3); the date form and anything else is None."""
    if value is None or not value.isdigit() or len(value) > 6:
        return None
    return float(value)


def try_timeout(policy: RetryPolicy | None, total_deadline: float, now: float) -> float:
    """The deadline of one try that starts at `now`: `per_try` from now, within the total deadline."""
    if policy is None or policy.per_try is None:
        return total_deadline
    return min(total_deadline, now + policy.per_try)
