"""The state of the connection to one gateway, as the status line tells it."""

from __future__ import annotations

from dataclasses import dataclass

from spork.console.gateway.faults import AccessDenied, LinkFault, TooManyRequests, Unauthenticated

CONNECTING, UP, RETRYING, UNAUTHENTICATED, DENIED, THROTTLED = (
    "CONNECTING",
    "UP",
    "RETRYING",
    "UNAUTHENTICATED",
    "DENIED",
    "THROTTLED",
)


@dataclass(slots=True)
class Link:
    """`attempt` counts failures in a row; `retry_at` and `lost_at` are monotonic; `mode` is sse or poll."""

    state: str = CONNECTING
    mode: str = "sse"
    attempt: int = 0
    retry_at: float | None = None
    lost_at: float | None = None
    fault: LinkFault | None = None
    api_note: str = ""

    def up(self, mode: str) -> None:
        self.state, self.mode = UP, mode
        self.attempt, self.retry_at, self.lost_at, self.fault = 0, None, None, None

    def lost(self, fault: LinkFault, now: float, retry_in: float | None) -> None:
        """One more attempt failed; the next comes in `retry_in` seconds, or not at all until the operator acts."""
        self.fault = fault
        self.attempt += 1
        self.lost_at = now if self.lost_at is None else self.lost_at
        self.retry_at = None if retry_in is None else now + retry_in
        if isinstance(fault, Unauthenticated):
            self.state = UNAUTHENTICATED
        elif isinstance(fault, AccessDenied):
            self.state = DENIED
        elif isinstance(fault, TooManyRequests):
            self.state = THROTTLED
        else:
            self.state = RETRYING
