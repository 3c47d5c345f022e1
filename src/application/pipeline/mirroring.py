"""Copies of live requests for a shadow upstream. The client's answer neither waits for them nor depends on them.

A copy goes out when the request's body is at hand whole (none, arrived, or kept for retries and complete when the
exchange closes); requests with larger bodies are not mirrored. What the shadow answers is read and thrown away. At most
`most` copies are in flight; beyond that they are left out and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Protocol

from spork.application.configuration.model import Mirror
from spork.application.exchange.exchange import Exchange, RoutePlan
from spork.application.exchange.replay import ReplayBody
from spork.application.kernel.clock import Clock
from spork.application.kernel.faults import FaultError
from spork.application.kernel.tasks import end
from spork.application.upstreams.target import LiveTarget
from spork.application.upstreams.transport import UpstreamRequest, UpstreamTransport
from spork.application.upstreams.upstream import LiveUpstream
from spork.domain.upstreams.circuit import CallResult, Open, result_of_fault

#: Bytes of a shadow's answer that are read before it is cut off.
READ_AT_MOST = 1 << 20
#: The longest a copy may take, seconds.
LONGEST = 30.0

Sendable = bytes | None


class RequestMaker(Protocol):
    """Makes the request as a target sees it (`sending.Sender`)."""

    def upstream_request(
        self, exchange: Exchange, plan: RoutePlan, upstream: LiveUpstream, target: LiveTarget, body: Sendable
    ) -> UpstreamRequest: ...

    def transport_of(self, upstream: LiveUpstream) -> UpstreamTransport: ...


class Mirrors:
    """One per process; close it with the process."""

    def __init__(self, clock: Clock, chance: Callable[[], float], most: int = 64) -> None:
        self._monotonic = clock.monotonic
        self._chance = chance
        self._most = most
        self._copies: set[asyncio.Task[CallResult]] = set()
        self.sent = 0
        self.left_out = 0

    def consider(self, mirror: Mirror, maker: RequestMaker, exchange: Exchange, plan: RoutePlan, body: object) -> None:
        """Send a copy of this request if it is among the share that is mirrored."""
        if exchange.head.upgrade or self._chance() >= mirror.share:
            return
        shadow = exchange.snapshot.upstreams.get(mirror.upstream)
        if shadow is None:
            return
        if body is None or isinstance(body, bytes):
            self._send(maker, exchange, plan, shadow, body)
        elif isinstance(body, ReplayBody):
            exchange.at_close(lambda closed: self._send_complete(maker, closed, plan, shadow, body))
        else:
            self.left_out += 1

    def _send_complete(
        self, maker: RequestMaker, exchange: Exchange, plan: RoutePlan, shadow: LiveUpstream, body: ReplayBody
    ) -> None:
        body.rewind()
        whole = body.whole()
        if whole is None:
            self.left_out += 1
        else:
            self._send(maker, exchange, plan, shadow, whole)

    def _send(
        self, maker: RequestMaker, exchange: Exchange, plan: RoutePlan, shadow: LiveUpstream, body: Sendable
    ) -> None:
        now = self._monotonic()
        granted = None if len(self._copies) >= self._most else shadow.admit(exchange, now)
        if granted is None or isinstance(granted, Open):
            self.left_out += 1
            return
        target, permit = granted
        request = maker.upstream_request(exchange, plan, shadow, target, body)
        request.on_inform = None
        request.deadline = now + min(LONGEST, shadow.declared.timeouts.total)
        request.headers.append((b"x-gateway-mirror", b"1"))
        self.sent += 1
        task = asyncio.create_task(self._copy(maker.transport_of(shadow), shadow, target, request))
        self._copies.add(task)

        def over(copied: asyncio.Task[CallResult]) -> None:
            """Settled here, not in the task: one that is cancelled before its first step runs nothing of its body."""
            self._copies.discard(copied)
            broken = copied.cancelled() or copied.exception() is not None
            ended = self._monotonic()
            shadow.settle(target, permit, CallResult.IGNORED if broken else copied.result(), ended - now, ended)

        task.add_done_callback(over)

    async def _copy(
        self, transport: UpstreamTransport, shadow: LiveUpstream, target: LiveTarget, request: UpstreamRequest
    ) -> CallResult:
        result = CallResult.IGNORED
        try:
            async with asyncio.timeout(LONGEST):
                response = await transport.send(target.declared, request)
                result = shadow.judge(response.status)
                with contextlib.closing(response):
                    piece, ended = response.take()
                    read = len(piece)
                    while not ended and read < READ_AT_MOST and (piece := await response.read()):
                        read += len(piece)
        except FaultError as error:
            result = result_of_fault(error.fault)
        except TimeoutError:
            result = CallResult.UNREACHED
        return result

    async def close(self) -> None:
        await end(set(self._copies))

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        """For `spork.application.telemetry.families`."""
        yield ("mirrored_requests_total", ("sent",), float(self.sent))
        yield ("mirrored_requests_total", ("left_out",), float(self.left_out))
