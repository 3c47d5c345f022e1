"""The threat screen on a route: path, query, some headers and small bodies, only observed or refused."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Iterator

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.exchange.codings import Codings
from spork.application.exchange.exchange import NO_FIELDS, Exchange, Verdict
from spork.application.exchange.reading import BodyReader, Read
from spork.application.guards.explaining import explained
from spork.application.guards.policy import Policy
from spork.application.kernel.events import EventSink
from spork.application.views import GuardVerdict
from spork.domain.http.head import Headers
from spork.domain.outcomes import Denial
from spork.domain.security.threat_rules import Hit, Screen, harmless, harmless_path, texts_of_query

REFUSED = Denial("screened", "The request looks like an attack.")

#: Headers that applications read and attackers fill; the protocol's own have a grammar and are full of signs.
_HEADERS = frozenset((b"user-agent", b"referer", b"cookie", b"x-forwarded-host", b"x-original-url", b"x-api-version"))
_TEXTS = (b"application/json", b"application/x-www-form-urlencoded", b"text/plain", b"application/graphql")


class ScreenGuard:
    """`block` refuses what a rule matches; otherwise it is only noted: `Exchange.threat_rule` and an event say what.

    A body of more than `maximum` decoded bytes passes unseen: this is a net for the common case, and looking takes time.
    One in a coding that cannot be taken off is refused where matches are, for it could hide any of them.
    """

    phase = "screen"
    response_fields = NO_FIELDS

    def __init__(
        self,
        screen: Screen,
        block: bool,
        events: EventSink | None = None,
        maximum: int = 16 * 1024,
        bodies: BodyReader | None = None,
    ) -> None:
        self._look = screen.look
        self._block = block
        self._events = events
        self._maximum = maximum
        self._bodies = bodies or BodyReader(Codings())

    def admit(self, exchange: Exchange) -> Verdict | Awaitable[Verdict]:
        hit = self._head(exchange)
        if hit is not None:
            return self._found(exchange, hit)
        kind = content_type(exchange.head.headers)
        length = exchange.body.length
        if length == 0 or kind not in _TEXTS or (length is not None and length > self._maximum):
            return None
        read = self._bodies.read(exchange, self._maximum)
        if read is None or isinstance(read, bytes | Denial):
            return self._body(exchange, read, kind)
        return self._later(exchange, read, kind)

    async def _later(self, exchange: Exchange, read: Awaitable[Read], kind: bytes) -> Verdict:
        return self._body(exchange, await read, kind)

    def explain(self, exchange: Exchange) -> GuardVerdict:
        hit = self._head(exchange)
        if hit is None:
            return GuardVerdict(self.phase, "pass", "no rule matches the head; a body is screened when it comes")
        where = f"{hit.rule} in the {hit.place}"
        return explained(self.phase, REFUSED if self._block else None, f"only observed: {where}", where)

    def _head(self, exchange: Exchange) -> Hit | None:
        head = exchange.head
        if not harmless_path(head.path) and (hit := self._look(head.path.decode("latin-1"), "path")) is not None:
            return hit
        if head.query:
            for text in texts_of_query(head.query):
                if (hit := self._look(text, "query")) is not None:
                    return hit
        for name, value in head.headers:
            if name in _HEADERS and (hit := self._look(value.decode("latin-1"), "header")) is not None:
                return hit
        return None

    def _body(self, exchange: Exchange, whole: Read, kind: bytes) -> Verdict:
        if whole is None:
            return None
        if isinstance(whole, Denial):
            return whole if self._block else None
        for text in texts_of_body(whole, kind):
            if (hit := self._look(text, "body")) is not None:
                return self._found(exchange, hit)
        return None

    def _found(self, exchange: Exchange, hit: Hit) -> Verdict:
        exchange.threat_rule = hit.rule
        if self._events is not None:
            outcome = "refused" if self._block else "observed"
            said: dict[str, object] = {"outcome": outcome, "detail": f"{hit.rule} in the {hit.place}"}
            self._events.publish("request.screened", exchange.client, said)
        return REFUSED if self._block else None


def content_type(headers: Headers) -> bytes:
    """The media type without its parameters, lower-case; a `+json` type counts as JSON."""
    for name, value in headers:
        if name == b"content-type":
            kind = value.partition(b";")[0].strip().lower()
            return b"application/json" if kind.endswith(b"+json") else kind
    return b""


def texts_of_body(whole: bytes, kind: bytes) -> Iterator[str]:
    """The texts in a body that could be attacks: strings of a JSON document, fields of a form, else the whole of it."""
    if kind == b"application/x-www-form-urlencoded":
        yield from texts_of_query(whole)
        return
    if kind == b"application/json":
        try:
            document = json.loads(whole)
        except (ValueError, RecursionError):
            pass
        else:
            yield from _strings(document)
            return
    yield whole.decode("utf-8", "replace")


def _strings(document: object) -> Iterator[str]:
    """Every string in a JSON document, names included, without recursion."""
    waiting = [document]
    while waiting:
        found = waiting.pop()
        if isinstance(found, str):
            if not harmless(found.encode("utf-8", "replace")):
                yield found
        elif isinstance(found, dict):
            waiting.extend(found)
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)


class ScreenPolicy(Policy):
    """`security: {screen, screen_bytes}` of routes."""

    phase = "screen"

    def __init__(self, codings: Codings, screen: Screen | None = None, events: EventSink | None = None) -> None:
        self._codings = codings
        self._screen = screen or Screen()
        self._events = events

    def compile(self, route: RouteConfig, configuration: Configuration) -> ScreenGuard | None:
        policy = route.security
        if policy is None or policy.screen == "off":
            return None
        bodies = BodyReader(self._codings, route.decode)
        return ScreenGuard(self._screen, policy.screen == "block", self._events, policy.screen_bytes, bodies)
