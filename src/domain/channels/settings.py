"""What an operator says about channels, in the domain's own types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from spork.domain.channels.history import HistoryBounds
from spork.domain.channels.rules import ChannelRule

#: What becomes of a subscriber that reads slower than events come.
DROP_CONNECTION: Final = "drop_connection"
DROP_OLDEST: Final = "drop_oldest"
#: The ways in, by the word that routes of channels carry.
MERCURE: Final = "mercure"
PUSHER: Final = "pusher"
PUSHER_API: Final = "pusher_api"
PERSONAL: Final = "personal"


@dataclass(frozen=True, slots=True)
class PusherApp:
    """One Pusher application: clients know `key`, servers `secret`."""

    path: str = "/app"
    app_id: str = "spork"
    key: str = ""
    secret: str = ""


@dataclass(frozen=True, slots=True)
class SlowBounds:
    """What may wait for one subscriber: `queue_bytes` and `events`; then what `then` says."""

    queue_bytes: int = 1024 * 1024
    events: int = 1000
    then: str = DROP_CONNECTION


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """Channels of a gateway. Paths are empty, and `pusher` None, where a way in is off. Times in seconds, sizes in bytes."""

    mercure: str = "/.well-known/mercure"
    pusher: PusherApp | None = None
    #: A path with one parameter, and the topic that a socket opened there hears.
    personal: str = ""
    personal_topic: str = ""
    history: HistoryBounds = HistoryBounds()
    event_bytes: int = 64 * 1024
    slow: SlowBounds = SlowBounds()
    rules: tuple[ChannelRule, ...] = ()
    origins: tuple[str, ...] = ()
    cookie: str = "__Secure-mercure_access_token"
    heartbeat: float = 15.0
    lifetime: float = 0.0
    legacy: bool = False
    #: What publishing does while the shared store is away: `deny` answers 503, `local` tells this node's subscribers.
    on_store_error: str = "deny"
