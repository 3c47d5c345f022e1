"""Answers of targets, checked by their document: counted, or refused before the client gets a byte.

Only whole JSON answers up to a bound are looked into. What does not fit is the target's fault and answered 502; its own errors
(4xx and 5xx) are never hidden for having an undocumented status.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from spork.application.catalog.contracts import Contracts
from spork.application.exchange.codings import CodingError, Codings, TooManyBytes, decoded
from spork.application.exchange.exchange import Exchange
from spork.application.exchange.sinks import PassingSink
from spork.application.kernel.faults import FaultError
from spork.application.kernel.streams import ResponseSink
from spork.domain.http.coding import codings_of
from spork.domain.http.head import Header
from spork.domain.openapi.contract import OperationContract, Schema, Violation
from spork.domain.openapi.policy import ValidationRule
from spork.domain.outcomes import Fault, FaultKind, Side

_BODILESS: Final = frozenset((204, 205, 206, 304))
#: A decoded answer may be this many times as large as it came.
_RATIO: Final = 1000


class ContractCheck:
    """The answers of one route. Implements `AnswerCheck`."""

    def __init__(self, route: str, rule: ValidationRule, contracts: Contracts, codings: Codings) -> None:
        self.route = route
        self.contracts = contracts
        self.codings = codings
        self.enforces = rule.responses == "enforce"
        self.maximum = rule.maximum

    def sink(self, exchange: Exchange, inner: ResponseSink) -> ResponseSink:
        found = self.contracts.find(exchange)
        if not isinstance(found, tuple) or not found or not isinstance(found[0], OperationContract):
            return inner
        return _CheckingSink(inner, self, found[0], exchange.head.method == "HEAD")

    def plain(self, headers: Sequence[Header], body: bytes) -> bytes | None:
        """The body without its content coding; None when it cannot be read."""
        names = codings_of(headers)
        if not names:
            return body
        coding = self.codings.get(names[0]) if len(names) == 1 else None
        if coding is None:
            return None
        try:
            return decoded(body, coding.decode, self.maximum, _RATIO)
        except (CodingError, TooManyBytes):
            return None

    def found(self, problems: Sequence[Violation]) -> None:
        """Count what does not fit. Raises FaultError where it is refused."""
        for problem in problems:
            self.contracts.count(self.route, problem.where)
        if self.enforces:
            first = problems[0]
            note = f"{first.where} {first.pointer}: {first.detail}"
            raise FaultError(Fault(FaultKind.ANSWER_NOT_FIT, Side.UPSTREAM, note=note))


class _CheckingSink(PassingSink):
    """Hands on what comes at once (observe), or when it is known to fit (enforce)."""

    def __init__(self, inner: ResponseSink, check: ContractCheck, operation: OperationContract, bodiless: bool) -> None:
        super().__init__(inner)
        self._check = check
        self._operation = operation
        self._bodiless = bodiless
        self._head: tuple[int, list[Header]] | None = None
        self._schema: Schema | None = None
        self._pieces: list[bytes] | None = None
        self._size = 0

    def start(self, status: int, headers: list[Header]) -> None:
        self._pieces, self._schema, self._size = None, None, 0
        self._head = (status, headers)
        if status >= 200 and status != 304:
            self._look(status, headers)
        if self._pieces is None or not self._check.enforces:
            self.inner.start(status, headers)

    def _look(self, status: int, headers: list[Header]) -> None:
        kind = b""
        for name, value in headers:
            if name == b"content-type":
                kind = value.partition(b";")[0].strip().lower()
        said = self._operation.answer(status, kind.decode("latin-1"))
        if isinstance(said, Violation):
            if status < 400:
                if not (said.where == "answer_media_type" and (self._bodiless or status in _BODILESS or not kind)):
                    self._check.found((said,))
            else:
                self._check.contracts.count(self._check.route, said.where)
        elif said is not None and not self._bodiless and status not in _BODILESS:
            self._schema, self._pieces = said, []

    def write(self, data: bytes) -> None:
        if self._pieces is None:
            self.inner.write(data)
            return
        self._pieces.append(bytes(data))
        self._size += len(data)
        if not self._check.enforces:
            self.inner.write(data)
        if self._size > self._check.maximum:
            self._give_up()

    def _give_up(self) -> None:
        """Larger than is looked into: it goes on unseen."""
        held, self._pieces = self._pieces or [], None
        if self._check.enforces and self._head is not None:
            self.inner.start(*self._head)
            for piece in held:
                self.inner.write(piece)

    def finish(self) -> None:
        if self._pieces is not None and self._head is not None:
            body = b"".join(self._pieces)
            status, headers = self._head
            plain = self._check.plain(headers, body)
            if plain is not None and self._schema is not None and len(plain) <= self._schema.max_bytes:
                problems = [Violation("answer_body", *one) for one in self._schema.of_text(plain)]
                if problems:
                    self._check.found(problems[:1])
            self._pieces = None
            if self._check.enforces:
                self.inner.start(status, headers)
                if body:
                    self.inner.write(body)
        self.inner.finish()

    def abort(self) -> None:
        self._pieces = None
        self.inner.abort()
