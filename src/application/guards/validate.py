"""Requests must be what the document of the route's upstream says (`validate:`).

What is judged is what the client sent, with the path that the target will get. Without a document nothing is judged: the
gateway does not stop serving because a document cannot be had.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Sequence
from typing import Final

from spork.application.catalog.contracts import Contracts
from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.configuration.problems import Diagnostic, child
from spork.application.exchange.codings import Codings
from spork.application.exchange.exchange import NO_FIELDS, Exchange, Verdict
from spork.application.exchange.reading import BodyReader, Read
from spork.application.guards.policy import Policy, declared
from spork.application.guards.screen import content_type
from spork.application.views import GuardVerdict
from spork.domain.openapi.contract import OperationContract, Schema, Violation
from spork.domain.openapi.policy import ValidationRule
from spork.domain.outcomes import Denial

_TOO_LARGE: Final = Denial("body_too_large", "The request body is larger than this address takes.", close=True)
_MEDIA: Final = Denial("unsupported_media_type", "The request body has none of the media types taken here.")
_UNKNOWN: Final = Denial("operation_unknown", "There is no such operation.")
_METHOD: Final = "There is an operation at this address, but not with this method."


class ValidateGuard:
    """Checks the requests of one route. With `observe` it only counts."""

    phase = "validate"
    response_fields = NO_FIELDS

    def __init__(self, route: str, rule: ValidationRule, contracts: Contracts, bodies: BodyReader) -> None:
        self._route = route
        self._rule = rule
        self._contracts = contracts
        self._bodies = bodies
        self._enforces = rule.requests == "enforce"

    def admit(self, exchange: Exchange) -> Verdict | Awaitable[Verdict]:
        found = self._contracts.find(exchange)
        if not isinstance(found, tuple):
            return self._unknown(_UNKNOWN)
        if not found:
            return None  # no document is at hand
        operation, head = found[0], exchange.head
        if not isinstance(operation, OperationContract):
            allow = ", ".join(sorted(str(method) for method in found)).encode("ascii", "replace")
            return self._unknown(Denial("method_not_allowed", _METHOD, headers=((b"allow", allow),)))
        values = found[1]
        problems = operation.parameters(values, head.query, head.headers)
        if problems:
            refused = self._refused(problems, "parameter_invalid", "A parameter does not have the required form.")
            if refused is not None:
                return refused
        if exchange.body.length == 0 or not operation.takes_body:
            return self._body(operation, None, b"") if operation.takes_body else None
        kind = content_type(head.headers).decode("latin-1")
        schema = operation.media(kind)
        if schema is False:
            self._contracts.count(self._route, "media_type")
            return _MEDIA if self._enforces else None
        if schema is None or isinstance(schema, bool):
            return None
        read = self._bodies.read(exchange, min(self._rule.maximum, schema.max_bytes))
        if read is None or isinstance(read, bytes | Denial):
            return self._judge(operation, schema, read)
        return self._later(operation, schema, read)

    async def _later(self, operation: OperationContract, schema: Schema, read: Awaitable[Read]) -> Verdict:
        return self._judge(operation, schema, await read)

    def _judge(self, operation: OperationContract, schema: Schema, read: Read) -> Verdict:
        if read is None:
            return _TOO_LARGE if self._enforces else None
        if isinstance(read, Denial):
            return read if self._enforces else None
        return self._body(operation, schema, read)

    def _body(self, operation: OperationContract, schema: Schema | None, text: bytes) -> Verdict:
        problems = operation.body(schema, text)
        if not problems:
            return None
        return self._refused(problems, "body_invalid", "The request body does not have the required form.")

    def _refused(self, problems: Sequence[Violation], reason: str, detail: str) -> Denial | None:
        for where in dict.fromkeys(problem.where for problem in problems):
            self._contracts.count(self._route, where)
        if not self._enforces:
            return None
        return Denial(reason, detail, members={"errors": [problem.member() for problem in problems]})

    def _unknown(self, denial: Denial) -> Verdict:
        if self._rule.unknown == "pass":
            return None
        self._contracts.count(self._route, "operation")
        return denial if self._enforces else None

    def explain(self, exchange: Exchange) -> GuardVerdict:
        found = self._contracts.find(exchange)
        if found == ():
            return GuardVerdict(self.phase, "pass", "no document is at hand")
        if not isinstance(found, tuple) or not isinstance(found[0], OperationContract):
            refuses = self._rule.unknown == "refuse" and self._enforces
            return GuardVerdict(self.phase, "refuse" if refuses else "pass", "the document has no such operation")
        problems = found[0].parameters(found[1], exchange.head.query, exchange.head.headers)
        if problems:
            said = f"{problems[0].where} {problems[0].pointer}: {problems[0].detail}"
            return GuardVerdict(self.phase, "refuse" if self._enforces else "pass", said)
        if found[0].takes_body:
            return GuardVerdict(self.phase, "unknown", "depends on the body")
        return GuardVerdict(self.phase, "pass", "")


class ValidatePolicy(Policy):
    """`validate:` of a route: its requests. Its answers are checked by `catalog.answers`."""

    phase = "validate"

    def __init__(self, contracts: Contracts, codings: Codings) -> None:
        self._contracts = contracts
        self._codings = codings

    def compile(self, route: RouteConfig, configuration: Configuration) -> ValidateGuard | None:
        rule = declared(route, ValidationRule)
        if rule is None or rule.requests == "off":
            return None
        return ValidateGuard(route.name, rule, self._contracts, BodyReader(self._codings, route.decode))

    @classmethod
    def check(cls, route: RouteConfig, configuration: Configuration) -> Iterator[Diagnostic]:
        if declared(route, ValidationRule) is None:
            return
        index = configuration.routes.index(route)
        path = child(f"routes[{index}]", "validate")
        known = {each.name for each in configuration.upstreams if each.openapi is not None}
        name = route.upstream or ""
        if not name:
            yield Diagnostic(path, "this route leads to no upstream", "take it out")
        elif not name.startswith("{") and name not in known:
            yield Diagnostic(path, f"upstream {name} has no openapi", "write openapi: {path: /openapi.json} there")
        if route.splits:
            yield Diagnostic(
                path, "requests of splits are checked by the document of the route's own upstream", "", "warning"
            )
