"""Events as they travel: one object for all who hear it, encoded once for each protocol."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_LINES: Final = re.compile(r"\r\n|\r|\n")


class ChannelEvent:
    """One update of a channel. `topics[0]` is the one it is about, the others lead to it too.

    `private`: only for those who may read one of its topics. `control`: news of the channel itself for the front of this
    name, told to nobody else and kept in no history. `sender` is a connection that does not hear it, `user` who it is there. `at` in Unix seconds.
    """

    __slots__ = (
        "_frames",
        "_sse",
        "at",
        "control",
        "data",
        "id",
        "private",
        "retry",
        "sender",
        "topics",
        "type",
        "user",
    )

    def __init__(
        self,
        topics: tuple[str, ...],
        data: str,
        id: str,
        at: float,
        type: str = "",
        retry: int | None = None,
        private: bool = False,
        control: str = "",
        sender: str = "",
        user: str = "",
    ) -> None:
        self.topics = topics
        self.data = data
        self.id = id
        self.at = at
        self.type = type
        self.retry = retry
        self.private = private
        self.control = control
        self.sender = sender
        self.user = user
        self._sse = b""
        self._frames: dict[str, bytes] | None = None

    def __repr__(self) -> str:
        return f"<ChannelEvent {self.id} on {self.topics[0]!r}>"

    @property
    def size(self) -> int:
        """Bytes it takes in a history, its names and an overhead counted."""
        return 400 + len(self.data) + sum(map(len, self.topics)) + len(self.id)

    @property
    def sse(self) -> bytes:
        """As an event of an event stream (WHATWG HTML 9.2)."""
        if not self._sse:
            lines = [f"event: {self.type}\n"] if self.type else []
            if self.retry is not None:
                lines.append(f"retry: {self.retry}\n")
            lines.append(f"id: {self.id}\n")
            lines += [f"data: {line}\n" for line in _LINES.split(self.data)]
            self._sse = ("".join(lines) + "\n").encode("utf-8", "replace")
        return self._sse

    def frame(self, topic: str, encode: Callable[[ChannelEvent, str], bytes]) -> bytes:
        """As one frame for subscribers of `topic`; `encode(event, topic)` is called once."""
        frames = self._frames
        if frames is None:
            frames = self._frames = {}
        made = frames.get(topic)
        if made is None:
            made = frames[topic] = encode(self, topic)
        return made
