"""Answers that the gateway gives itself, and what a front door calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from spork.application.exchange.graphql import GraphQLForm
from spork.application.kernel.streams import RequestBody, ResponseSink
from spork.domain.http.head import Header, RequestHead
from spork.domain.outcomes import Denial, Fault, LocalResponse


@dataclass(frozen=True, slots=True)
class GatewayResponse:
    """A whole answer that the gateway gives itself."""

    status: int
    headers: tuple[Header, ...]
    body: bytes
    close: bool = False


class ProblemResponses(Protocol):
    """Turns a refusal or a fault into an answer, which names `trace_id` where there is one. The adapter behind it is the only place that knows status codes."""

    def deny(self, denial: Denial, request_id: str, trace_id: str = "") -> GatewayResponse: ...

    def respond(self, respond: LocalResponse, request_id: str) -> GatewayResponse: ...

    def fail(self, fault: Fault, request_id: str, trace_id: str = "") -> GatewayResponse: ...

    def graphql(
        self, answer: GatewayResponse, reason: str, denial: Denial | None, request_id: str, form: GraphQLForm
    ) -> GatewayResponse:
        """The same refusal or fault as a GraphQL client reads it; `reason` is its slug."""


class Gateway(Protocol):
    """What a front door calls for each request (`forward.Forwarder`)."""

    async def handle(self, head: RequestHead, body: RequestBody, sink: ResponseSink) -> None: ...
