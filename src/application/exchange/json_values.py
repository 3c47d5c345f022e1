"""JSON read and written for transforms: the port behind which a decoder stands."""

from __future__ import annotations

from typing import Any, Protocol


class NotJson(ValueError):
    """The bytes are no JSON, or none that can be handed on safely; str() says why."""


class JsonValues(Protocol):
    """Reads and writes JSON. Numbers keep their digits. Everything raises NotJson."""

    def read_answer(self, data: bytes) -> Any:
        """A target's JSON. Of a member that stands twice the last one counts, as everywhere."""

    def read_request(self, data: bytes) -> Any:
        """A client's JSON; a member that stands twice is refused: the target might read the other one."""

    def write(self, value: Any) -> bytes:
        """Compact JSON in UTF-8."""
