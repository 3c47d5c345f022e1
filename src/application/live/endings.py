"""Why the gateway ends a live exchange: reason slugs and the WebSocket close codes that tell a client.

Codes 44xx are "HTTP status + 4000", as graphql-ws has them: browsers can read them, and a client knows what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a live exchange ends.

    `reason` is the slug of logs, metrics and views. `code` is the WebSocket close code (RFC 6455 7.4) and `text` its
    reason, at most 123 bytes. After `orderly` ends an event stream is ended between events; otherwise it is cut.
    """

    reason: str
    code: int
    text: str
    orderly: bool = False


EXPIRED: Final = Ending("token_expired", 4401, "token expired")
REVOKED: Final = {
    "token_revoked": Ending("token_revoked", 4401, "token revoked"),
    "session_revoked": Ending("session_revoked", 4401, "session revoked"),
    "key_revoked": Ending("key_revoked", 4401, "key revoked"),
    "subject_revoked": Ending("subject_revoked", 4401, "session revoked"),
}
NOT_ALLOWED: Final = Ending("no_longer_allowed", 4403, "no longer allowed")
BY_OPERATOR: Final = Ending("closed_by_operator", 1001, "closed by an operator")
LIFETIME: Final = Ending("lifetime", 1001, "reconnect", orderly=True)
IDLE: Final = Ending("idle", 1001, "idle")
DRAINING: Final = Ending("draining", 1001, "", orderly=True)
TOO_MANY_MESSAGES: Final = Ending("too_many_messages", 1008, "too many messages")
MESSAGE_TOO_BIG: Final = Ending("message_too_big", 1009, "message too big")
BAD_FRAME: Final = Ending("bad_frame", 1002, "bad frame")
SLOW_CONSUMER: Final = Ending("slow_consumer", 4100, "too slow", orderly=True)
#: A message over graphql-transport-ws that its protocol does not know; the code says which rule.
BAD_OPERATION: Final = Ending("graphql_protocol", 4400, "invalid message received")
TARGET_GONE: Final = Ending("target_gone", 1011, "")

#: Every reason, for the metric's page and checks.
REASONS: Final = tuple(
    dict.fromkeys(
        ending.reason
        for ending in (EXPIRED, *REVOKED.values(), NOT_ALLOWED, BY_OPERATOR, LIFETIME, IDLE, DRAINING,
                       TOO_MANY_MESSAGES, MESSAGE_TOO_BIG, BAD_FRAME, BAD_OPERATION, SLOW_CONSUMER, TARGET_GONE)
    )
)  # fmt: skip
