"""Request bodies that a policy has looked at: held whole, or their beginning held and the rest still to come."""

from __future__ import annotations

from typing import Final

from spork.application.exchange.exchange import Exchange
from spork.application.exchange.replay import ReplayBody
from spork.application.kernel.streams import RequestBody

#: Bytes of a request body that is waited for before anything is taken that others need: a place, a connection.
SMALL: Final = 65536


class HeldBody:
    """`RequestBody` over bytes that are here. `whole` answers again and again.

    `wire` is what the client sent, which fingerprints and signatures are about; `plain` the same without its content
    coding once somebody decoded it. `replace` changes what the target gets: retries, hedges and mirrors send that, too.
    """

    __slots__ = ("_left", "_sent", "plain", "wire")

    def __init__(self, wire: bytes) -> None:
        self.wire = wire
        self.plain: bytes | None = None
        self._sent = wire
        self._left: bytes = wire

    @property
    def length(self) -> int:
        return len(self._sent)

    @property
    def received(self) -> int:
        return len(self.wire)

    def whole(self) -> bytes:
        return self._sent

    async def read(self) -> bytes:
        piece, self._left = self._left, b""
        return piece

    def limit(self, maximum: int) -> None:
        """Nothing more comes."""

    def replace(self, sent: bytes) -> None:
        """Send these bytes instead."""
        self._sent = self._left = sent


class BegunBody:
    """`RequestBody` whose first pieces were read already; they are read again before the rest."""

    __slots__ = ("_body", "_pieces")

    def __init__(self, pieces: list[bytes], body: RequestBody) -> None:
        self._pieces = pieces
        self._body = body

    @property
    def length(self) -> int | None:
        return self._body.length

    @property
    def received(self) -> int:
        return self._body.received

    def whole(self) -> bytes | None:
        return None

    async def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else await self._body.read()

    def limit(self, maximum: int) -> None:
        self._body.limit(maximum)


def held(exchange: Exchange) -> bytes | None:
    """The body, if all of it is here already. It stays on the exchange for those who come after."""
    body = exchange.body
    if body.length == 0:
        return b""
    whole = body.whole()
    if whole is not None and not isinstance(body, HeldBody):
        exchange.body = HeldBody(whole)
    return whole


async def hold(exchange: Exchange, maximum: int) -> bytes | None:
    """Wait for the body and hold it, if it has no more than `maximum` bytes; else None, and it streams on from its
    beginning. Raises FaultError as reading does."""
    whole = held(exchange)
    if whole is not None:
        return whole if len(whole) <= maximum else None
    body = exchange.body
    if body.length is not None and body.length > maximum:
        return None
    pieces: list[bytes] = []
    size = 0
    while size <= maximum:
        piece = await body.read()
        if not piece:
            whole = b"".join(pieces)
            exchange.body = HeldBody(whole)
            return whole
        pieces.append(piece)
        size += len(piece)
    exchange.body = BegunBody(pieces, body)
    return None


def awaited(body: RequestBody) -> bool:
    """Whether a small body is still on its way: nothing that others need is taken before it is here."""
    length = body.length
    return length is not None and body.received < length <= SMALL


async def at_hand(body: RequestBody) -> RequestBody | bytes:
    """A small body once it has arrived. Raises FaultError as reading does."""
    whole = body.whole()
    if whole is not None:
        return whole
    pieces = []
    while piece := await body.read():
        pieces.append(piece)
    if isinstance(body, ReplayBody):
        body.rewind()
        return body
    return b"".join(pieces)
