"""File descriptors of this process: a reserve that new clients may not touch, and word of it when it is reached.

The system hands out the lowest number that is free, so the number of a new socket says how many are taken: nothing has
to be counted. Clients are turned away first, then connections to targets; the rest is for what the gateway itself must
open (logs, stores, its operators' connections).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Final

log = logging.getLogger("spork.descriptors")

#: Seconds between two lines in the log that say so.
SAID_EVERY: Final = 10.0
#: Seconds after the last refusal for which the process counts as short of descriptors.
SHORT_FOR: Final = 5.0
_LEAST, _MOST = 24, 512


class Descriptors:
    """Who may still take a descriptor. `limit()` is how many the process may have, None for as many as it likes; it is
    asked for each connection, for an operator may change it while the process runs."""

    def __init__(self, limit: Callable[[], int | None], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._monotonic = monotonic
        self._said_at = -SAID_EVERY
        self._short_at = -SHORT_FOR
        #: Connections of clients, and to targets, that were not made for want of descriptors.
        self.refused_clients = 0
        self.refused_targets = 0

    @property
    def short(self) -> bool:
        """Whether somebody was turned away lately."""
        return self._monotonic() - self._short_at < SHORT_FOR

    def client(self, number: int) -> bool:
        """Whether a client whose socket has this number may be served."""
        limit = self._limit()
        if limit is None or number < limit - _reserve(limit):
            return True
        self.refused_clients += 1
        self._say("new clients are answered 503 and idle ones closed")
        return False

    def to_tell(self, number: int) -> bool:
        """Whether a client that is turned away can still be told why: answering takes its descriptor for a moment."""
        limit = self._limit()
        return limit is None or number < limit - 2 * _reserve(limit) // 3

    def target(self, number: int) -> bool:
        """Whether a connection to a target with this number may be kept."""
        limit = self._limit()
        if limit is None or number < limit - _reserve(limit) // 3:
            return True
        self.exhausted()
        return False

    def exhausted(self) -> None:
        """The system, or the reserve, refused a connection to a target."""
        self.refused_targets += 1
        self._say("requests that need a new connection to a target are answered 503")

    def _say(self, what: str) -> None:
        now = self._monotonic()
        self._short_at = now
        if now - self._said_at < SAID_EVERY:
            return
        self._said_at = now
        log.error(
            "out of file descriptors: the process may have %s; %s. Raise the limit (LimitNOFILE= of the unit, ulimit -n), "
            "or bound clients by edge.max_connections and connections to targets by pool.connections",
            self._limit(),
            what,
        )

    def samples(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        """For metrics."""
        yield "gateway_descriptors_refused_total", ("client",), float(self.refused_clients)
        yield "gateway_descriptors_refused_total", ("target",), float(self.refused_targets)


def _reserve(limit: int) -> int:
    """Descriptors that new clients may not take, of `limit`."""
    return min(max(limit // 10, _LEAST), _MOST, limit // 2)
