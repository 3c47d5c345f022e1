"""The alternative upstream transport, over httpx at transport level: HTTP/2 targets and forward proxies.

It costs many times what the default transport costs, and HTTP/1.1 through it keeps the limits of what lies beneath:
a request body is sent whole before the response is read, interim responses are swallowed, connections have no
lifetime limit, and h11 forgives more of a response head than the default transport does. What must not be forgiven
(two framings, control bytes, surplus bytes) is refused here. Upgrades are refused: use the default transport.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import httpx

from spork.adapters.httpx import faults
from spork.adapters.httpx.call import Call
from spork.adapters.httpx.messages import Body, RequestUrl, render_headers
from spork.adapters.httpx.response import HttpxResponse, examine
from spork.application.kernel.faults import FaultError
from spork.application.upstreams.framing import Measured, measure
from spork.application.upstreams.tls import client_context
from spork.application.upstreams.transport import UpstreamRequest
from spork.domain.http.head import IDEMPOTENT
from spork.domain.outcomes import FaultKind
from spork.domain.upstreams.model import PoolPolicy, Target, TlsToTarget

#: Streams of an HTTP/2 connection that httpcore uses at most.
_STREAMS = 100

_Key = tuple[str, str, int, str | None, TlsToTarget | None, str, PoolPolicy]


class _Origin:
    """One address under one policy. `streams` is how many exchanges one of its connections carries."""

    __slots__ = ("in_flight", "policy", "server_name", "streams", "transport", "url")

    def __init__(self, target: Target, policy: PoolPolicy, transport: httpx.AsyncHTTPTransport) -> None:
        host = f"[{target.host}]" if ":" in target.host else target.host
        self.url = httpx.URL(f"{target.scheme}://{host}:{target.port}/")
        self.server_name = target.tls.server_name if target.tls is not None else None
        self.transport = transport
        self.policy = policy
        self.in_flight = 0
        self.streams = 1

    @property
    def full(self) -> bool:
        """As many wait as may: httpcore itself lets any number wait."""
        return self.in_flight >= self.policy.connections * self.streams + self.policy.pending


class HttpxTransport:
    """`application.ports.UpstreamTransport` over httpx.

    `http2` offers HTTP/2 to https targets by ALPN; with `http1` False it is spoken without asking, also in clear text.
    `PoolPolicy.proxy` is the forward proxy: http targets are asked for by it, tunnels lead through it to https ones.
    `clock` answers monotonic seconds.
    """

    def __init__(
        self,
        http1: bool = True,
        http2: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http1 = http1
        self._http2 = http2
        self._clock = clock
        self._origins: dict[_Key, _Origin] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def send(self, target: Target, request: UpstreamRequest) -> HttpxResponse:
        """One request, one response head. Raises FaultError when no head arrived; see `Fault.retry_safe`."""
        if request.upgrade:
            raise faults.gateway(FaultKind.HTTP_UPGRADE_FAILED, "this transport carries no upgrades", retry_safe=True)
        origin = self._origin(target, request.pool)
        body = measure(request.body)
        headers = render_headers(request, body.length)
        if origin.full:
            raise faults.gateway(FaultKind.CONNECTION_LIMIT_REACHED, "too many requests wait", retry_safe=True)
        try:
            return await self._attempt(origin, request, headers, body)
        except FaultError as error:
            if error.fault.fresh_connection or body.stream is not None or request.method not in IDEMPOTENT:
                raise
        return await self._attempt(origin, request, headers, body)

    async def close(self) -> None:
        """End every connection."""
        for task in tuple(self._closing):
            await asyncio.wait([task])
        for origin in self._origins.values():
            await origin.transport.aclose()

    # ----------------------------------------------------------------------------------------------- one exchange

    async def _attempt(
        self, origin: _Origin, request: UpstreamRequest, headers: list[tuple[bytes, bytes]], body: Measured
    ) -> HttpxResponse:
        call = Call()
        timeouts = self._timeouts(request)
        extensions: dict[str, Any] = {"timeout": timeouts, "trace": call.trace}
        if origin.server_name:
            extensions["sni_hostname"] = origin.server_name
        sent = httpx.Request(request.method, origin.url, headers=headers, stream=Body(body), extensions=extensions)
        sent.url = RequestUrl(origin.url, request.target)  # the constructor would copy it as a plain URL
        origin.in_flight += 1
        try:
            received = await call.send(origin.transport, sent, _timer(request.deadline - self._clock()))
        except BaseException as error:
            origin.in_flight -= 1
            if not call.failed:
                self._later(self._settle(call))
            if isinstance(error, Exception):
                raise _translate(error, call) from error
            raise
        timeouts["read"] = request.timeouts.idle
        return await self._accept(origin, request, received)

    async def _settle(self, call: Call) -> None:
        """See to the end of a call that its caller has left."""
        response = await call.settle()
        if response is not None:
            await HttpxResponse.discard(response)

    def _later(self, ending: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(ending)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _accept(self, origin: _Origin, request: UpstreamRequest, received: httpx.Response) -> HttpxResponse:
        """The response, unless its head must be refused: then its connection ends."""

        if received.extensions.get("http_version") == b"HTTP/2":
            origin.streams = _STREAMS

        def over(ended: bool) -> None:
            origin.in_flight -= 1
            if not ended:
                self._later(HttpxResponse.discard(received))

        try:
            response = HttpxResponse(received, examine(received), request, self._clock, over)
            await response.finish_if_empty()
        except BaseException:
            over(False)
            raise
        return response

    def _timeouts(self, request: UpstreamRequest) -> dict[str, float | None]:
        remaining = max(request.deadline - self._clock(), 0.0)
        limits = request.timeouts
        return {
            "connect": min(limits.connect, remaining),
            "read": min(limits.first_byte, remaining),
            "write": min(limits.idle, remaining),
            "pool": _timer(remaining),
        }

    # ---------------------------------------------------------------------------------------------------- origins

    def _origin(self, target: Target, policy: PoolPolicy) -> _Origin:
        key = (target.scheme, target.host, target.port, target.unix_path, target.tls, target.family, policy)
        origin = self._origins.get(key)
        if origin is None:
            origin = self._origins[key] = _Origin(target, policy, self._make(target, policy))
        return origin

    def _make(self, target: Target, policy: PoolPolicy) -> httpx.AsyncHTTPTransport:
        limits = httpx.Limits(
            max_connections=policy.connections,
            max_keepalive_connections=policy.connections,
            keepalive_expiry=policy.idle,
        )
        return httpx.AsyncHTTPTransport(
            verify=client_context(target.tls or TlsToTarget()) if target.scheme == "https" else False,
            trust_env=False,
            http1=self._http1,
            http2=self._http2,
            limits=limits,
            proxy=policy.proxy or None,
            uds=target.unix_path,
            local_address=_ANY_OF.get(target.family),
        )


#: The local address that makes connections of one family only (httpx has no other way to say it).
_ANY_OF = {"ipv4": "0.0.0.0", "ipv6": "::"}  # noqa: S104 - not listened on


def _timer(seconds: float) -> float | None:
    """Seconds as a timer takes them: never negative, None for waits that need no timer."""
    return max(seconds, 0.0) if seconds < 86400.0 else None


def _translate(error: Exception, call: Call) -> FaultError:
    if isinstance(error, FaultError):
        return error
    if isinstance(error, TimeoutError):
        note = "no response head in time"
        return faults.upstream(FaultKind.HTTP_RESPONSE_TIMEOUT, note, retry_safe=not call.written)
    reused = call.written and not call.fresh
    died = isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError)
    return faults.of_head(error, written=call.written, fresh=not (reused and died))
