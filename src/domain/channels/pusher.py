"""The Pusher protocol, version 7: names of channels, what is signed and how, and messages as JSON texts.

Source: pusher.com/docs/channels/library_auth_reference (WebSocket protocol; REST API; auth signatures).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from spork.domain.channels.events import ChannelEvent
from spork.domain.http.websocket_messages import text_frame

#: Close codes: 4000 to 4099 do not come back, 4100 to 4199 come back after a while, 4200 to 4299 at once.
UNKNOWN_APP: Final = 4001
OVER_QUOTA: Final = 4004
UNAUTHORIZED: Final = 4009
OVER_CAPACITY: Final = 4100
RECONNECT: Final = 4200
NO_PONG: Final = 4201
#: A client event too many; the connection stays.
CLIENT_EVENTS: Final = 4301
ACTIVITY_TIMEOUT: Final = 120
#: Seconds that the clock of a server may be away from ours in a signed request.
CLOCKS_APART: Final = 600
_CHANNEL: Final = re.compile(r"[-a-zA-Z0-9_=@,.;:/~]{1,200}")
_SOCKET: Final = re.compile(r"\d+\.\d+")
#: Name of an event that was published without one (by Mercure).
MESSAGE: Final = "message"


def acceptable(channel: object) -> bool:
    """Whether this may be a channel's name."""
    return isinstance(channel, str) and _CHANNEL.fullmatch(channel) is not None


def is_private(channel: str) -> bool:
    return channel.startswith(("private-", "presence-"))


def is_presence(channel: str) -> bool:
    return channel.startswith("presence-")


def is_cache(channel: str) -> bool:
    """Whether its last event is told to whoever subscribes."""
    return channel.startswith(("cache-", "private-cache-", "presence-cache-"))


def is_socket_id(text: object) -> bool:
    return isinstance(text, str) and _SOCKET.fullmatch(text) is not None


def signature(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def subscription_is_signed(key: str, secret: str, auth: str, socket_id: str, channel: str, data: str = "") -> bool:
    """Whether `auth` (`KEY:HMAC`) lets this socket into this channel with this channel_data."""
    text = f"{socket_id}:{channel}:{data}" if data else f"{socket_id}:{channel}"
    wanted = f"{key}:{signature(secret, text)}"
    return hmac.compare_digest(auth.encode("utf-8", "replace"), wanted.encode())


def request_fault(
    secret: str, key: str, method: str, path: str, query: Sequence[tuple[str, str]], body: bytes, now: float
) -> str:
    """Why a signed request of a server is not good, as a slug; "" when it is. Every parameter stands once."""
    given = dict(query)
    if len(given) != len(query):
        return "ambiguous"
    if given.get("auth_key") != key or given.get("auth_version") != "1.0":
        return "unknown_key"
    stamp = given.get("auth_timestamp", "")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 12) or abs(now - int(stamp)) > CLOCKS_APART:
        return "clock"
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
    if body and not hmac.compare_digest(given.get("body_md5", "").encode(), digest.encode()):
        return "body"
    signed = sorted((name.lower(), value) for name, value in query if name != "auth_signature")
    text = f"{method}\n{path}\n" + "&".join(f"{name}={value}" for name, value in signed)
    shown = given.get("auth_signature", "").encode("utf-8", "replace")
    return "" if hmac.compare_digest(shown, signature(secret, text).encode()) else "signature"


# ----------------------------------------------------------------------------------------------------------- messages

_dumps: Final[Callable[[Any], str]] = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def message(event: str, data: Mapping[str, Any] | str | None = None, channel: str = "", user: str = "") -> bytes:
    """A message in its frame; `data` that is no text is put in as JSON text, as clients expect it."""
    made: dict[str, Any] = {"event": event}
    if channel:
        made["channel"] = channel
    if data is not None:
        made["data"] = data if isinstance(data, str) else _dumps(data)
    if user:
        made["user_id"] = user
    return text_frame(_dumps(made).encode("utf-8", "replace"))


def subscription_error(channel: str, text: str) -> bytes:
    """A subscription that was refused; the connection stays."""
    data = {"type": "AuthError", "error": text, "status": 401}
    return text_frame(_dumps({"event": "pusher:subscription_error", "channel": channel, "data": data}).encode())


def error(code: int, text: str) -> bytes:
    """An error; its data is an object, not a text."""
    return text_frame(_dumps({"event": "pusher:error", "data": {"message": text, "code": code}}).encode())


def event_frame(event: ChannelEvent, channel: str) -> bytes:
    """An event of a channel as clients get it. A client event carries who sent it where the channel knows (presence)."""
    return message(event.type or MESSAGE, event.data, channel, event.user)


def presence_of(members: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The `presence` of a subscription: users, each once, with their info as JSON."""
    infos = {user: json.loads(info) if info else None for user, info in members}
    return {"presence": {"ids": list(infos), "hash": infos, "count": len(infos)}}
