"""Ports that only use cases need. A screenful each, verbs from the domain.

A port that may have to wait answers either a value or an awaitable of it; callers await only what suspends, so that
the common case (a cached verdict, an idle pooled connection) costs no scheduling.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from domain.http import Header, RequestHead
from domain.outcomes import Denial, Fault, Respond
from domain.upstreams import Target

if TYPE_CHECKING:
    from application.exchange import Exchange
    from application.upstream_request import UpstreamRequest


class FaultError(Exception):
    """Carries a `Fault` out of an adapter. Adapters translate foreign exceptions into this once, at their edge."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.side.value}: {fault.kind.value} {fault.note}".rstrip())
        self.fault = fault


class RequestBody(Protocol):
    """The request's body as the edge receives it."""

    @property
    def length(self) -> int | None:
        """Declared length in bytes; 0 when there is none, None when chunked."""

    @property
    def received(self) -> int:
        """Bytes received so far (framing not counted)."""

    def whole(self) -> bytes | None:
        """The whole body if all of it has arrived and none was read; else None. Reads it."""

    async def read(self) -> bytes:
        """The next piece, b"" at its clean end. Raises FaultError: too large, too slow, malformed, client gone."""

    def limit(self, maximum: int) -> None:
        """Lower or raise the number of bytes this body may have; reading past it raises BODY_TOO_LARGE."""


class ResponseSink(Protocol):
    """Where the answer goes. Calls do not suspend; `drain` does, while the client reads slower than we write."""

    @property
    def started(self) -> bool: ...

    @property
    def paused(self) -> bool: ...

    @property
    def sent(self) -> int:
        """Body bytes written so far."""

    def inform(self, status: int, headers: list[Header]) -> None:
        """Send an interim answer (1xx)."""

    def start(self, status: int, headers: list[Header]) -> None:
        """The final head. Framing is the sink's: Content-Length in `headers` is kept, otherwise chunked or close."""

    def write(self, data: bytes) -> None: ...

    def finish(self) -> None:
        """The clean end of the body."""

    def abort(self) -> None:
        """The answer cannot be completed: make the client see a cut transfer, never a clean end."""

    async def drain(self) -> None: ...

    def tunnel(self) -> Tunnel:
        """After `start(101, ...)`: the raw connection to the client."""


class Tunnel(Protocol):
    """A raw two-way byte stream, after an upgrade."""

    async def read(self) -> bytes:
        """Next bytes, b"" when the other side has closed."""

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...

    def close(self) -> None: ...


class UpstreamResponse(Protocol):
    """A target's answer: its head at once, its body as it arrives."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> list[Header]:
        """End-to-end headers: hop-by-hop ones and framing removed, Content-Length kept when it is certain."""

    def take(self) -> tuple[bytes, bool]:
        """What has arrived and was not read yet, and whether that is the clean end. Never suspends."""

    async def read(self) -> bytes:
        """The next piece, b"" at the clean end. Raises FaultError when the body is cut or too slow."""

    def close(self) -> None:
        """Always called. Gives the connection back when the exchange on it is wholly over; otherwise ends it."""

    def tunnel(self) -> Tunnel:
        """After a 101: the raw connection to the target."""


class UpstreamTransport(Protocol):
    """Sends one request to one target. Raises FaultError when no response head arrived."""

    async def send(self, target: Target, request: UpstreamRequest) -> UpstreamResponse: ...

    async def close(self) -> None: ...


Verdict = Denial | Respond | None


class Guard(Protocol):
    """An admission check compiled for one route. `phase` is its word in metrics, trace and docs."""

    phase: str

    def admit(self, exchange: Exchange) -> Verdict | Awaitable[Verdict]:
        """None lets the exchange go on; a Denial refuses it; a Respond answers it here. An awaitable is returned only when the guard really has to wait."""


class Observer(Protocol):
    """Sees each exchange once, when it is over. Must not raise, must not block, must not keep the exchange."""

    def closed(self, exchange: Exchange) -> None: ...


class EventSink(Protocol):
    """Takes what operators want to hear of (a breaker opened, a target was ejected). Never blocks; drops and counts."""

    def publish(self, kind: str, subject: str, data: dict[str, object]) -> None: ...


class Clock(Protocol):
    """The two clocks. Read once per exchange."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""

    def unix(self) -> float:
        """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer that the gateway gives itself."""

    status: int
    headers: tuple[Header, ...]
    body: bytes
    close: bool = False


class Refusals(Protocol):
    """Turns a refusal or a fault into an answer. The adapter behind it is the only place that knows status codes."""

    def deny(self, denial: Denial, request_id: str) -> Answer: ...

    def respond(self, respond: Respond, request_id: str) -> Answer: ...

    def fail(self, fault: Fault, request_id: str) -> Answer: ...


class Gateway(Protocol):
    """What a front door calls for each request (`forward.Forwarder`)."""

    async def handle(self, head: RequestHead, body: RequestBody, sink: ResponseSink) -> None: ...
