"""Refusals and faults as answers: `application/problem+json` (RFC 9457). The only place that knows status codes.

`type` is a stable URI per reason, `instance` the request id, `detail` one sentence that names no policy, no address and
nothing of a target's. A fault also says what broke in `Proxy-Status` (RFC 9209), without addresses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from spork.adapters.litestar.graphql_errors import graphql_errors
from spork.application.exchange.answers import GatewayResponse
from spork.application.exchange.graphql import GraphQLForm
from spork.application.guards.order import reasons
from spork.domain.http.head import Header
from spork.domain.outcomes import TIMEOUTS, Denial, DenialCategory, Fault, FaultKind, LocalResponse, Side

#: `urn:` because a refusal must not depend on a web site; docs/problems.md lists every reason.
TYPE_PREFIX = "urn:spork:problem:"
QUOTA_TYPE = "https://iana.org/assignments/http-problem-types#quota-exceeded"

#: reason -> (status, title). A reason that is not here is a programming error and answered 500.
REASONS: dict[str, tuple[int, str]] = {
    # the edge
    "bad_request": (400, "The request is not acceptable"),
    "malformed_request": (400, "The request is not well-formed HTTP"),
    "bad_request_target": (400, "The request target is not acceptable"),
    "bad_host": (400, "The Host header is not acceptable"),
    "host_mismatch": (400, "The request names two hosts"),
    "bad_header_name": (400, "A header name is not acceptable"),
    "bad_framing": (400, "The request's framing is ambiguous"),
    "bad_upgrade": (400, "The WebSocket handshake is not acceptable"),
    "unknown_host": (421, "This host is not served here"),
    "header_timeout": (408, "The request head took too long to arrive"),
    "header_section_too_large": (431, "The request's headers are too large"),
    "target_too_long": (414, "The request target is too long"),
    "body_too_large": (413, "The request body is too large"),
    "expectation_failed": (417, "This expectation cannot be met"),
    "method_not_implemented": (501, "This method is not implemented"),
    "unsupported_transfer_coding": (501, "This transfer coding is not supported"),
    "unsupported_upgrade": (501, "This upgrade is not supported"),
    "unsupported_version": (505, "This HTTP version is not supported"),
    "overloaded": (503, "The gateway is at its capacity"),
    "plugin_failed": (503, "A part of the gateway failed"),
    "internal_error": (500, "Internal error"),
    # routing
    "no_route": (404, "Not found"),
    "method_not_allowed": (405, "Method not allowed"),
    "loop_detected": (508, "Loop detected"),
    # admission
    "address_denied": (403, "Not allowed from this address"),
    "https_required": (403, "HTTPS is required"),
    "unauthenticated": (401, "Authentication is required"),
    "invalid_credentials": (401, "The credentials are not valid"),
    "too_many_failures": (429, "Too many failed authentications"),
    "webhook_refused": (401, "The webhook's signature does not hold"),
    "step_up_required": (401, "Stronger authentication is required"),
    "authentication_unavailable": (503, "Credentials cannot be checked right now"),
    "forbidden": (403, "Not allowed"),
    "insufficient_scope": (403, "Not allowed"),
    "tenant_mismatch": (403, "Not allowed"),
    "policy_denied": (403, "Not allowed"),
    "policy_unavailable": (503, "This cannot be decided right now"),
    "plan_unknown": (403, "The caller's plan does not exist"),
    "csrf_failed": (403, "Cross-site request refused"),
    "cors_refused": (403, "Cross-origin request refused"),
    "bad_origin": (403, "Not allowed from this origin"),
    "bad_subprotocol": (400, "None of the subprotocols is spoken here"),
    "screened": (403, "The request looks like an attack"),
    "unsupported_media_type": (415, "The request body has the wrong media type"),
    "parameter_invalid": (400, "A parameter does not have the required form"),
    "operation_unknown": (404, "There is no such operation"),
    "body_invalid": (422, "The request body does not have the required form"),
    "quota_exceeded": (429, "Too many requests"),
    "concurrency_exceeded": (429, "Too many requests at once"),
    "limits_unavailable": (503, "Limits cannot be checked right now"),
    "idempotency_in_flight": (409, "A request with this Idempotency-Key is in progress"),
    "idempotency_mismatch": (422, "This Idempotency-Key was used for another request"),
    "idempotency_key_missing": (400, "An Idempotency-Key is required"),
    # the cache
    "not_cached": (504, "No stored answer may be used"),
    "purge_refused": (403, "Not allowed to purge"),
    # channels
    "bad_channel_request": (400, "The channel request is not acceptable"),
    "channels_unavailable": (503, "Events cannot be published right now"),
    "unknown_version": (400, "This version does not exist"),
    "version_conflict": (400, "The request names two versions"),
    "version_retired": (410, "This version is no longer served"),
    "version_brownout": (410, "This version is about to end and away for a while"),
    # GraphQL
    "graphql_malformed": (400, "The GraphQL request is not well-formed"),
    "graphql_unreadable": (400, "The GraphQL document cannot be read"),
    "graphql_invalid": (400, "The GraphQL operation is not valid"),
    "graphql_limit_exceeded": (400, "The GraphQL operation is too much"),
    "graphql_introspection_refused": (403, "Introspection is not allowed"),
    "graphql_subscriptions_refused": (403, "Subscriptions are not taken here"),
    "graphql_document_refused": (403, "Only registered documents are taken here"),
    "graphql_unknown_documents": (429, "Too many documents never seen before"),
    "graphql_not_acceptable": (406, "None of the accepted media types is one of GraphQL answers"),
    "graphql_too_large": (413, "The GraphQL document or its variables are too large"),
    "graphql_document_unknown": (404, "This document is not known here"),
    # sending
    "upstream_failed": (502, "The service failed"),
    "breaker_open": (503, "The service is not available right now"),
    "upstream_resting": (503, "The service has asked for a pause"),
    "upstream_quota": (503, "The service's allowance is used up"),
    "maintenance": (503, "Away for maintenance"),
    "shed": (503, "The service is at its capacity"),
}

#: fault -> (status, title) where it is not plainly 502 or 504.
_FAULTS: dict[FaultKind, tuple[int, str]] = {
    FaultKind.DESTINATION_UNAVAILABLE: (503, "No target of the service is available"),
    FaultKind.CREDENTIALS_UNAVAILABLE: (503, "The service is not available right now"),
    FaultKind.CONNECTION_LIMIT_REACHED: (503, "The service is at its capacity"),
    FaultKind.BODY_TOO_LARGE: (413, "The request body is too large"),
    FaultKind.BODY_TOO_SLOW: (408, "The request body took too long to arrive"),
    FaultKind.BODY_MALFORMED: (400, "The request body is malformed"),
    FaultKind.CLIENT_GONE: (499, "The client went away"),
    FaultKind.PROXY_INTERNAL_ERROR: (500, "Internal error"),
}
_RESPONSES: dict[str, int] = {"preflight": 204, "redirect": 308}
_CONTENT_TYPE: Header = (b"content-type", b"application/problem+json")
_NO_STORE: Header = (b"cache-control", b"no-store")
_encode = msgspec.json.Encoder().encode


def retry_after(seconds: float) -> bytes:
    """Whole seconds, rounded up, never 0."""
    return str(max(1, math.ceil(seconds))).encode("ascii")


#: What a policy's own reason is answered with, by what its refusal is about.
_BY_CATEGORY: dict[DenialCategory, int] = {
    DenialCategory.CREDENTIALS: 401,
    DenialCategory.ACCESS: 403,
    DenialCategory.ALLOWANCE: 429,
    DenialCategory.REQUEST: 400,
    DenialCategory.OTHER: 503,
}


def declared(reason: str) -> tuple[int, str]:
    """Status and title of a reason that a policy declares; (500, "Internal error") for one that nobody does."""
    found = reasons().get(reason)
    return (500, "Internal error") if found is None else (_BY_CATEGORY[found.category], found.title)


def status_of(reason: str) -> int:
    """The status with which a reason, or a fault by its slug, is answered."""
    known = REASONS.get(reason)
    if known is not None:
        return known[0]
    kind = next((kind for kind in FaultKind if kind.value == reason), None)
    return declared(reason)[0] if kind is None else _of_fault(kind)[0]


def _of_fault(kind: FaultKind) -> tuple[int, str]:
    """Status and title."""
    default = (
        (504, "The service took too long to answer") if kind in TIMEOUTS else (502, "The service gave no valid answer")
    )
    return _FAULTS.get(kind, default)


class JsonProblemResponses:
    """Implements `ports.Refusals`. `plugged` are reasons that plugins declare: status and title."""

    def __init__(self, plugged: Mapping[str, tuple[int, str]] | None = None) -> None:
        self._plugged = plugged or {}

    def deny(self, denial: Denial, request_id: str, trace_id: str = "") -> GatewayResponse:
        if denial.instead is not None:
            return self.respond(denial.instead, request_id)
        status, title = REASONS.get(denial.reason) or self._plugged.get(denial.reason) or declared(denial.reason)
        uri = QUOTA_TYPE if denial.reason == "quota_exceeded" else TYPE_PREFIX + denial.reason
        members = denial.members | {"trace_id": trace_id} if trace_id else denial.members
        return _problem(status, title, uri, denial.detail, request_id, members, self._headers(denial), denial.close)

    @staticmethod
    def _headers(denial: Denial) -> list[Header]:
        headers = list(denial.headers)
        if denial.retry_after is not None:
            headers.append((b"retry-after", retry_after(denial.retry_after)))
        return headers

    def fail(self, fault: Fault, request_id: str, trace_id: str = "") -> GatewayResponse:
        status, title = _of_fault(fault.kind)
        headers: list[Header] = []
        if fault.side is Side.UPSTREAM:
            headers.append((b"proxy-status", b"spork; error=" + fault.kind.value.encode("ascii")))
        if status == 503:
            headers.append((b"retry-after", b"1"))
        close = fault.side is Side.DOWNSTREAM
        members: dict[str, object] = {"trace_id": trace_id} if trace_id else {}
        return _problem(status, title, TYPE_PREFIX + fault.kind.value, "", request_id, members, headers, close)

    def graphql(
        self, answer: GatewayResponse, reason: str, denial: Denial | None, request_id: str, form: GraphQLForm
    ) -> GatewayResponse:
        return graphql_errors(answer, reason, denial, request_id, form)

    def respond(self, respond: LocalResponse, request_id: str) -> GatewayResponse:
        status = respond.status or _RESPONSES.get(respond.kind, 200)
        headers = respond.headers
        if status != 204:
            headers = (*headers, (b"content-length", str(len(respond.body)).encode("ascii")))
        return GatewayResponse(status, headers, respond.body)


def problem_document(reason: str, status: int, request_id: str) -> bytes:
    """The body of a problem that stands in for a target's answer with this status."""
    known = REASONS.get(reason)
    title = known[1] if known is not None else reason.replace("_", " ").capitalize()
    return _encode({"type": TYPE_PREFIX + reason, "title": title, "status": status, "instance": request_id})


def _problem(
    status: int,
    title: str,
    uri: str,
    detail: str,
    request_id: str,
    members: dict[str, object],
    headers: list[Header],
    close: bool,
) -> GatewayResponse:
    document: dict[str, object] = {"type": uri, "title": title, "status": status}
    if detail:
        document["detail"] = detail
    if request_id:
        document["instance"] = request_id
    document |= members
    body = _encode(document)
    fixed = (_CONTENT_TYPE, _NO_STORE, (b"content-length", str(len(body)).encode("ascii")))
    return GatewayResponse(status, (*fixed, *headers), body, close)
