"""graphql-transport-ws as the gateway between follows it: what a client may say when, and which operations are open.

Protocol of graphql-ws (enisdenjo/graphql-ws, PROTOCOL.md). Nothing here reads JSON or judges operations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

SUBPROTOCOL: Final = b"graphql-transport-ws"
BAD_MESSAGE: Final = 4400
UNAUTHORIZED: Final = 4401
SAME_ID: Final = 4409
INIT_TWICE: Final = 4429
#: The longest id of an operation.
_MOST_ID: Final = 256


class Close(NamedTuple):
    """The socket ends with this code and these words."""

    code: int
    text: str


class Subscribe(NamedTuple):
    """An operation begins; its payload is to be judged."""

    id: str
    payload: dict[str, Any]


class Complete(NamedTuple):
    """The client has enough of an operation."""

    id: str


class Conversation:
    """One socket's state. `client` and `server` take messages in the order in which they are sent."""

    __slots__ = ("acknowledged", "initialised", "open")

    def __init__(self) -> None:
        self.initialised = False
        self.acknowledged = False
        self.open: set[str] = set()

    def client(self, message: Any) -> Close | Subscribe | Complete | None:
        """What a client's message asks for; None for one that simply goes on."""
        if not isinstance(message, dict):
            return Close(BAD_MESSAGE, "Invalid message received")
        kind = message.get("type")
        if kind in ("ping", "pong"):
            return None
        if kind == "connection_init":
            if self.initialised:
                return Close(INIT_TWICE, "Too many initialisation requests")
            self.initialised = True
            return None
        operation = message.get("id")
        if not isinstance(operation, str) or not 0 < len(operation) <= _MOST_ID:
            return Close(BAD_MESSAGE, "Invalid message received")
        if kind == "complete":
            return Complete(operation)
        payload = message.get("payload")
        if kind != "subscribe" or not isinstance(payload, dict):
            return Close(BAD_MESSAGE, "Invalid message received")
        if not self.acknowledged:
            return Close(UNAUTHORIZED, "Unauthorized")
        if operation in self.open:
            return Close(SAME_ID, f"Subscriber for {operation} already exists")
        return Subscribe(operation, payload)

    def server(self, message: Mapping[str, Any]) -> str:
        """The id of the operation that a server's message ends; "" when it ends none."""
        kind = message.get("type")
        if kind == "connection_ack":
            self.acknowledged = True
        elif kind in ("complete", "error"):
            operation = message.get("id")
            if isinstance(operation, str) and operation in self.open:
                return operation
        return ""
