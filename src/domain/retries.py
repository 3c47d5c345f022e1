"""When a request may be sent again, and how many may be (Finagle's retry budget, Gateway API GEP-3388)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts` counts further tries after the first. `budget` is the share of recent requests that may be retries,
    above a floor of `min_per_second`. Times in seconds; `replay_bytes` bounds the body kept for sending again."""

    attempts: int = 2
    budget: float = 0.2
    min_per_second: float = 10.0
    per_try: float | None = None
    backoff_base: float = 0.025
    backoff_cap: float = 0.25
    statuses: tuple[int, ...] = (502, 503, 504)
    replay_bytes: int = 65536
    idempotency_key: bool = False
