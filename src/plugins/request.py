"""A request as a plugin sees it, and what is told of it when it is over.

A plugin reads; what it may change is bounded: a few fields towards the target and of the answer, never one that frames a
message, belongs to one connection, or says who calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from spork.application.exchange.exchange import Exchange
from spork.domain.http.head import GATEWAY_OWNED, GATEWAY_OWNED_PREFIXES, HOP_BY_HOP, header_name
from spork.domain.identity.tokens import Principal

#: Most fields that one plugin sets on one request, and the longest value, in bytes.
MOST_FIELDS: Final = 20
LONGEST_VALUE: Final = 8192
_NEVER: Final = (
    HOP_BY_HOP | GATEWAY_OWNED | {b"host", b"content-length", b"content-encoding", b"expect", b"via", b"date"}
)
_PRINTABLE: Final = frozenset(range(0x20, 0x7F)) | {0x09} | frozenset(range(0x80, 0x100))


class Request:
    """One request, as its plugin's check gets it. Good only while the check runs."""

    __slots__ = ("_exchange", "_set")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._set = 0

    @property
    def method(self) -> str:
        return self._exchange.head.method

    @property
    def path(self) -> str:
        """The canonical path, percent-encoded as it goes on the wire."""
        return self._exchange.head.path.decode("ascii")

    @property
    def query(self) -> str:
        """The raw query, "" for none."""
        return (self._exchange.head.query or b"").decode("latin-1")

    @property
    def host(self) -> str:
        return self._exchange.head.host.decode("ascii")

    @property
    def scheme(self) -> str:
        return self._exchange.head.scheme

    @property
    def client(self) -> str:
        """The client's address, behind trusted proxies too."""
        return self._exchange.client

    @property
    def request_id(self) -> str:
        return self._exchange.request_id

    @property
    def route(self) -> str:
        return "" if self._exchange.plan is None else self._exchange.plan.name

    @property
    def params(self) -> Mapping[str, str]:
        """What `{name}` of the route's path stood for."""
        return dict(self._exchange.params)

    @property
    def principal(self) -> Principal | None:
        """Who calls; None for anonymous callers and before credentials were looked at."""
        return self._exchange.principal

    @property
    def now(self) -> float:
        """Unix seconds at which the request began."""
        return self._exchange.unix

    def header(self, name: str) -> str | None:
        """The first value of a request field, whatever its case; None when it is not there."""
        value = self._exchange.head.header(name.lower().encode("latin-1"))
        return None if value is None else value.decode("latin-1")

    def headers(self, name: str) -> tuple[str, ...]:
        """Every value of a request field, in order."""
        wanted = name.lower().encode("latin-1")
        return tuple(value.decode("latin-1") for key, value in self._exchange.head.headers if key == wanted)

    def set_request_header(self, name: str, value: str) -> None:
        """Have the target get `name` with this value, in place of whatever the client sent under it.

        Raises ValueError for a field that is the gateway's own, for control characters, and beyond the bounds.
        """
        field = self._field(name, value)
        exchange = self._exchange
        exchange.consumed = exchange.consumed | {field[0]}
        exchange.request_headers.append(field)

    def add_response_header(self, name: str, value: str) -> None:
        """Add a field to the answer, whatever it will be. Raises ValueError as `set_request_header` does."""
        self._exchange.response_headers.append(self._field(name, value))

    def _field(self, name: str, value: str) -> tuple[bytes, bytes]:
        self._set += 1
        if self._set > MOST_FIELDS:
            raise ValueError(f"a plugin sets at most {MOST_FIELDS} fields on a request")
        return bounded_field(name, value)


def bounded_field(name: str, value: str) -> tuple[bytes, bytes]:
    """A field that a plugin may set, as it goes on the wire. Raises ValueError for any other."""
    key = header_name(name.encode("latin-1", "replace"))
    if key is None:
        raise ValueError(f"{name!r} is no name of a field")
    if key in _NEVER or key.startswith(GATEWAY_OWNED_PREFIXES):
        raise ValueError(f"{name} is the gateway's own to set")
    octets = value.encode("latin-1", "replace").strip()
    if len(octets) > LONGEST_VALUE or not _PRINTABLE.issuperset(octets):
        raise ValueError(f"the value of {name} has control characters or more than {LONGEST_VALUE} bytes")
    return key, octets


@dataclass(frozen=True, slots=True)
class Summary:
    """A request that is over. Times in seconds, sizes in bytes; `status` 499 when the client left first."""

    request_id: str
    method: str
    path: str
    route: str
    status: int
    reason: str
    seconds: float
    client: str
    subject: str
    consumer: str
    upstream: str
    target: str
    attempts: int
    received: int
    sent: int


def summary_of(exchange: Exchange) -> Summary:
    """What is told of an exchange when it is over."""
    principal = exchange.principal
    return Summary(
        request_id=exchange.request_id,
        method=exchange.head.method,
        path=exchange.head.path.decode("ascii", "replace"),
        route="" if exchange.plan is None else exchange.plan.name,
        status=exchange.status,
        reason=exchange.reason,
        seconds=exchange.seconds,
        client=exchange.client,
        subject="" if principal is None else principal.subject,
        consumer="" if principal is None else principal.consumer,
        upstream=exchange.upstream_name,
        target=exchange.target_name,
        attempts=exchange.attempts,
        received=exchange.body.received,
        sent=exchange.sink.sent,
    )
