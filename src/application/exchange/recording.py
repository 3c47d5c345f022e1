"""Answers as they pass, kept to be given again."""

from __future__ import annotations

from spork.application.exchange.sinks import PassingSink
from spork.application.kernel.streams import ResponseSink
from spork.domain.http.head import Header

#: Fields of one delivery, not of the answer.
_NOT_KEPT = frozenset((b"date", b"x-request-id", b"connection", b"content-length", b"transfer-encoding", b"via"))


class KeepingSink(PassingSink):
    """`ports.ResponseSink` in front of another one that keeps what passes, up to `most` body bytes."""

    def __init__(self, sink: ResponseSink, most: int) -> None:
        super().__init__(sink)
        self._most = most
        self._kept: list[bytes] | None = []
        self._size = 0
        self.status = 0
        self.headers: tuple[Header, ...] = ()
        self.complete = False

    @property
    def body(self) -> bytes | None:
        """The whole body once it is complete; None when there was more than is kept."""
        return b"".join(self._kept) if self.complete and self._kept is not None else None

    def start(self, status: int, headers: list[Header]) -> None:
        self.status = status
        self.headers = tuple(header for header in headers if header[0] not in _NOT_KEPT)
        self.inner.start(status, headers)

    def write(self, data: bytes) -> None:
        if self._kept is not None and data:
            self._size += len(data)
            if self._size > self._most:
                self._kept = None
            else:
                self._kept.append(bytes(data))
        self.inner.write(data)

    def finish(self) -> None:
        self.complete = True
        self.inner.finish()
