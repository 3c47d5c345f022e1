"""Answers that a route gives by itself, as written: static ones, and the one of a planned maintenance."""

from __future__ import annotations

import json
from typing import Annotated, Any

import msgspec

from spork.adapters.yaml.scalars import Duration, HeaderName, HttpStatus, Instant, Network
from spork.adapters.yaml.written.form import Written, WrittenPolicy
from spork.domain.http.static_answers import Maintenance as MaintenancePolicy
from spork.domain.http.static_answers import StaticAnswer

#: The Content-Type of a text, and of a mapping or list, where none is written.
_TEXT, _JSON = "text/plain; charset=utf-8", "application/json"


class Respond(Written, frozen=True):
    """A static answer. `respond: 204` alone is enough."""

    status: Annotated[HttpStatus, "Its status."] = "200"
    body: Annotated[Any, "Its body: text as it is, a mapping or list as JSON."] = ""
    content_type: Annotated[
        str, "Its Content-Type; left out: text/plain, or application/json for a mapping or list."
    ] = ""
    headers: Annotated[dict[HeaderName, str], "Further headers."] = msgspec.field(default_factory=dict)

    def answer(self) -> StaticAnswer:
        """Raises ValueError with a sentence for the operator."""
        return static_answer(int(self.status), self.body, self.content_type, self.headers)


class Maintenance(WrittenPolicy, frozen=True):
    """A planned absence of the route: 503 for everybody but those named. `maintenance: true` alone is enough."""

    from_: Annotated[Instant | None, "When it begins; left out: it has begun."] = msgspec.field(
        default=None, name="from"
    )
    until: Annotated[Instant | None, "When it ends by itself; also what Retry-After is counted to."] = None
    retry_after: Annotated[Duration, "What clients are told to wait where `until` is left out."] = 300.0
    status: Annotated[HttpStatus, "Status of the answer."] = "503"
    body: Annotated[Any, "A page or document instead of the problem document: text as it is, a mapping as JSON."] = ""
    content_type: Annotated[str, "Its Content-Type, such as text/html; left out: by what the body is."] = ""
    allow: Annotated[tuple[Network, ...], "Client networks that are served all the same."] = ()
    consumers: Annotated[tuple[str, ...], "Consumers that are served all the same."] = ()

    def compiled(self) -> MaintenancePolicy:
        if self.from_ is not None and self.until is not None and self.until <= self.from_:
            raise ValueError("ends before it begins")
        answer = None
        if self.body not in ("", None) or self.status != "503":
            answer = static_answer(int(self.status), self.body, self.content_type, {})
        return MaintenancePolicy(
            answer, self.retry_after, self.from_, self.until, self.allow, frozenset(self.consumers)
        )


def static_answer(status: int, body: Any, content_type: str, headers: dict[str, str]) -> StaticAnswer:
    """The answer as it goes on the wire. Raises ValueError with a sentence for the operator."""
    text = body if isinstance(body, str) else "" if body is None else json.dumps(body, ensure_ascii=False)
    if text and status in (204, 205):
        raise ValueError(f"an answer with status {status} has no body")
    fields = {name.lower(): value for name, value in headers.items()}
    if text or content_type:
        fields.setdefault("content-type", content_type or (_TEXT if isinstance(body, str) else _JSON))
    pairs = []
    for name, value in fields.items():
        if not value.isascii() or not value.isprintable():
            raise ValueError(f"the value of {name} is printable ASCII")
        pairs.append((name.encode("ascii"), value.encode("ascii")))
    return StaticAnswer(status, tuple(pairs), text.encode("utf-8"))
