"""The sink of a decision: the same answer, in the statuses and fields that the asking front can pass on."""

from __future__ import annotations

from typing import Final

from spork.application.exchange.sinks import PassingSink
from spork.application.kernel.streams import ResponseSink
from spork.domain.decisions.fronts import STATUS_FIELD
from spork.domain.http.head import Header

#: nginx makes 500 of every other refusal (ngx_http_auth_request_module); the true status then stands in a field.
_NGINX: Final = frozenset((200, 401, 403))
_NO_STORE: Final = (b"cache-control", b"no-store")


class DecisionSink(PassingSink):
    """Writes to `sink` what `front` understands. A decision must not be kept: revoking is the point of asking."""

    def __init__(self, sink: ResponseSink, front: str) -> None:
        super().__init__(sink)
        self._few = front == "nginx"

    def inform(self, status: int, headers: list[Header]) -> None:
        """Interim answers have no place in a decision."""

    def start(self, status: int, headers: list[Header]) -> None:
        # A refusal that closes the client's connection says nothing about the front's.
        told = [header for header in headers if header[0] not in (b"cache-control", b"connection")]
        told += (_NO_STORE, (STATUS_FIELD, b"%d" % status))
        self.inner.start(status if not self._few or status in _NGINX else 403, told)
