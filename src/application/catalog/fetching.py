"""Documents asked of upstreams, through the pools and circuits that requests use."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Final

from spork.application.catalog.ports import MOST_BYTES, Fetched, Unfetched
from spork.application.kernel.clock import Clock
from spork.application.kernel.faults import FaultError
from spork.application.upstreams.target import LiveTarget
from spork.application.upstreams.transport import UpstreamRequest, UpstreamResponse, UpstreamTransport
from spork.application.upstreams.upstream import LiveUpstream
from spork.domain.http.head import Header, RequestHead
from spork.domain.identity.tokens import Principal
from spork.domain.upstreams.circuit import CallResult, Open, result_of_fault

#: The longest a document may take, seconds.
LONGEST: Final = 15.0
_ASKED: Final[tuple[Header, ...]] = (
    (b"accept", b"application/vnd.oai.openapi+json, application/json, application/yaml;q=0.9, */*;q=0.5"),
    (b"accept-encoding", b"identity"),
    (b"user-agent", b"openapi"),
)


class _NoCaller:
    """Nobody's request, as balancing sees it."""

    def __init__(self, path: bytes) -> None:
        self.head = RequestHead("GET", path, None, (), "http", b"")
        self.client = ""
        self.principal: Principal | None = None


class PooledFetcher:
    """Implements DocumentFetcher."""

    def __init__(
        self,
        upstreams: Callable[[], Mapping[str, LiveUpstream]],
        transport_of: Callable[[LiveUpstream], UpstreamTransport],
        clock: Clock,
    ) -> None:
        self._upstreams = upstreams
        self._transport_of = transport_of
        self._clock = clock

    async def fetch(self, upstream: str, path: str, etag: str = "") -> Fetched:
        live = self._upstreams().get(upstream)
        if live is None:
            raise Unfetched("there is no such upstream")
        raw = path.encode("ascii")
        began = self._clock.monotonic()
        granted = live.admit(_NoCaller(raw), began)
        if granted is None:
            raise Unfetched("no target is available")
        if isinstance(granted, Open):
            raise Unfetched("its circuit is open")
        target, permit = granted
        result = CallResult.IGNORED
        try:
            response = await self._transport_of(live).send(
                target.declared, self._request(live, target, raw, etag, began)
            )
            result = live.judge(response.status)
            with contextlib.closing(response):
                return await _answer(response)
        except FaultError as error:
            result = result_of_fault(error.fault)
            raise Unfetched(f"the target gave no answer ({error.fault.kind.value})") from error
        finally:
            now = self._clock.monotonic()
            live.settle(target, permit, result, now - began, now)

    @staticmethod
    def _request(live: LiveUpstream, target: LiveTarget, path: bytes, etag: str, now: float) -> UpstreamRequest:
        headers: list[Header] = [(b"host", target.authority), *_ASKED]
        if etag:
            headers.append((b"if-none-match", etag.encode("latin-1", "replace")))
        if live.request_edit is not None:
            headers = live.request_edit.apply(headers)
        declared = live.declared
        return UpstreamRequest(
            "GET",
            target.declared.base_path + path,
            headers,
            None,
            declared.timeouts,
            now + min(LONGEST, declared.timeouts.total),
            pool=declared.pool,
        )


async def _answer(response: UpstreamResponse) -> Fetched:
    fields = dict(reversed(response.headers))
    etag = fields.get(b"etag", b"").decode("latin-1")
    if response.status == 304:
        return Fetched(None, etag)
    if response.status != 200:
        raise Unfetched(f"it answered {response.status}")
    if fields.get(b"content-encoding", b"identity") not in (b"", b"identity"):
        raise Unfetched("it is compressed although it was asked for as it is")
    piece, ended = response.take()
    body = bytearray(piece)
    while not ended and (piece := await response.read()):
        body += piece
        if len(body) > MOST_BYTES:
            raise Unfetched(f"it is larger than {MOST_BYTES // 1024 // 1024} MiB")
    return Fetched(bytes(body), etag)
