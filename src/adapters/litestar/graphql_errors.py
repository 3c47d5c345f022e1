"""Refusals and faults as GraphQL clients read them: `errors` without `data` (GraphQL over HTTP, Response)."""

from __future__ import annotations

from typing import Final

import msgspec

from spork.application.exchange.answers import GatewayResponse
from spork.application.exchange.graphql import GraphQLForm
from spork.domain.outcomes import Denial

_MODERN: Final = (b"content-type", b"application/graphql-response+json; charset=utf-8")
_JSON: Final = (b"content-type", b"application/json; charset=utf-8")
#: Refusals of a document that a server would give, too: old clients take only 200 for them.
_OF_DOCUMENTS: Final = frozenset(("graphql_unreadable", "graphql_invalid", "graphql_document_unknown"))
#: Well readable and wrong: 422 in the draft of August 2026.
_WRONG: Final = frozenset(("graphql_malformed", "graphql_invalid"))
_FIXED: Final = frozenset((b"content-type", b"content-length"))
_encode: Final = msgspec.json.Encoder().encode


def graphql_errors(
    answer: GatewayResponse, reason: str, denial: Denial | None, request_id: str, form: GraphQLForm
) -> GatewayResponse:
    """The same answer with a GraphQL body: fields and status as they are, but for what `form` says of request errors."""
    status = answer.status
    if reason.startswith("graphql_"):
        if form.legacy:
            status = 200
        elif form.draft:
            status = 422 if reason in _WRONG else status
        elif reason in _OF_DOCUMENTS and not form.modern:
            status = 200
    members = {} if denial is None else dict(denial.members)
    code = members.pop("code", None) or reason.upper()
    message = denial.detail if denial is not None and denial.detail else "The service gave no valid answer."
    extensions: dict[str, object] = {"code": code, "reason": reason, "request_id": request_id, **members}
    body = _encode({"errors": [{"message": message, "extensions": extensions}]})
    kind = _JSON if status < 300 and not form.modern else _MODERN
    length = (b"content-length", str(len(body)).encode("ascii"))
    kept = tuple(header for header in answer.headers if header[0] not in _FIXED)
    return GatewayResponse(status, (kind, length, *kept), body, answer.close)
