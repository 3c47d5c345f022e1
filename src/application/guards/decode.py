"""Content codings taken off request bodies before the target gets them (`decode:`)."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.exchange.bodies import HeldBody
from spork.application.exchange.codings import Codings
from spork.application.exchange.exchange import NO_FIELDS, Exchange, Verdict
from spork.application.exchange.reading import BodyReader, Read
from spork.application.guards.policy import Policy
from spork.application.views import GuardVerdict
from spork.domain.outcomes import Denial

_TOO_LARGE: Final = Denial("body_too_large", "Decoded, the request body is larger than this address takes.", close=True)
#: Fields about the coded bytes (RFC 9530 2: Content-Digest is one; Repr-Digest too, of a representation in its coding).
CODED_FIELDS: Final = frozenset((b"content-encoding", b"content-md5", b"content-digest", b"repr-digest"))


class DecodeGuard:
    """Replaces a coded body by the plain one, up to the route's `body_bytes`; a coding that is not taken is a 415."""

    phase = "decode"
    response_fields = NO_FIELDS

    def __init__(self, bodies: BodyReader) -> None:
        self._bodies = bodies

    def admit(self, exchange: Exchange) -> Verdict | Awaitable[Verdict]:
        coding = self._bodies.coding(exchange)
        if not coding or exchange.body.length == 0:
            return None
        if isinstance(coding, Denial):
            return coding
        read = self._bodies.read(exchange, _most(exchange))
        if read is None or isinstance(read, bytes | Denial):
            return self._take(exchange, read)
        return self._later(exchange, read)

    async def _later(self, exchange: Exchange, read: Awaitable[Read]) -> Verdict:
        return self._take(exchange, await read)

    def _take(self, exchange: Exchange, plain: Read) -> Verdict:
        if plain is None:
            return _TOO_LARGE
        if isinstance(plain, Denial):
            return plain
        if isinstance(exchange.body, HeldBody):
            exchange.body.replace(plain)
            exchange.consumed |= CODED_FIELDS
        return None

    def explain(self, exchange: Exchange) -> GuardVerdict:
        coding = self._bodies.coding(exchange)
        if isinstance(coding, Denial):
            return GuardVerdict(self.phase, "refuse", coding.reason)
        return GuardVerdict(
            self.phase, "pass", f"{coding} is taken off the body" if coding else "the body has no coding"
        )


class DecodingPolicy(Policy):
    """`decode` of routes."""

    phase = "decode"

    def __init__(self, codings: Codings) -> None:
        self._codings = codings

    def compile(self, route: RouteConfig, configuration: Configuration) -> DecodeGuard | None:
        return DecodeGuard(BodyReader(self._codings, route.decode)) if route.decode is not None else None


def _most(exchange: Exchange) -> int:
    return exchange.plan.body_bytes if exchange.plan is not None else 0
