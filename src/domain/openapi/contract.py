"""What a document demands of requests and promises of answers, operation by operation, ready to be checked.

An operation is found by the route table's own trie. Schemas are compiled by whoever is given (`Compile`), once for each
direction: what is only read is not asked of requests, what is only written not of answers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import unquote

from spork.domain.http.head import Headers
from spork.domain.openapi.document import Node, Operation
from spork.domain.openapi.merging import target_paths
from spork.domain.openapi.parameters import Parameter, compiled_parameter, query_values
from spork.domain.openapi.publication import UpstreamDocument
from spork.domain.openapi.schemas import Direction, standalone
from spork.domain.routing.patterns import Match, PathPattern
from spork.domain.routing.table import Matched, MethodNotAllowed, RouteTable

#: Told of one request or answer at most.
MOST: Final = 10


@dataclass(frozen=True, slots=True)
class Violation:
    """What does not fit. `where` is path, query, header, body, answer_status, answer_media_type or answer_body; `pointer`
    leads into the value (RFC 6901), `keyword` is that of JSON Schema; no value is ever quoted."""

    where: str
    pointer: str
    keyword: str
    detail: str

    def member(self) -> dict[str, str]:
        """As clients are told."""
        return {"in": self.where, "pointer": self.pointer, "keyword": self.keyword, "detail": self.detail}


class Schema(Protocol):
    """A compiled schema. Both answer (pointer, keyword, sentence) of what does not fit, ten at most."""

    #: Largest text it judges, bytes.
    max_bytes: int

    def of_value(self, value: object) -> Sequence[tuple[str, str, str]]: ...

    def of_text(self, text: bytes) -> Sequence[tuple[str, str, str]]:
        """Of JSON text; also when it is none (keyword `json`)."""


#: Compiles a schema that is whole in itself. Raises ValueError with a sentence.
Compile = Callable[[Mapping[str, Any]], Schema]


class Contract:
    """One document. `remarks` are (place, why) of what cannot be checked by, filled as operations are compiled."""

    def __init__(self, source: UpstreamDocument, compile_schema: Compile) -> None:
        self.source = source
        self.remarks: dict[str, str] = {}
        self._compile = compile_schema
        self._table: RouteTable[OperationContract] = RouteTable(())
        self._operations: list[OperationContract] = []

    def building(self) -> Generator[None, None, None]:
        """Take the operations in, then compile them, one a step. They can be asked for meanwhile."""
        for operation in self.source.document.operations():
            for base in self.source.base_paths or ("",):
                for path in target_paths(self.source, operation, base):
                    self._add(operation, path)
            yield
        for contract in self._operations:
            contract.prepare()
            yield

    def _add(self, operation: Operation, path: str) -> None:
        parts, names = [], []
        for part in path.split("/")[1:]:
            if part.startswith("{") and part.endswith("}") and part.count("{") == 1:
                names.append(part[1:-1])
                part = f"{{p{len(names)}}}"
            parts.append(part)
        try:
            pattern = PathPattern.parse("/" + "/".join(parts))
        except ValueError:
            self.remarks[operation.name] = "its path has a parameter that is only part of a segment"
            return
        contract = OperationContract(self, operation, tuple(names))
        self._operations.append(contract)
        self._table.add(Match(pattern, methods=frozenset((operation.method,))), contract)

    def find(self, method: str, path: bytes) -> Found:
        """The operation of a path as the target gets it, below its base path."""
        found = self._table.resolve("", path, method, (), None)
        if isinstance(found, Matched):
            values = [found.params.get(f"p{at}", "") for at in range(1, len(found.route.names) + 1)]
            return found.route, values
        return found.allow if isinstance(found, MethodNotAllowed) else None

    def schema(self, schema: object, direction: Direction, place: str) -> Schema | None:
        """Compiled, if it can be: without patterns where these are no linear ones; else not at all, with a remark."""
        if not isinstance(schema, Mapping) or not schema:
            return None
        for patterns in (True, False):
            try:
                return self._compile(standalone(self.source.document, schema, direction, patterns))
            except ValueError as error:
                why = f"is not checked: {error}" if not patterns else f"its patterns are not checked: {error}"
                self.remarks[place] = why[:300]
        return None


#: An operation and its path's values; methods that the path has; None for an unknown path.
Found = tuple["OperationContract", list[str]] | tuple[str, ...] | None


class OperationContract:
    """One operation. Compiled when it is first asked for, or by `prepare`."""

    def __init__(self, contract: Contract, operation: Operation, names: tuple[str, ...]) -> None:
        self.names = names
        self._contract = contract
        self._operation = operation
        self._parameters: list[Parameter] | None = None
        self._required = False
        self._bodies: dict[str, Schema | None] | None = None
        self._answers: dict[str, dict[str, Schema | None] | None] = {}

    def prepare(self) -> None:
        """Compile it."""
        if self._parameters is not None:
            return
        document = self._contract.source.document
        place = self._operation.name
        parameters = []
        for given in document.parameters(self._operation).values():
            where, name = str(given.get("in", "")), str(given.get("name", ""))
            schema = self._contract.schema(given.get("schema"), Direction.REQUEST, f"{place} {where} {name}")
            made = compiled_parameter(document, given, schema)
            if made is not None:
                parameters.append(made)
        body = document.resolve(self._operation.node.get("requestBody"))
        if body:
            self._required = body.get("required") is True
            self._bodies = self._media(body, Direction.REQUEST, f"{place} body")
        for status, answer in (self._operation.node.get("responses") or {}).items():
            resolved = document.resolve(answer)
            held = self._media(resolved, Direction.ANSWER, f"{place} answer {status}")
            self._answers[str(status).upper()] = held if "content" in resolved else None
        self._parameters = parameters

    def _media(self, node: Node, direction: Direction, place: str) -> dict[str, Schema | None]:
        content = node.get("content")
        found: dict[str, Schema | None] = {}
        for media, described in content.items() if isinstance(content, Mapping) else ():
            kind = str(media).partition(";")[0].strip().lower()
            schema = self._contract.source.document.resolve(described).get("schema")
            found[kind] = self._contract.schema(schema, direction, f"{place} {kind}") if is_json(kind) else None
        return found

    # -------------------------------------------------------------------------------------------------------- requests

    @property
    def takes_body(self) -> bool:
        self.prepare()
        return self._bodies is not None

    def parameters(self, values: Sequence[str], query: bytes | None, headers: Headers) -> list[Violation]:
        """What does not fit of a request's path, query and fields."""
        self.prepare()
        found: list[Violation] = []
        pairs: dict[str, list[str]] | None = None
        for parameter in self._parameters or ():
            if parameter.where == "path":
                given = [unquote(values[self.names.index(parameter.name)])] if parameter.name in self.names else []
            elif parameter.where == "query":
                if pairs is None:
                    pairs = query_values(query)
                given = parameter.given(pairs)
            else:
                wanted = parameter.name.lower().encode("latin-1", "replace")
                given = [value.decode("latin-1") for name, value in headers if name == wanted]
            problem = parameter.problem(given, pairs or {})
            if problem is not None:
                found.append(Violation(parameter.where, f"/{parameter.name}", problem[0], problem[1]))
                if len(found) >= MOST:
                    break
        return found

    def media(self, kind: str) -> Schema | bool | None:
        """The schema of a request body of this media type; None: there is none, False: it is not taken."""
        self.prepare()
        return _of_kind(self._bodies or {}, kind)

    def body(self, schema: Schema | None, text: bytes) -> list[Violation]:
        """What does not fit of a request's body; b"" is none."""
        if not text:
            return [Violation("body", "", "required", "a body is required")] if self._required else []
        return [] if schema is None else [Violation("body", *problem) for problem in schema.of_text(text)]

    # --------------------------------------------------------------------------------------------------------- answers

    def answer(self, status: int, kind: str) -> Schema | Violation | None:
        """The schema of an answer's body; None: nothing is said of it; or what does not fit of its head."""
        self.prepare()
        for key in (str(status), f"{status // 100}XX", "DEFAULT"):
            if key in self._answers:
                held = self._answers[key]
                if held is None:
                    return None
                found = _of_kind(held, kind)
                if found is False:
                    return Violation("answer_media_type", "", "content", "a media type that the document does not have")
                return None if found is True or found is None else found
        return Violation("answer_status", "", "responses", "a status that the document does not have")


def is_json(kind: str) -> bool:
    return kind == "application/json" or kind.endswith("+json")


def _of_kind(held: Mapping[str, Schema | None], kind: str) -> Schema | bool | None:
    """By exact type, then `type/*`, then `*/*`; False when none of them stands there."""
    if not held:
        return None
    for name in (kind, kind.partition("/")[0] + "/*", "*/*"):
        if name in held:
            return held[name]
    return False
