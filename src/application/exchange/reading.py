"""Reading a request body for the policies that look into it: held once, its content coding taken off once, bounded.

Screen, schema, transforms and whatever else reads bodies ask a `BodyReader`; what the first of them had decoded stays on
the held body for the others. What goes on to the target are the bytes the client sent, unless a policy replaces them.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from spork.application.exchange.bodies import HeldBody, held, hold
from spork.application.exchange.codings import CodingError, Codings, TooManyBytes, decoded
from spork.application.exchange.exchange import Exchange
from spork.domain.http.coding import DecodePolicy, codings_of
from spork.domain.outcomes import Denial

BOMB: Final = Denial("body_too_large", "Decoded, the request body is out of all proportion to its size.", close=True)
BROKEN: Final = Denial("bad_request", "The request body is not in the coding that Content-Encoding names.")

#: The plain bytes; None when there are more than asked for; or why the body cannot be read at all.
Read = bytes | Denial | None


class BodyReader:
    """Reads the bodies of one route."""

    def __init__(self, codings: Codings, policy: DecodePolicy | None = None) -> None:
        policy = policy or DecodePolicy()
        self._codings = codings
        self._policy = policy
        offered = ", ".join(name for name in policy.codings if name in codings) or "identity"
        self.refusal = Denial(
            "unsupported_media_type",
            f"The request body may have one of these codings: {offered}.",
            headers=((b"accept-encoding", offered.encode("ascii")),),
        )

    def read(self, exchange: Exchange, maximum: int) -> Read | Awaitable[Read]:
        """The body without its content coding. Waits only when it has not arrived; more than `maximum` decoded bytes,
        or as many coded ones, are None and go on to the target unseen."""
        body = exchange.body
        if body.length == 0:
            return b""
        if isinstance(body, HeldBody) and body.plain is not None:
            return body.plain if len(body.plain) <= maximum else None
        coding = self.coding(exchange)
        if isinstance(coding, Denial):
            return coding
        whole = held(exchange)
        if whole is not None:
            return self._decode(exchange, coding, maximum)
        return self._later(exchange, coding, maximum)

    def coding(self, exchange: Exchange) -> str | Denial:
        """The one coding of the body, "" for none; or the refusal (RFC 9110 15.5.16)."""
        names = codings_of(exchange.head.headers)
        if not names:
            return ""
        if len(names) > 1 or names[0] not in self._policy.codings or names[0] not in self._codings:
            return self.refusal
        return names[0]

    async def _later(self, exchange: Exchange, coding: str, maximum: int) -> Read:
        whole = await hold(exchange, maximum)
        return None if whole is None else self._decode(exchange, coding, maximum)

    def _decode(self, exchange: Exchange, name: str, maximum: int) -> Read:
        body = exchange.body
        if not isinstance(body, HeldBody):  # nothing in it
            return b""
        if not name:
            body.plain = body.wire
            return body.wire if len(body.wire) <= maximum else None
        coding = self._codings.get(name)
        if coding is None:
            return self.refusal
        try:
            body.plain = decoded(body.wire, coding.decode, maximum, self._policy.ratio)
        except TooManyBytes as error:
            return BOMB if error.ratio else None
        except CodingError:
            return BROKEN
        return body.plain
