"""What a plugin's check may say of a request: None lets it go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Deny:
    """Refuses the request for one of the plugin's declared `reasons`. `detail` is a sentence for the client, `retry_after`
    seconds, `headers` go out with the answer."""

    reason: str
    detail: str = ""
    retry_after: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Respond:
    """Answers the request here. `status` is 200 to 599."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Verdict = Deny | Respond | None
