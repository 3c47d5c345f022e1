"""Response sinks that stand in front of another one: what each stage of an answer is made of."""

from __future__ import annotations

from spork.application.kernel.streams import ResponseSink, Tunnel
from spork.domain.http.head import Header


class PassingSink:
    """`ResponseSink` that hands everything on to `inner`; stages override what they change."""

    def __init__(self, inner: ResponseSink) -> None:
        self.inner = inner

    @property
    def started(self) -> bool:
        return self.inner.started

    @property
    def paused(self) -> bool:
        return self.inner.paused

    @property
    def sent(self) -> int:
        return self.inner.sent

    def inform(self, status: int, headers: list[Header]) -> None:
        self.inner.inform(status, headers)

    def start(self, status: int, headers: list[Header]) -> None:
        self.inner.start(status, headers)

    def write(self, data: bytes) -> None:
        self.inner.write(data)

    def finish(self) -> None:
        self.inner.finish()

    def abort(self) -> None:
        self.inner.abort()

    async def drain(self) -> None:
        await self.inner.drain()

    def tunnel(self) -> Tunnel:
        return self.inner.tunnel()
