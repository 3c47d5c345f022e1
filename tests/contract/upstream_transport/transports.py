"""The adapters of the UpstreamTransport port, and what a test needs to call them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from spork.adapters.http1.transport import HttptoolsTransport
from spork.adapters.httpx.transport import HttpxTransport
from spork.application.kernel.faults import FaultError
from spork.application.upstreams.transport import UpstreamRequest, UpstreamResponse, UpstreamTransport
from spork.domain.outcomes import Fault
from spork.domain.upstreams.model import Target, Timeouts


@dataclass(frozen=True)
class Adapter:
    """One adapter under test. `can` names what it promises beyond what every adapter must."""

    name: str
    make: Callable[..., Any]
    can: frozenset[str] = frozenset()


ADAPTERS = (
    Adapter(
        "httptools",
        HttptoolsTransport,
        frozenset({"tunnels", "informs", "duplex", "strict_head", "lifetime", "keep_alive_hint"}),
    ),
    Adapter("httpx", HttpxTransport),
)


def having(*capabilities: str) -> pytest.MarkDecorator:
    """Run a test over every adapter that promises `capabilities`; over all of them when none is named."""
    chosen = [adapter for adapter in ADAPTERS if adapter.can.issuperset(capabilities)]
    assert chosen
    return pytest.mark.parametrize("transport", chosen, ids=lambda adapter: adapter.name, indirect=True)


def lacking(capability: str) -> pytest.MarkDecorator:
    chosen = [adapter for adapter in ADAPTERS if capability not in adapter.can]
    assert chosen
    return pytest.mark.parametrize("transport", chosen, ids=lambda adapter: adapter.name, indirect=True)


HOST = (b"host", b"target.test")


def ask(
    method: str = "GET", path: bytes = b"/", *headers: tuple[bytes, bytes], within: float = 5.0, **more: Any
) -> UpstreamRequest:
    """A request whose whole exchange may take `within` seconds."""
    more.setdefault("body", None)
    more.setdefault("timeouts", Timeouts(connect=1.0, first_byte=5.0, idle=5.0, total=within))
    return UpstreamRequest(method, path, [HOST, *headers], deadline=time.monotonic() + within, **more)


async def read_all(response: UpstreamResponse) -> bytes:
    """The whole body as the gateway reads it."""
    data, ended = response.take()
    while not ended:
        piece = await response.read()
        if not piece:
            break
        data += piece
    return data


async def exchange(
    transport: UpstreamTransport, target: Target, request: UpstreamRequest | None = None
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Send, read whole, give back."""
    response = await transport.send(target, request or ask())
    try:
        return response.status, response.headers, await read_all(response)
    finally:
        response.close()


async def fault_of(call: Awaitable[Any]) -> Fault:
    """The fault `call` ends with."""
    with pytest.raises(FaultError) as caught:
        await call
    return caught.value.fault


async def until(check: Callable[[], object], seconds: float = 15.0, what: str = "condition") -> None:
    """Wait for `check` to come true while the loop runs."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds} s"
        await asyncio.sleep(0.005)


async def settled(value: Callable[[], object], quiet: float = 0.25) -> None:
    """Wait until `value` has been the same for `quiet` seconds, in which the loop turned many times."""
    seen, since, turns = value(), time.monotonic(), 0
    while time.monotonic() - since < quiet or turns < 20:
        await asyncio.sleep(0.005)
        turns += 1
        if value() != seen:
            seen, since, turns = value(), time.monotonic(), 0


@dataclass
class Pieces:
    """A request body whose pieces the test hands out (`application.ports.RequestBody`). None hangs until `more`."""

    pieces: list[bytes]
    length: int | None = None
    received: int = 0
    error: BaseException | None = None
    more: asyncio.Event = field(default_factory=asyncio.Event)
    hang: bool = False
    reads: int = 0
    cancelled: bool = False

    def whole(self) -> bytes | None:
        return None

    async def read(self) -> bytes:
        self.reads += 1
        if self.hang and not self.pieces:
            try:
                await self.more.wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        if self.pieces:
            piece = self.pieces.pop(0)
            self.received += len(piece)
            return piece
        if self.error is not None:
            raise self.error
        return b""

    def limit(self, maximum: int) -> None:
        pass
