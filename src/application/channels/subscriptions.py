"""Active subscriptions of the Mercure hub: events when one begins or ends, and the API that lists them.

A topic's subscriptions are told and listed where its rule says `presence`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote, unquote

from spork.application.channels.access import Access
from spork.application.channels.door import NO_SUCH, NOT_ENOUGH, UNAUTHENTICATED, UNAVAILABLE, Door, Ground, local
from spork.application.channels.ports import BrokerGone, Member
from spork.application.exchange.exchange import Exchange
from spork.application.kernel.tasks import now_or_later
from spork.domain.channels.events import ChannelEvent
from spork.domain.channels.grants import payload_of
from spork.domain.channels.history import EARLIEST
from spork.domain.channels.settings import MERCURE
from spork.domain.channels.topics import Matcher

#: How a member's place begins that is a subscription; its type and text follow.
PLACE: Final = "mercure:"


class Subscriptions:
    """Who subscribes to what, fleet-wide."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def begin(self, subscriber: str, access: Access, matchers: Sequence[Matcher]) -> list[Member]:
        """Tell of the subscriptions that are to be told of; what `end` takes. A store that is away costs the telling only."""
        told: list[Member] = []
        for each in matchers:
            if self._ground.rules.presence(each.text):
                payload = payload_of(access.grants, each.text)
                info = "" if payload is None else json.dumps(payload, separators=(",", ":"))
                member = Member(f"{PLACE}{each.kind}:{each.text}", subscriber, subscriber, info)
                told.append(member)
                await self._tell(member, True)
        return told

    async def end(self, told: Sequence[Member]) -> None:
        for member in told:
            await self._tell(member, False)

    async def _tell(self, member: Member, active: bool) -> None:
        ground = self._ground
        broker = ground.hub.broker
        try:
            await now_or_later(broker.enter(member) if active else broker.leave(member))
            await now_or_later(broker.publish(self.news(member, active)))
        except BrokerGone:
            ground.hub.failures += 1

    def news(self, member: Member, active: bool) -> ChannelEvent:
        """The update that tells of a subscription."""
        ground = self._ground
        document = self._document(member, active)
        data = json.dumps(document, separators=(",", ":"))
        return ChannelEvent(
            (document["id"],), data, f"urn:uuid:{ground.number()}", ground.unix(), MERCURE, private=True
        )

    def _document(self, member: Member, active: bool = True) -> dict[str, Any]:
        kind, _, text = member.place[len(PLACE) :].partition(":")
        document: dict[str, Any] = {
            "id": f"{self._base}/{kind}/{quote(text, safe='')}/{quote(member.user, safe='')}",
            "type": "subscription",
            "match_type": kind,
            "match": text,
            "subscriber": member.user,
            "active": active,
        }
        if member.info:
            document["payload"] = json.loads(member.info)
        return document

    @property
    def _base(self) -> str:
        return f"{self._ground.settings.mercure}/subscriptions"

    # ------------------------------------------------------------------------------------------------------------- API

    async def serve(self, door: Door, exchange: Exchange, access: Access, path: str) -> None:
        """Answer a request below the hub's path."""
        rest = path[len(self._base) :]
        if not path.startswith(self._base) or (rest and not rest.startswith("/")) or exchange.head.method == "POST":
            return door.answer_verdict(exchange, NO_SUCH)
        if not access.may_read(path):
            return door.answer_verdict(exchange, UNAUTHENTICATED if exchange.principal is None else NOT_ENOUGH)
        parts = [unquote(part) for part in rest.split("/")[1:]]
        prefix = PLACE if len(parts) < 2 else f"{PLACE}{parts[0]}:{parts[1]}"
        broker = self._ground.hub.broker
        try:
            found = await now_or_later(broker.everybody(prefix) if len(parts) < 2 else broker.members(prefix))
        except BrokerGone:
            return door.answer_verdict(exchange, UNAVAILABLE)
        if len(parts) == 3:
            found = [each for each in found if each.user == parts[2]]
            if not found:
                return door.answer_verdict(exchange, NO_SUCH)
            document = self._document(found[0])
        elif len(parts) in (0, 2):
            listed = [self._document(each) for each in found]
            document = {"id": path, "type": "subscriptions", "subscriptions": listed}
        else:
            return door.answer_verdict(exchange, NO_SUCH)
        last = broker.last or EARLIEST
        link = f'<{self._ground.settings.mercure}>; rel="mercure"; last-event-id="{quote(last, safe=":-#/._~")}"'
        more = {b"link": f'{link}; type="mercure"; content-type="application/json"'.encode("ascii")}
        body = json.dumps(document).encode("utf-8")
        return door.answer_verdict(exchange, local("channel", 200, b"application/json", body, more))
