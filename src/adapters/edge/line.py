"""What an exchange, a tunnel and an ASGI application know of the connection they are on."""

from __future__ import annotations

from typing import Any

from spork.adapters.edge.edge import Edge, Watched


class RawReader:
    """Who reads a connection after its upgrade: bytes are handed on as they come."""

    def feed(self, data: bytes) -> None:
        """Bytes from the client."""
        raise NotImplementedError

    def feed_eof(self) -> None:
        """The client sends no more."""
        raise NotImplementedError

    def go_away(self) -> None:
        """Say goodbye between two frames, then read as if at the end."""
        raise NotImplementedError

    def close(self) -> None:
        """The exchange is over."""
        raise NotImplementedError


class Line(Watched):
    """The writing side of one client connection. `write_paused` is true while the client reads too slowly."""

    edge: Edge
    server: tuple[str, int | None] | None
    app_state: dict[str, Any]
    mount_scope: dict[str, Any] | None
    write_paused: bool

    def answered(self) -> None:
        """The exchange being served has its whole answer."""
        raise NotImplementedError

    def pause_body(self) -> None:
        """More body has arrived than its reader took."""
        raise NotImplementedError

    def resume_body(self) -> None:
        """The reader took what there was."""
        raise NotImplementedError

    def reset(self) -> None:
        """End the connection so that the client cannot take it for a clean end."""
        raise NotImplementedError

    async def writable(self) -> None:
        """Wait until the client has read enough of what was written."""
        raise NotImplementedError

    def take_over(self) -> bytes:
        """The raw connection is the exchange's from now on; answers the bytes that came behind the request."""
        raise NotImplementedError

    def follow(self, reader: RawReader) -> None:
        """Hand `reader` what comes from now on."""
        raise NotImplementedError

    def end_tunnel(self, lingering: bool) -> None:
        """The exchange is done with the raw connection."""
        raise NotImplementedError
