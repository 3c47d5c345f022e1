"""The default upstream transport: HTTP/1.1 over pooled connections.

A small exchange suspends once, between its request and its response. What is sent again is decided here for one case
only: a pooled connection that the target had closed says nothing about the target, so an idempotent request with a
replayable body goes out once more on a fresh connection. Everything else is the caller's to retry, told by the fault.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from spork.adapters.http1 import faults, writer
from spork.adapters.http1.connection import Connection, Response
from spork.adapters.http1.deadlines import Sweeper
from spork.adapters.http1.dial import Dialer
from spork.adapters.http1.pool import PoolStats, TargetPool
from spork.adapters.http1.pump import pump
from spork.application.kernel.descriptors import Descriptors
from spork.application.kernel.faults import FaultError
from spork.application.kernel.streams import RequestBody
from spork.application.upstreams.framing import NOTHING, measure
from spork.application.upstreams.transport import UpstreamRequest
from spork.domain.http.head import IDEMPOTENT
from spork.domain.outcomes import FaultKind
from spork.domain.upstreams.model import PoolPolicy, Target, TlsToTarget

#: A body up to this size goes out in one write with its head.
_WORTH_COPYING: Final = 65536

_Key = tuple[str, str, int, str | None, TlsToTarget | None, tuple[str, ...], str, PoolPolicy]


class _Route:
    """Where requests for one target go. `target` and `policy` are the very objects it was made for."""

    __slots__ = ("dialer", "policy", "pool", "target")

    def __init__(self, target: Target, policy: PoolPolicy, pool: TargetPool, dialer: Dialer) -> None:
        self.target = target
        self.policy = policy
        self.pool = pool
        self.dialer = dialer


class HttptoolsTransport:
    """`application.ports.UpstreamTransport` for HTTP/1.1 targets: http, https and unix sockets.

    `clock` answers monotonic seconds, on the scale of `UpstreamRequest.deadline`. One event loop uses one transport.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, descriptors: Descriptors | None = None) -> None:
        self._clock = clock
        self._descriptors = descriptors
        self._pools: dict[_Key, tuple[TargetPool, Dialer]] = {}
        self._routes: dict[int, _Route] = {}
        self._sweeper = Sweeper(self._all_pools, clock)
        self._closed = False
        self._counted_at = float("-inf")
        self._counts: dict[str, PoolStats] = {}

    async def send(self, target: Target, request: UpstreamRequest) -> Response:
        """One request, one response head. Raises FaultError when no head arrived; see `Fault.retry_safe`."""
        route = self._routes.get(id(target))
        if route is None or route.policy is not request.pool:
            route = self._route(target, request.pool)
        body, payload, length = NOTHING if request.body is None else measure(request.body)
        head = writer.render(request, length)
        now = self._clock()
        connection = route.pool.reuse(now)
        if connection is None:
            connection = await self._obtain(route, request)
            now = self._clock()
        if not self._sweeper.fast:
            self._sweeper.hasten()
        response = self._begin(connection, request, now, head, payload, body, length)
        try:
            await response.begun
            response.arrived()
            return response
        except FaultError as error:
            if not self._may_repeat(connection, request, response, error, body):
                response.close()
                raise
        except BaseException:
            response.close()
            raise
        return await self._repeat(route, connection, request, head, payload)

    async def close(self) -> None:
        """End every connection that is not in use, and those in use as they come back; their deadlines still hold."""
        self._closed = True
        for pool, _ in self._pools.values():
            pool.shut()

    def stats(self) -> dict[str, PoolStats]:
        """Counts per target, by its address."""
        counts: dict[str, PoolStats] = {}
        for pool, _ in self._pools.values():
            counts[pool.label] = pool.stats() + counts[pool.label] if pool.label in counts else pool.stats()
        return counts

    def connections(self, target: Target) -> int:
        """Open connections to `target`, as of at most half a second ago: views ask for every target in turn."""
        now = self._clock()
        if now - self._counted_at > 0.5:
            self._counted_at, self._counts = now, self.stats()
        counts = self._counts.get(label_of(target))
        return 0 if counts is None else counts.idle + counts.busy

    # ----------------------------------------------------------------------------------------------- one exchange

    def _begin(
        self,
        connection: Connection,
        request: UpstreamRequest,
        now: float,
        head: bytes,
        payload: bytes,
        body: RequestBody | None,
        length: int | None,
    ) -> Response:
        loop = asyncio.get_running_loop()
        response = Response(connection, request, loop.create_future(), now)
        connection.response = response
        connection.served += 1
        if len(payload) < _WORTH_COPYING:
            connection.transport.write(head + payload)
        else:
            connection.transport.write(head)
            connection.transport.write(payload)
        if body is not None:
            response.stream(loop.create_task(pump(connection, response, body, length)))
        return response

    async def _obtain(self, route: _Route, request: UpstreamRequest) -> Connection:
        """A free connection of the pool, waiting for one if need be, or a new one."""
        if self._closed:
            raise faults.gateway(FaultKind.DESTINATION_UNAVAILABLE, "the transport is closed", retry_safe=True)
        connection = await route.pool.reserve(request.deadline - self._clock())
        if connection is not None:
            return connection
        return await self._open(route, request)

    async def _open(self, route: _Route, request: UpstreamRequest) -> Connection:
        """A new connection in the slot the caller holds."""
        pool = route.pool
        now = self._clock()
        timeout = max(min(request.timeouts.connect, request.deadline - now), 0.0)
        try:
            connection = await route.dialer.dial(lambda: Connection(pool, self._clock()), timeout)
        except BaseException as error:
            pool.forgo()
            if isinstance(error, FaultError) and error.fault.kind is FaultKind.CONNECTION_LIMIT_REACHED:
                self._end_idle()
            raise
        pool.adopt(connection)
        return connection

    def _end_idle(self) -> None:
        """There are no descriptors left: connections that nobody uses are those that are missed least."""
        for pool in self._all_pools():
            pool.end_idle()

    def _may_repeat(
        self,
        connection: Connection,
        request: UpstreamRequest,
        response: Response,
        error: FaultError,
        body: RequestBody | None,
    ) -> bool:
        fault = error.fault
        return (
            not fault.fresh_connection
            and body is None
            and response.untouched
            and request.method in IDEMPOTENT
            and not request.upgrade
        )

    async def _repeat(
        self, route: _Route, connection: Connection, request: UpstreamRequest, head: bytes, payload: bytes
    ) -> Response:
        connection.response = None
        route.pool.renew(connection)
        fresh = await self._open(route, request)
        response = self._begin(fresh, request, self._clock(), head, payload, None, len(payload))
        try:
            await response.begun
            response.arrived()
        except BaseException:
            response.close()
            raise
        return response

    # ----------------------------------------------------------------------------------------------------- pools

    def _all_pools(self) -> list[TargetPool]:
        return [pool for pool, _ in self._pools.values()]

    def _route(self, target: Target, policy: PoolPolicy) -> _Route:
        """The pool of a target: targets of the same address, TLS and policy share one, whatever revision named them."""
        key = (
            target.scheme,
            target.host,
            target.port,
            target.unix_path,
            target.tls,
            target.allow,
            target.family,
            policy,
        )
        found = self._pools.get(key)
        if found is None:
            found = TargetPool(label_of(target), policy, self._clock), Dialer(target, self._descriptors)
            self._pools[key] = found
        self._prune()
        route = self._routes[id(target)] = _Route(target, policy, *found)
        return route

    def _prune(self) -> None:
        """Forget pools that nothing uses: targets come and go with revisions."""
        if len(self._routes) < 1024:
            return
        self._routes.clear()
        for key in [key for key, (pool, _) in self._pools.items() if pool.unused]:
            del self._pools[key]


def label_of(target: Target) -> str:
    """What a target's pool is called in statistics: its address."""
    return target.unix_path or f"{target.scheme}://{target.host}:{target.port}"
