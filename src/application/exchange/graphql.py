"""What an exchange knows of the GraphQL operation it carries, and in which form its refusals are answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class GraphQLAsked:
    """The operation of one exchange; of a batch the first, with the cost of all. `name` and `kind` are the client's words unless
    `known` (the document is registered). `refused` is the slug of a refusal that was only observed."""

    __slots__ = ("cost", "document_id", "kind", "known", "name", "operations", "refused", "text")

    def __init__(
        self, name: str, kind: str, document_id: str, cost: int, known: bool, operations: int = 1, text: str = ""
    ) -> None:
        self.text = text
        self.name = name
        self.kind = kind
        self.document_id = document_id
        self.cost = cost
        self.known = known
        self.operations = operations
        self.refused = ""


class GraphQLForm(NamedTuple):
    """How a refusal is said to a GraphQL client. `modern`: it takes application/graphql-response+json. `draft`: 422 for what is well
    readable and wrong. `legacy`: request errors are 200."""

    modern: bool
    draft: bool
    legacy: bool


@dataclass(frozen=True, slots=True)
class RefusalForms:
    """Which form the refusals of a route take."""

    draft: bool = False
    legacy: bool = False

    def of(self, accept: bytes | None, upgrade: bool) -> GraphQLForm | None:
        """None for a client that takes no JSON (a browser's page, a WebSocket handshake): it gets a problem document."""
        if upgrade:
            return None
        if accept is None:
            return GraphQLForm(False, self.draft, self.legacy)
        text = accept.lower()
        if b"graphql-response+json" in text:
            return GraphQLForm(True, self.draft, self.legacy)
        if b"application/json" in text or b"*/*" in text or b"application/*" in text or b"text/event-stream" in text:
            return GraphQLForm(False, self.draft, self.legacy)
        if b"multipart/mixed" in text:
            return GraphQLForm(False, self.draft, self.legacy)
        return None
