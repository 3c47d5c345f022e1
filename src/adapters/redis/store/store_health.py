"""A breaker on the store itself: after a few failures in a row nobody waits for it any more, until a probe succeeds."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

log = logging.getLogger("spork.limits")

#: Failures in a row that take the store out of the request path.
FAILURES: Final = 3


@dataclass(slots=True)
class StoreHealth:
    """`down` is asked on every request. Probing is the owner's job; `succeeded` brings the store back.

    `failures` counts those since the last success: more than none means that the latest answers were given without it.
    """

    down: bool = False
    failures: int = 0
    outages: int = 0
    last_error: str = ""

    def failed(self, error: BaseException | str) -> None:
        self.failures += 1
        self.last_error = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        if self.failures >= FAILURES and not self.down:
            self.down = True
            self.outages += 1
            log.warning("limits: the shared store is gone, on_store_error decides: %s", self.last_error)

    def succeeded(self) -> None:
        self.failures = 0
        self.down = False
