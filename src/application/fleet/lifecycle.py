"""Whether this process may be sent traffic: starting, ready, draining."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import Enum

log = logging.getLogger("spork")


class Phase(Enum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class Lifecycle:
    """Liveness is that anything answers at all; readiness is a first valid snapshot and not draining. Neither depends
    on Redis or on upstreams: a gateway that lost them still refuses better than a load balancer does."""

    def __init__(self, remarks: Callable[[], list[str]] = list) -> None:
        """`remarks()` answers what operators should know although the process is ready, one sentence each."""
        self.phase = Phase.STARTING
        self.started_at: float | None = None
        self.remarks = remarks
        self._draining = asyncio.Event()

    @property
    def ready(self) -> bool:
        return self.phase is Phase.READY

    def became_ready(self, now: float) -> None:
        if self.phase is Phase.STARTING:
            self.phase = Phase.READY
            self.started_at = now

    def drain(self) -> None:
        """From now on readiness fails; what is in flight goes on."""
        if self.phase is not Phase.DRAINING:
            log.info("shutdown has begun: readiness fails, what is in flight goes on")
        self.phase = Phase.DRAINING
        self._draining.set()

    async def draining(self) -> None:
        """Returns when shutdown has begun: for streams that must end then."""
        await self._draining.wait()
