"""Exchanges for tests of guards: a request head with nothing behind it."""

from __future__ import annotations

from typing import Any, cast

from spork.application.configuration.model import Configuration
from spork.application.exchange.exchange import Exchange
from spork.application.kernel.streams import RequestBody
from spork.application.pipeline.compiler import compile_snapshot
from spork.domain.http.head import RequestHead
from tests.tokens import NOW

#: The snapshot of a configuration that says nothing.
NO_ROUTES = compile_snapshot(Configuration(), {}, ())


class Body:
    """A request body that has arrived in these pieces."""

    def __init__(self, *pieces: bytes, length: int | None = -1) -> None:
        self._pieces = [piece for piece in pieces if piece]  # an empty one would be the end
        self._length = sum(map(len, pieces)) if length == -1 else length
        self._received = 0
        self.maximum: int | None = None

    @property
    def length(self) -> int | None:
        return self._length

    @property
    def received(self) -> int:
        return self._received

    def whole(self) -> bytes | None:
        if len(self._pieces) > 1:
            return None
        whole, self._pieces = b"".join(self._pieces), []
        self._received = len(whole)
        return whole

    async def read(self) -> bytes:
        piece = self._pieces.pop(0) if self._pieces else b""
        self._received += len(piece)
        return piece

    def limit(self, maximum: int) -> None:
        self.maximum = maximum


def exchange(
    method: str = "GET",
    path: str = "/",
    headers: dict[str, str] | list[tuple[bytes, bytes]] | None = None,
    *,
    query: bytes | None = None,
    scheme: str = "https",
    host: bytes = b"api.example.com",
    client: str = "192.0.2.1",
    body: RequestBody | None = None,
    now: float = 1000.0,
    unix: float = NOW,
    certificate: dict[str, object] | None = None,
) -> Exchange:
    """An exchange as guards meet it."""
    given = headers if isinstance(headers, list) else [
        (name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()
    ]  # fmt: skip
    head = RequestHead(method, path.encode(), query, tuple(given), scheme, host, peer=client, certificate=certificate)
    nothing = cast(Any, None)
    return Exchange(head, body or Body(), nothing, NO_ROUTES, now, unix)


def bearer(token: bytes) -> dict[str, str]:
    return {"Authorization": "Bearer " + token.decode("latin-1")}
