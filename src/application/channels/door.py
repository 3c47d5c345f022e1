"""What the fronts of channels share: answering a request, and what of the configuration they stand on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from spork.application.channels.access import Access
from spork.application.channels.hub import Hub
from spork.application.channels.ports import BrokerGone
from spork.application.exchange.answers import GatewayResponse
from spork.application.exchange.exchange import Exchange
from spork.application.kernel.clock import Clock
from spork.application.kernel.tasks import now_or_later
from spork.application.live.registry import LiveExchanges
from spork.domain.channels.events import ChannelEvent
from spork.domain.channels.grants import BadGrants, grants_of
from spork.domain.channels.rules import ChannelRules
from spork.domain.channels.settings import ChannelSettings
from spork.domain.channels.topics import EXACT, Matcher, matcher
from spork.domain.http.head import Header
from spork.domain.identity.authorization import challenge
from spork.domain.outcomes import Denial, LocalResponse

UNAUTHENTICATED: Final = Denial(
    "unauthenticated", "A credential is needed.", headers=((b"www-authenticate", b'Bearer realm="spork"'),)
)
NOT_ENOUGH: Final = Denial(
    "insufficient_scope", "The credential does not reach this channel.", headers=challenge("insufficient_scope")
)
BAD_TOKEN: Final = Denial("invalid_credentials", "The credential is not good.", headers=challenge("invalid_token"))
TOO_LARGE: Final = Denial("body_too_large", "The event is larger than this gateway takes.")
UNAVAILABLE: Final = Denial("channels_unavailable", "Events cannot be published right now.", retry_after=1.0)
NO_SUCH: Final = Denial("no_route", "Nothing is served at this address.")


#: Topics whose matcher is remembered.
_MOST_REMEMBERED: Final = 4096


def bad_request(sentence: str) -> Denial:
    return Denial("bad_channel_request", sentence)


class Door(Protocol):
    """What a front needs of the forwarder it stands in."""

    def begin(self, exchange: Exchange, status: int, headers: list[Header]) -> None:
        """Send the head of an answer that the gateway gives itself; its body follows by the exchange's sink."""

    def answer(self, exchange: Exchange, answer: GatewayResponse) -> None: ...

    def answer_verdict(self, exchange: Exchange, verdict: Denial | LocalResponse) -> None: ...


class Ground:
    """What every front stands on. One for each configuration; connections keep the one they began with."""

    def __init__(
        self, settings: ChannelSettings, hub: Hub, live: LiveExchanges, clock: Clock, number: Callable[[], str]
    ) -> None:
        """`number` makes identifiers that nobody can guess."""
        self.settings = settings
        self.rules = ChannelRules(settings.rules)
        self.hub = hub
        self.live = live
        self.unix = clock.unix
        self.monotonic = clock.monotonic
        self.number = number
        self._matchers: dict[str, Matcher] = {}

    def exact(self, topic: str) -> Matcher:
        """The matcher of one topic: the same one for all who ask for it."""
        known = self._matchers.get(topic)
        if known is None:
            if len(self._matchers) >= _MOST_REMEMBERED:
                self._matchers.clear()
            known = self._matchers[topic] = matcher(EXACT, topic, self.settings.mercure or "/")
        return known

    def access(self, exchange: Exchange) -> Access:
        """What the exchange's caller may hear and say. Raises BadGrants."""
        settings = self.settings
        grants = grants_of(exchange.principal, settings.mercure or "/", settings.legacy)
        return Access(self.rules, exchange.principal, grants, exchange.unix)

    def access_or_none(self, exchange: Exchange) -> Access | None:
        """The same; None for a token whose grants cannot be read."""
        try:
            return self.access(exchange)
        except BadGrants:
            return None

    async def publish(self, event: ChannelEvent, front: str) -> bool:
        """Give an event to the fleet; False when it could be told to nobody."""
        hub = self.hub
        try:
            await now_or_later(hub.broker.publish(event))
        except BrokerGone:
            hub.failures += 1
            if self.settings.on_store_error != "local":
                hub.counts.refuse(front, "publish")
                return False
            hub.broker.publish_here(event)
        hub.counts.publish(front)
        return True


def local(
    kind: str, status: int, content_type: bytes, body: bytes, more: Mapping[bytes, bytes] | None = None
) -> LocalResponse:
    """A whole answer of a front; `kind` is its word in logs."""
    headers = ((b"content-type", content_type), (b"cache-control", b"no-store"), *(more or {}).items())
    return LocalResponse(kind, headers, body, status)
