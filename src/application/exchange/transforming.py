"""Answers of targets changed on their way: JSON operations, masks, statuses, problem documents, a shape.

The stage holds the whole body, up to a bound, before the client gets a byte; so a failure in the middle is an honest 502 and
not a cut transfer. What it changes loses what spoke of the old bytes: Content-Length, digests, ranges, and its
entity tag becomes weak (RFC 9110 8.8.1, RFC 9530). What may not be transformed (`no-transform`, RFC 9110 7.7) passes,
unless a mask stands for security: then it is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from spork.application.exchange.codings import CodingError, Codings, TooManyBytes, decoded
from spork.application.exchange.exchange import Exchange
from spork.application.exchange.json_values import JsonValues, NotJson
from spork.application.exchange.sinks import PassingSink
from spork.application.exchange.words import words_of
from spork.application.kernel.faults import FaultError
from spork.application.kernel.streams import ResponseSink
from spork.domain.http.coding import codings_of, weakened
from spork.domain.http.head import Header
from spork.domain.outcomes import Fault, FaultKind, Side
from spork.domain.transforms.masks import Masker
from spork.domain.transforms.operations import Apply, NotThere, compile_operation
from spork.domain.transforms.policy import MOST_FOR_SHAPE, AnswerRule, TransformPolicy
from spork.domain.transforms.templates import compile_value

_BODILESS: Final = frozenset((204, 205, 304))
_CHANGED: Final = frozenset(
    (
        b"content-length",
        b"content-encoding",
        b"content-md5",
        b"content-digest",
        b"repr-digest",
        b"accept-ranges",
    )
)
#: A decoded answer may be this many times as large as it came.
_RATIO: Final = 1000

#: Makes a problem document: reason, status, request id.
ProblemMaker = Callable[[str, int, str], bytes]
Shape = Callable[[Any], Any]


def _not_fit(note: str) -> FaultError:
    return FaultError(Fault(FaultKind.ANSWER_NOT_FIT, Side.UPSTREAM, note=note))


class _Rule:
    """One compiled rule."""

    __slots__ = ("body", "masker", "operations", "problem", "rule", "to")

    def __init__(self, rule: AnswerRule, strict: bool, key: bytes) -> None:
        self.rule = rule
        self.operations: tuple[Apply, ...] = tuple(compile_operation(one, strict) for one in rule.operations)
        self.masker = None if rule.mask is None else Masker(rule.mask, key)
        self.to = rule.to
        self.body = compile_value(rule.body) if rule.replaces else None
        self.problem = rule.problem


class AnswerTransform:
    """The response half of one route's `transform:`, compiled. Raises ValueError for what cannot be compiled."""

    def __init__(
        self,
        policy: TransformPolicy,
        codings: Codings,
        problem: ProblemMaker,
        values: JsonValues,
        key: bytes = b"",
        shape: Shape | None = None,
    ) -> None:
        self.policy = policy
        self.codings = codings
        self.problem = problem
        self.values = values
        self.shape = shape
        self.maximum = min(policy.maximum, MOST_FOR_SHAPE) if shape is not None else policy.maximum
        self._rules = tuple(_Rule(rule, policy.strict, key) for rule in policy.response)

    def sink(self, exchange: Exchange, inner: ResponseSink, masks: bool = True, rest: bool = True) -> ResponseSink:
        """What stands in front of `inner`. With a cache between them one sink does the `rest` and another one the `masks`."""
        if not self.policy.when.holds(exchange.head, exchange.principal):
            return inner
        return WholeSink(inner, self, exchange, masks, rest)

    def rules_for(self, status: int) -> tuple[_Rule, ...]:
        return tuple(rule for rule in self._rules if rule.rule.covers(status))


class WholeSink(PassingSink):
    """Holds an answer that a rule is about and writes what becomes of it; lets any other pass."""

    def __init__(
        self, inner: ResponseSink, transform: AnswerTransform, exchange: Exchange, masks: bool, rest: bool
    ) -> None:
        super().__init__(inner)
        self._transform = transform
        self._exchange = exchange
        self._masks = masks
        self._rest = rest
        self._rules: tuple[_Rule, ...] = ()
        self._masking = False
        self._status = 0
        self._headers: list[Header] = []
        self._held: list[bytes] | None = None
        self._size = 0

    def start(self, status: int, headers: list[Header]) -> None:
        self._held, self._size = None, 0
        self._rules = self._transform.rules_for(status)
        self._masking = self._masks and any(self._mask_of(rule) for rule in self._rules)
        shaped = self._rest and self._transform.shape is not None and status < 300
        changing = self._rest and any(rule.operations or rule.body or rule.problem or rule.to for rule in self._rules)
        if status == 304:  # of an answer whose tag was made weak (RFC 9110 15.4.5)
            headers = [(name, weakened(value) if name == b"etag" else value) for name, value in headers]
        if status < 200 or status in _BODILESS or not (self._masking or changing or shaped):
            self.inner.start(status, headers)
            return
        why = self._unfit(status, headers)
        if why:
            if self._masking:
                raise _not_fit(f"an answer to be masked {why}")
            if why == "is not JSON" and self._transform.policy.on_other == "refuse":
                raise _not_fit("the answer is not JSON")
            self.inner.start(status, headers)
            return
        self._status, self._headers = status, headers
        if self._exchange.head.method == "HEAD":
            self._begin(changed_fields(headers), None)
            return
        self._held = []
        for name, value in headers:
            if name == b"content-length" and int(value) > self._transform.maximum and not self._replaced():
                self._too_large()
                return

    def _mask_of(self, rule: _Rule) -> bool:
        """Whether the rule masks anything from this caller."""
        if rule.masker is None:
            return False
        principal = self._exchange.principal
        return principal is None or rule.masker.exempt.isdisjoint(principal.scopes)

    def _replaced(self) -> bool:
        return self._rest and any(rule.body or rule.problem for rule in self._rules)

    def _unfit(self, status: int, headers: list[Header]) -> str:
        """Why this answer cannot be changed, in half a sentence; "" when it can."""
        kind = b""
        for name, value in headers:
            if name == b"cache-control" and b"no-transform" in value.lower():
                return "says no-transform"
            if name == b"content-range" or status == 206:
                return "is only a part"
            if name == b"content-type":
                kind = value.partition(b";")[0].strip().lower()
        if self._replaced():
            return ""
        if kind == b"application/json" or kind.endswith(b"+json"):
            return ""
        only_status = not self._masking and not any(rule.operations for rule in self._rules)
        return "" if only_status and self._transform.shape is None else "is not JSON"

    def write(self, data: bytes) -> None:
        if self._held is None:
            self.inner.write(data)
            return
        if data:
            self._size += len(data)
            if self._size <= self._transform.maximum:
                self._held.append(bytes(data))
            elif self._replaced():
                self._held.clear()
            else:
                self._held.append(bytes(data))
                self._too_large()

    def _too_large(self) -> None:
        """More than may be held: a mask refuses, for it would hide nothing."""
        if self._masking or self._transform.policy.larger == "refuse":
            raise _not_fit("the answer is larger than transform.bytes")
        held, self._held = self._held or [], None
        self.inner.start(self._status, self._headers)
        for piece in held:
            self.inner.write(piece)

    def finish(self) -> None:
        if self._held is None:
            self.inner.finish()
            return
        whole, self._held = b"".join(self._held), None
        try:
            body, kind = self._changed(whole)
        except (NotJson, NotThere, CodingError) as error:
            raise _not_fit(f"the answer cannot be transformed: {error}") from error
        except TooManyBytes as error:
            raise _not_fit("decoded, the answer is larger than transform.bytes") from error
        headers = changed_fields(self._headers)
        if kind:
            headers = [header for header in headers if header[0] != b"content-type"]
            headers.append((b"content-type", kind))
        self._begin(headers, len(body))
        if body:
            self.inner.write(body)
        self.inner.finish()

    def _begin(self, headers: list[Header], length: int | None) -> None:
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        status = self._new_status()
        self._exchange.status = status
        self.inner.start(status, headers)

    def _new_status(self) -> int:
        status = self._status
        if self._rest:
            for rule in self._rules:
                status = rule.to or status
        return status

    def _changed(self, whole: bytes) -> tuple[bytes, bytes]:
        """The new body, and its media type where it has another one."""
        exchange = self._exchange
        lookup = words_of(exchange)
        transform = self._transform
        if self._rest:
            for rule in self._rules:
                if rule.problem:
                    status = self._new_status()
                    return transform.problem(rule.problem, status, exchange.request_id), b"application/problem+json"
                if rule.body is not None:
                    return transform.values.write(rule.body(lookup)), b"application/json"
        whole = self._plain(whole)
        operations = any(rule.operations for rule in self._rules) if self._rest else False
        if not (operations or self._masking or (self._rest and transform.shape is not None)):
            return whole, b""
        value = transform.values.read_answer(whole)
        for rule in self._rules:
            if self._rest:
                for apply in rule.operations:
                    value = apply(value, lookup)
        if self._rest and transform.shape is not None and self._status < 300:
            value = transform.shape(value)
        for rule in self._rules:
            if rule.masker is not None and self._masks and self._mask_of(rule):
                value = rule.masker.apply(value)
        return transform.values.write(value), b""

    def _plain(self, whole: bytes) -> bytes:
        """The body without the coding that the target gave it although it was asked for none."""
        names = codings_of(self._headers)
        if not names:
            return whole
        coding = self._transform.codings.get(names[0]) if len(names) == 1 else None
        if coding is None:
            raise CodingError(f"its coding {', '.join(names)} is not known")
        return decoded(whole, coding.decode, self._transform.maximum, _RATIO)

    def abort(self) -> None:
        self._held = None
        self.inner.abort()


def changed_fields(headers: list[Header]) -> list[Header]:
    """The fields of an answer whose body was changed."""
    changed = [(n, weakened(v) if n == b"etag" else v) for n, v in headers if n not in _CHANGED]
    changed.append((b"accept-ranges", b"none"))
    return changed
