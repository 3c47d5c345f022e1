"""What a client asks for over HTTP: query, operationName, variables, extensions, document ids (GraphQL over HTTP, Request)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from spork.domain.graphql.identity import is_digest, plain_id


class Malformed(ValueError):
    """A request that is not well-formed. str() says which member."""


class Asked(NamedTuple):
    """One request as it was sent. `text` is "" where only an id names the document. `document_id` is "" without one, else as it is looked up;
    `persisted` is the hash of an automatic persisted query, "" without."""

    text: str
    operation: str
    variables: dict[str, Any]
    document_id: str = ""
    persisted: str = ""
    extensions: dict[str, Any] | None = None


_NO_VARIABLES: Final[dict[str, Any]] = {}


def asked_of(members: Mapping[str, Any]) -> Asked:
    """What a JSON object asks for. Null means absent; other members are the target's. Raises Malformed."""
    text = members.get("query")
    if text is not None and not isinstance(text, str):
        raise Malformed("query must be a text")
    operation = members.get("operationName")
    if operation is not None and not isinstance(operation, str):
        raise Malformed("operationName must be a text")
    variables = members.get("variables")
    if variables is None:
        variables = _NO_VARIABLES
    elif not isinstance(variables, dict):
        raise Malformed("variables must be an object")
    document_id, persisted = "", ""
    extensions = members.get("extensions")
    if extensions is not None or "documentId" in members:
        document_id, persisted = _ids(members)
    if not text and not document_id and not persisted:
        raise Malformed("query is missing")
    return Asked(text or "", operation or "", variables, document_id, persisted, extensions)


def _ids(members: Mapping[str, Any]) -> tuple[str, str]:
    """Document id and hash of an automatic persisted query."""
    extensions = members.get("extensions")
    if extensions is not None and not isinstance(extensions, dict):
        raise Malformed("extensions must be an object")
    given = members.get("documentId")
    if given is not None and (not isinstance(given, str) or not given):
        raise Malformed("documentId must be a text")
    try:
        document_id = plain_id(given) if given else ""
    except ValueError as error:
        raise Malformed(f"documentId: {error}") from error
    persisted = (extensions or {}).get("persistedQuery")
    if persisted is None:
        return document_id, ""
    if not isinstance(persisted, dict) or persisted.get("version") != 1:
        raise Malformed("extensions.persistedQuery must have version 1")
    digest = persisted.get("sha256Hash")
    if not isinstance(digest, str) or not is_digest(digest):
        raise Malformed("extensions.persistedQuery.sha256Hash must be 64 lower-case hexadecimal digits")
    return document_id, digest
