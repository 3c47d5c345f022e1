"""The door of a listener that only sends clients on to https."""

from __future__ import annotations

from spork.application.exchange.answers import Gateway
from spork.application.kernel.streams import RequestBody, ResponseSink
from spork.application.pipeline.forwarder import Forwarder
from spork.domain.http.authority import without_port
from spork.domain.http.head import BAD_HOST, RequestHead
from spork.domain.outcomes import Denial, LocalResponse


class HttpsRedirects(Gateway):
    """Answers every request by 308 to the same target over https. `port` is the one that clients reach it at."""

    def __init__(self, forwarder: Forwarder, port: int) -> None:
        self._forwarder = forwarder
        self._port = port

    async def handle(self, head: RequestHead, body: RequestBody, sink: ResponseSink) -> None:
        self._forwarder.answer_without_route(head, body, sink, self._verdict(head))

    def _verdict(self, head: RequestHead) -> LocalResponse | Denial:
        if not head.host:
            return BAD_HOST
        host = without_port(head.host)
        if self._port != 443:
            host += b":%d" % self._port
        target = b"/" if head.path == b"*" else head.target
        return LocalResponse("redirect", ((b"location", b"https://" + host + target),))
