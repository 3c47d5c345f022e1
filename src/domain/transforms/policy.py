"""What a route's `transform:` says, as values."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final

from spork.domain.http.head import RequestHead
from spork.domain.identity.tokens import Principal
from spork.domain.routing.patterns import Conditions, conditions_hold
from spork.domain.transforms.masks import Mask
from spork.domain.transforms.operations import Operation
from spork.domain.transforms.queries import QueryEdit

#: Largest body that is transformed, bytes.
MOST: Final = 1024 * 1024
#: Largest answer that a JMESPath expression is given: its work may grow faster than its input.
MOST_FOR_SHAPE: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class When:
    """Which requests are transformed. All that is said must hold; a caller needs one of `roles`."""

    headers: Conditions = ()
    query: Conditions = ()
    methods: frozenset[str] = field(default_factory=frozenset)
    consumers: frozenset[str] = field(default_factory=frozenset)
    plans: frozenset[str] = field(default_factory=frozenset)
    roles: frozenset[str] = field(default_factory=frozenset)

    @property
    def names_caller(self) -> bool:
        """Whether it depends on who calls."""
        return bool(self.consumers or self.plans or self.roles)

    def holds(self, head: RequestHead, principal: Principal | None) -> bool:
        if self.methods and head.method not in self.methods:
            return False
        if not conditions_hold(self.headers, self.query, head.headers, head.query):
            return False
        if not self.names_caller:
            return True
        return (
            principal is not None
            and (not self.consumers or principal.consumer in self.consumers)
            and (not self.plans or principal.plan in self.plans)
            and (not self.roles or not self.roles.isdisjoint(principal.roles))
        )


@dataclass(frozen=True, slots=True)
class AnswerRule:
    """What becomes of answers with these statuses (inclusive ranges; empty: every one).

    `to` is the status instead, 0 the same; `body` replaces the body when `replaces`; `problem` is the slug of a problem
    document that replaces it.
    """

    statuses: tuple[tuple[int, int], ...] = ()
    operations: tuple[Operation, ...] = ()
    mask: Mask | None = None
    to: int = 0
    body: Any = None
    replaces: bool = False
    problem: str = ""

    def covers(self, status: int) -> bool:
        return not self.statuses or any(low <= status <= high for low, high in self.statuses)


@dataclass(frozen=True, slots=True)
class TransformPolicy:
    """`larger` and `on_other` are pass or refuse: for bodies above `maximum`, and for those that are not JSON."""

    query: QueryEdit | None = None
    request: tuple[Operation, ...] = ()
    response: tuple[AnswerRule, ...] = ()
    when: When = When()
    shape: str = ""
    maximum: int = MOST
    larger: str = "refuse"
    on_other: str = "pass"
    strict: bool = False

    @property
    def reads_answers(self) -> bool:
        return bool(self.response or self.shape)

    @property
    def masks(self) -> bool:
        return any(rule.mask is not None for rule in self.response)


def pointers_of(operations: Collection[Operation]) -> list[str]:
    """Every place that operations name."""
    return [operation.at for operation in operations if operation.kind != "merge"]
