"""How an exchange ends: a closed union, so that every log line, metric and retry decision speaks the same words.

An exchange is *answered* by a target, *denied* by a guard or by routing, *failed* by a fault on either side, or
*abandoned* by a client that left. A fault names what broke, on which side, and whether sending again is safe
(the idea is Pingora's: the place that sees the failure knows best whether the request may be repeated).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Final


class Side(Enum):
    """Which side of the gateway a fault happened on."""

    DOWNSTREAM = "downstream"
    UPSTREAM = "upstream"
    GATEWAY = "gateway"


class FaultKind(Enum):
    """What broke. The value is the stable slug used in logs, metrics and `Proxy-Status` (RFC 9209 names)."""

    DNS_ERROR = "dns_error"
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_TIMEOUT = "connection_timeout"
    CONNECTION_TERMINATED = "connection_terminated"
    CONNECTION_WRITE_TIMEOUT = "connection_write_timeout"
    CONNECTION_READ_TIMEOUT = "connection_read_timeout"
    CONNECTION_LIMIT_REACHED = "connection_limit_reached"
    DESTINATION_UNAVAILABLE = "destination_unavailable"
    TLS_PROTOCOL_ERROR = "tls_protocol_error"
    TLS_CERTIFICATE_ERROR = "tls_certificate_error"
    HTTP_RESPONSE_TIMEOUT = "http_response_timeout"
    HTTP_RESPONSE_INCOMPLETE = "http_response_incomplete"
    HTTP_PROTOCOL_ERROR = "http_protocol_error"
    HTTP_RESPONSE_HEADER_SECTION_SIZE = "http_response_header_section_size"
    HTTP_UPGRADE_FAILED = "http_upgrade_failed"
    CREDENTIALS_UNAVAILABLE = "credentials_unavailable"
    ANSWER_NOT_FIT = "answer_not_fit"
    PROXY_INTERNAL_ERROR = "proxy_internal_error"
    BODY_TOO_LARGE = "body_too_large"
    BODY_TOO_SLOW = "body_too_slow"
    BODY_MALFORMED = "body_malformed"
    CLIENT_GONE = "client_gone"


#: Faults that are a matter of time: answered 504 rather than 502.
TIMEOUTS: Final = frozenset(
    {
        FaultKind.CONNECTION_TIMEOUT,
        FaultKind.CONNECTION_READ_TIMEOUT,
        FaultKind.CONNECTION_WRITE_TIMEOUT,
        FaultKind.HTTP_RESPONSE_TIMEOUT,
    }
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What broke, where, and whether sending the request again is safe.

    `retry_safe` is True only when the target cannot have acted on the request: no byte of it was written, or the
    connection was never made. `fresh_connection` is False when a *reused* connection broke before any response
    byte, which says more about the pool than about the target. `note` is for the log, never for the client.
    """

    kind: FaultKind
    side: Side
    retry_safe: bool = False
    fresh_connection: bool = True
    note: str = ""


_WHERE_IN_C = re.compile(r" \(_ssl\.c:[0-9]+\)")


def cause(fault: Fault) -> str:
    """What broke, for operators: the kind, and what was seen (which TLS check, which address), bounded and printable."""
    seen = "".join(c if c.isprintable() else "?" for c in _WHERE_IN_C.sub("", fault.note)[:200])
    return f"{fault.kind.value}: {seen}" if seen else fault.kind.value


class DenialCategory(Enum):
    """What a refusal is about. Whoever counts or records refusals asks this, never a status code."""

    CREDENTIALS = "credentials"  #: who asks is not proven
    ACCESS = "access"  #: who asks, from where or with what, may not
    ALLOWANCE = "allowance"  #: it may, but not this much
    REQUEST = "request"  #: the request itself is not acceptable, whoever sends it
    OTHER = "other"  #: its address, or what the gateway can do right now


#: reason -> its ground; a reason that is not here is of `OTHER`.
GROUNDS: Final[dict[str, DenialCategory]] = {
    "unauthenticated": DenialCategory.CREDENTIALS,
    "invalid_credentials": DenialCategory.CREDENTIALS,
    "step_up_required": DenialCategory.CREDENTIALS,
    "webhook_refused": DenialCategory.CREDENTIALS,
    "address_denied": DenialCategory.ACCESS,
    "https_required": DenialCategory.ACCESS,
    "forbidden": DenialCategory.ACCESS,
    "insufficient_scope": DenialCategory.ACCESS,
    "tenant_mismatch": DenialCategory.ACCESS,
    "plan_unknown": DenialCategory.ACCESS,
    "csrf_failed": DenialCategory.ACCESS,
    "cors_refused": DenialCategory.ACCESS,
    "bad_origin": DenialCategory.ACCESS,
    "screened": DenialCategory.ACCESS,
    "purge_refused": DenialCategory.ACCESS,
    "policy_denied": DenialCategory.ACCESS,
    "graphql_introspection_refused": DenialCategory.ACCESS,
    "graphql_subscriptions_refused": DenialCategory.ACCESS,
    "graphql_document_refused": DenialCategory.ACCESS,
    "graphql_unknown_documents": DenialCategory.ALLOWANCE,
    "too_many_failures": DenialCategory.ALLOWANCE,
    "quota_exceeded": DenialCategory.ALLOWANCE,
    "concurrency_exceeded": DenialCategory.ALLOWANCE,
}

#: Statuses from here on say that the service failed, a target or the gateway (RFC 9110 15.6).
SERVER_ERRORS: Final = 500


@dataclass(frozen=True, slots=True)
class Denial:
    """A refusal by the gateway itself. `reason` is a stable slug; the adapter `problems.py` knows its status code.

    `detail` is one sentence for the client and names no policy or address. `retry_after` is in seconds.
    `headers` go out with the answer. `members` are extra members of the problem document.
    `close` asks the edge to close the connection after the answer (framing in doubt). `limits` name what refused for
    metrics, where the client is not to know it. `instead` is the answer in place of a problem document, where a service
    that was asked has its own.
    """

    reason: str
    detail: str = ""
    retry_after: float | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    members: dict[str, object] = field(default_factory=dict)
    close: bool = False
    limits: tuple[str, ...] = ()
    instead: LocalResponse | None = None

    @property
    def ground(self) -> DenialCategory:
        return GROUNDS.get(self.reason, DenialCategory.OTHER)


@dataclass(frozen=True, slots=True)
class LocalResponse:
    """A guard answers the request itself, on purpose and without refusing it.

    `kind` is the stable word for logs and metrics (preflight, redirect, replay, fallback, ...). `status` is what the
    route's configuration or the replayed answer says; None lets `problems.py` choose by kind.
    """

    kind: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """A target answered and its answer was relayed whole."""

    status: int


#: One for each status there can be: a frozen dataclass is dear to make, and this one is needed for every request.
ANSWERED: Final = {status: Answered(status) for status in range(1000)}


@dataclass(frozen=True, slots=True)
class Local:
    """The gateway answered by itself on purpose: a redirect, a preflight, a fallback, a cached answer."""

    status: int
    by: str


@dataclass(frozen=True, slots=True)
class Denied:
    """A guard, routing or the edge refused the request."""

    denial: Denial
    status: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A fault ended the exchange; `status` is what the client saw, 0 when the answer had begun and was cut."""

    fault: Fault
    status: int


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The client went away before its answer was complete."""

    status: int = 499


Outcome = Answered | Local | Denied | Failed | Abandoned
