"""Bodies, answers and raw connections as they pass: ports of every front door and transport."""

from __future__ import annotations

from typing import Protocol

from spork.domain.http.head import Header


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
    """A raw two-way byte stream, after an upgrade. `drain_code` is the close code of a gateway that goes."""

    drain_code: int

    @property
    def paused(self) -> bool:
        """Whether the other side takes less than it is sent: `drain` would wait."""

    async def read(self) -> bytes:
        """Next bytes, b"" when the other side has closed."""

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...

    def go_away(self, code: int = 0, text: str = "") -> None:
        """Say goodbye with a WebSocket Close frame between two frames, then `read` answers b"". 0 is `drain_code`.

        A tunnel that follows no frames merely closes."""

    def close(self) -> None: ...
