"""The Mercure hub (draft-dunglas-mercure-08): GET subscribes over an event stream, POST publishes.

Beside what a token's authorization details grant stand the operator's rules, which also say who hears public updates.
"""

from __future__ import annotations

import random
from typing import Final
from urllib.parse import parse_qsl

from spork.application.channels.access import Access
from spork.application.channels.door import (
    BAD_TOKEN,
    NOT_ENOUGH,
    TOO_LARGE,
    UNAUTHENTICATED,
    UNAVAILABLE,
    Door,
    Ground,
    bad_request,
    local,
)
from spork.application.channels.ports import Member
from spork.application.channels.stream import EventStream
from spork.application.channels.subscriptions import Subscriptions
from spork.application.exchange.exchange import Exchange, RoutePlan
from spork.application.live.endings import Ending
from spork.application.live.registry import CHANNEL
from spork.domain.channels.events import ChannelEvent
from spork.domain.channels.grants import BadGrants
from spork.domain.channels.history import EARLIEST
from spork.domain.channels.settings import MERCURE
from spork.domain.channels.topics import (
    EVERY,
    EXACT,
    URI_TEMPLATE,
    URL_PATTERN,
    BadTopic,
    Matcher,
    check_text,
    matcher,
    reserved,
)
from spork.domain.http.event_stream import retry_line
from spork.domain.http.head import Header
from spork.domain.outcomes import ANSWERED, Denial, LocalResponse

_PARAMETERS: Final = {"match": EXACT, "match_exact": EXACT, "match_urlpattern": URL_PATTERN}
_MOST_MATCHERS: Final = 100
_MOST_TOPICS: Final = 100
_LAST_ID: Final = b"mercure-last-event-id"
_FORM: Final = b"application/x-www-form-urlencoded"
_HEAD: Final[tuple[Header, ...]] = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)
#: Seconds after which clients come back when the gateway ends a stream, at least and at most.
RETRY: Final = (1.0, 5.0)


class MercureFront:
    """Serves the hub's requests."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    async def serve(self, door: Door, exchange: Exchange, plan: RoutePlan, ground: Ground) -> None:
        """Answer one request under the hub's path."""
        hub = ground.settings.mercure
        path = exchange.head.path.decode("ascii", "replace")
        try:
            access = ground.access(exchange)
        except BadGrants:
            return door.answer_verdict(exchange, BAD_TOKEN)
        if path != hub:
            return await Subscriptions(ground).serve(door, exchange, access, path)
        if exchange.head.method == "POST":
            verdict = await self._publish(exchange, access, ground)
            return door.answer_verdict(exchange, verdict)
        return await self._subscribe(door, exchange, plan, access, ground)

    # ------------------------------------------------------------------------------------------------------- subscribe

    async def _subscribe(self, door: Door, exchange: Exchange, plan: RoutePlan, access: Access, ground: Ground) -> None:
        try:
            matchers, last = _asked(exchange, ground)
        except BadTopic as error:
            return door.answer_verdict(exchange, bad_request(str(error)))
        if all(
            each.exact and not access.may_subscribe(each.text) and not access.may_read(each.text) for each in matchers
        ):
            ground.hub.counts.refuse(MERCURE, "subscribe")
            return door.answer_verdict(exchange, UNAUTHENTICATED if exchange.principal is None else NOT_ENOUGH)
        stream = EventStream(f"urn:uuid:{ground.number()}", exchange.sink, access, ground)
        hub = ground.hub
        hub.subscribe(stream, matchers)  # before what was missed is read: nothing falls between the two
        try:
            await self._hold(door, exchange, plan, stream, matchers, last)
        finally:
            hub.unsubscribe(stream)

    async def _hold(
        self,
        door: Door,
        exchange: Exchange,
        plan: RoutePlan,
        stream: EventStream,
        matchers: tuple[Matcher, ...],
        last: str | None,
    ) -> None:
        """The stream from its head to its end."""
        ground, sink = stream.ground, exchange.sink
        headers = list(_HEAD)
        missed: tuple[ChannelEvent, ...] = ()
        if last is not None:
            replay = ground.hub.broker.after(last)
            missed = replay.events
            headers.append((_LAST_ID, replay.after.encode("utf-8", "replace")))
        door.begin(exchange, 200, headers)
        exchange.outcome = ANSWERED[200]
        sink.write(b"")
        if exchange.head.method == "HEAD":
            return sink.finish()
        live = ground.live
        entry = live.enter(
            CHANNEL, plan.name, exchange.client, exchange.principal, stream.end, ground.settings.lifetime
        )
        active = Subscriptions(ground)
        told: list[Member] = []
        try:
            told = await active.begin(stream.id, stream.access, matchers)
            await stream.run(matchers, missed)
        finally:
            live.leave(entry)
            await active.end(told)
        if stream.ending is not None:
            self._finish(exchange, stream.ending)
        return None

    def _finish(self, exchange: Exchange, ending: Ending) -> None:
        exchange.reason = ending.reason
        if ending.orderly:
            exchange.sink.write(retry_line(self._chance.uniform(*RETRY)))
            exchange.sink.finish()
        else:
            exchange.sink.abort()

    # --------------------------------------------------------------------------------------------------------- publish

    async def _publish(self, exchange: Exchange, access: Access, ground: Ground) -> Denial | LocalResponse:
        content_type = (exchange.head.header(b"content-type") or b"").partition(b";")[0].strip().lower()
        if content_type != _FORM:
            return Denial("unsupported_media_type", "An event is published as application/x-www-form-urlencoded.")
        body = await whole_body(exchange)
        try:
            event = _event(body, ground)
        except BadTopic as error:
            return bad_request(str(error))
        except _TooMuch:
            return TOO_LARGE
        if not all(access.may_publish(topic) for topic in event.topics):
            ground.hub.counts.refuse(MERCURE, "publish")
            return UNAUTHENTICATED if exchange.principal is None else NOT_ENOUGH
        if not await ground.publish(event, MERCURE):
            return UNAVAILABLE
        return local("channel", 200, b"text/plain; charset=utf-8", event.id.encode("utf-8"))


class _TooMuch(Exception):
    """More than an event may have."""


async def whole_body(exchange: Exchange) -> bytes:
    """The whole body; the edge ends one that is larger than the route takes."""
    whole = exchange.body.whole()
    if whole is not None:
        return whole
    pieces = []
    while piece := await exchange.body.read():
        pieces.append(bytes(piece))
    return b"".join(pieces)


def _pairs(data: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(data.decode("ascii"), keep_blank_values=True, encoding="utf-8", errors="strict")
    except (UnicodeDecodeError, ValueError) as error:
        raise BadTopic("the parameters are not UTF-8 and percent-encoded") from error


def _asked(exchange: Exchange, ground: Ground) -> tuple[tuple[Matcher, ...], str | None]:
    """What a subscriber wants to hear, and the id after which. Raises BadTopic."""
    settings = ground.settings
    found: dict[Matcher, None] = {}
    last: str | None = None
    for name, value in _pairs(exchange.head.query or b""):
        if name[:5].lower() == "match":
            kind = _PARAMETERS.get(name)
            if kind is None:
                raise BadTopic(f"there is no parameter {name}")
            found[matcher(kind, value, settings.mercure)] = None
        elif name == "last_event_id":
            last = value if last is None else last
        elif settings.legacy and name == "topic":
            found[matcher(EXACT if value == EVERY else URI_TEMPLATE, value, settings.mercure)] = None
        elif settings.legacy and name in ("Last-Event-ID", "lastEventID"):
            last = value if last is None else last
    if not found:
        raise BadTopic("what is to be heard? add match=TOPIC")
    if len(found) > _MOST_MATCHERS:
        raise BadTopic(f"more than {_MOST_MATCHERS} matchers")
    header = exchange.head.header(b"last-event-id")
    if header is not None:
        last = header.decode("utf-8", "replace")
    return tuple(found), last


def _event(body: bytes, ground: Ground) -> ChannelEvent:
    """The update that a form describes. Raises BadTopic and _TooMuch."""
    topics: list[str] = []
    fields: dict[str, str] = {}
    for name, value in _pairs(body):
        if name == "topic":
            topics.append(value)
        else:
            fields.setdefault(name, value)
    if not topics:
        raise BadTopic("an event needs a topic")
    if len(topics) > _MOST_TOPICS:
        raise _TooMuch
    for topic in topics:
        if not topic or topic == EVERY:
            raise BadTopic("this topic cannot be published on")
        check_text(topic, "a topic")
        if reserved(topic, ground.settings.mercure):
            raise BadTopic("topics under the hub's own path are the hub's")
    data, id, kind, retry = (fields.get(name, "") for name in ("data", "id", "type", "retry"))
    if len(data.encode("utf-8", "replace")) > ground.settings.event_bytes:
        raise _TooMuch
    check_text(id, "the id")
    check_text(kind, "the type")
    if id.startswith("#") or id == EARLIEST:
        raise BadTopic("this id is reserved")
    if kind == MERCURE or kind.startswith("pusher"):
        raise BadTopic("this type is reserved")
    if "retry" in fields and not (retry.isascii() and retry.isdigit() and len(retry) < 10):
        raise BadTopic("retry is a number of milliseconds")
    return ChannelEvent(
        tuple(dict.fromkeys(topics)), data, id or f"urn:uuid:{ground.number()}", ground.unix(), kind,
        int(retry) if retry else None, "private" in fields,
    )  # fmt: skip
