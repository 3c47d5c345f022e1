"""The GraphQL requests in an HTTP request: the body of a POST, the query string of a GET (GraphQL over HTTP, Request)."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import quote, unquote_plus

from spork.application.exchange.json_values import JsonValues, NotJson
from spork.domain.graphql.requests import Asked, Malformed, asked_of

_MEMBERS: Final = ("query", "operationName", "variables", "extensions", "documentId")
_NESTED: Final = frozenset(("variables", "extensions"))


def asked_in_body(value: Any, batch: int) -> list[Asked]:
    """The requests of a JSON body: one, or a list of them where `batch` is more than 1. Raises Malformed."""
    if isinstance(value, dict):
        return [asked_of(value)]
    if not isinstance(value, list) or batch == 1 or not value:
        raise Malformed("the body must be one JSON object")
    if any(not isinstance(entry, dict) for entry in value):
        raise Malformed("every entry of a batch must be an object")
    return [asked_of(entry) for entry in value]


def members_of_query(query: bytes | None, values: JsonValues) -> dict[str, Any]:
    """The members of a GET. Raises Malformed; a parameter that stands twice is: the target might read the other one."""
    members: dict[str, Any] = {}
    for pair in (query or b"").split(b"&"):
        name, _, value = pair.partition(b"=")
        word = unquote_plus(name.decode("latin-1"))
        if word not in _MEMBERS:
            continue
        if word in members:
            raise Malformed(f"{word} stands twice")
        try:
            text = unquote_plus(value.decode("latin-1"), errors="strict")
        except UnicodeDecodeError as error:
            raise Malformed(f"{word} is not UTF-8") from error
        if not text:
            members[word] = None
        elif word in _NESTED:
            try:
                members[word] = values.read_request(text.encode())
            except NotJson as error:
                raise Malformed(f"{word} is {error}") from error
        else:
            members[word] = text
    return members


def expanded(value: dict[str, Any], text: str) -> dict[str, Any]:
    """The members of a request with the text that its id meant, and without the id."""
    members = {name: each for name, each in value.items() if name not in ("documentId", "extensions")}
    extensions = without_id(value.get("extensions"))
    if extensions:
        members["extensions"] = extensions
    return members | {"query": text}


def without_id(extensions: dict[str, Any] | None) -> dict[str, Any]:
    """Extensions without the hash of an automatic persisted query."""
    return {name: each for name, each in (extensions or {}).items() if name != "persistedQuery"}


def canonical_query(query: bytes | None, asked: Asked, values: JsonValues, text: str) -> bytes:
    """The query string that says the same, always in the same words: what the cache keys by and the target gets. Parameters that are
    not GraphQL's stay, in front."""
    kept = [
        pair
        for pair in (query or b"").split(b"&")
        if pair and unquote_plus(pair.partition(b"=")[0].decode("latin-1")) not in _MEMBERS
    ]
    members = [b"query=" + quote(text, safe="").encode("ascii")]
    if asked.operation:
        members.append(b"operationName=" + quote(asked.operation, safe="").encode("ascii"))
    for name, value in ((b"variables", asked.variables), (b"extensions", without_id(asked.extensions))):
        if value:
            ordered = json.loads(values.write(value))
            canonical = json.dumps(ordered, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            members.append(name + b"=" + quote(canonical, safe="").encode("ascii"))
    return b"&".join((*kept, *members))
