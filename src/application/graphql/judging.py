"""A route's GraphQL policy at work: documents read once, operations judged for who asks and with which variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from spork.application.graphql.documents import JudgedOperation, KnownDocument, size_of
from spork.domain.graphql.costing import NoSuchField, Pricing, Weights
from spork.domain.graphql.judging import INVALID, LIMIT, UNREADABLE, Refusal, exceeding
from spork.domain.graphql.measuring import INTROSPECTION, Cyclic, Measures, Unknown, measure
from spork.domain.graphql.policy import CostRules, GraphQLPolicy, Needs
from spork.domain.graphql.reading import Document, Operation, TooDeep, read
from spork.domain.graphql.schema import Schema
from spork.domain.graphql.tokens import TooManyTokens, Unreadable
from spork.domain.identity.tokens import Principal

_ABSENT: Final = (object, None)
#: Prices remembered of one operation, by what its variables say.
_MOST_PRICES: Final = 100
FEDERATION: Final = frozenset(("_entities", "_service"))
_ROOT_TYPES: Final = {"query": "Query", "mutation": "Mutation", "subscription": "Subscription"}
_NO_OPERATION: Final = Refusal(
    INVALID, "OPERATION_RESOLUTION_FAILURE", "The operation cannot be told: name one that is there."
)
_INTROSPECTION: Final = Refusal(
    "graphql_introspection_refused", "INTROSPECTION_DISABLED", "Introspection is not allowed."
)
_FEDERATION: Final = Refusal("forbidden", "FORBIDDEN", "The operation is not allowed.")
FORBIDDEN: Final = Refusal("forbidden", "FORBIDDEN", "The operation is not allowed.")
SCOPE: Final = Refusal("insufficient_scope", "FORBIDDEN", "The credential does not reach this far.")
NOBODY: Final = Refusal("unauthenticated", "UNAUTHENTICATED", "A credential is needed.")


class Judge:
    """Judges the operations of one route. Pure but for what it is given; one per compiled route."""

    def __init__(self, policy: GraphQLPolicy, schema: Schema | None = None) -> None:
        self.policy = policy
        self.schema = schema
        #: What verdicts are remembered under: they hold for this policy and this schema.
        self.digest = policy.digest if schema is None else f"{policy.digest} {schema.digest}"
        self._weights = Weights(policy.cost or CostRules())
        self._roots = tuple(_matcher(rule.roots) for rule in policy.operations)

    def read(self, text: str, digest: str, variables: Mapping[str, Any]) -> KnownDocument:
        """The document as it is remembered, priced for these variables to begin with. Never raises."""
        policy = self.policy
        size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        if size > policy.bounds.bytes:
            refusal = Refusal(
                "graphql_too_large", "MAX_BYTES_EXCEEDED", "The document is too large.", policy.bounds.bytes, size
            )
            return KnownDocument(digest, None, {}, refusal, size_of("", None))
        try:
            document = read(text, policy.bounds.tokens)
            operations = {
                name: self._judged(document, operation, variables) for name, operation in document.operations.items()
            }
        except TooManyTokens:
            most = policy.bounds.tokens
            refusal = Refusal(LIMIT, "MAX_TOKENS_EXCEEDED", "The document has too many tokens.", most)
        except TooDeep:
            refusal = Refusal(LIMIT, "MAX_DEPTH_EXCEEDED", "The operation is too deep.", policy.bounds.depth)
        except Unreadable as error:
            refusal = Refusal(UNREADABLE, "GRAPHQL_PARSE_FAILED", f"The document cannot be read: {error}.")
        except (Cyclic, Unknown, NoSuchField) as error:
            refusal = Refusal(INVALID, "GRAPHQL_VALIDATION_FAILED", f"The document is not valid: {error}.")
        else:
            return KnownDocument(digest, document, operations, None, size_of(text, document))
        return KnownDocument(digest, None, {}, refusal, size_of("", None))

    def choose(self, known: KnownDocument, name: str) -> JudgedOperation | Refusal:
        """The operation that `name` means; the only one where it is "" (GraphQL 6.1, GetOperation)."""
        if known.refusal is not None:
            return known.refusal
        if name:
            return known.operations.get(name, _NO_OPERATION)
        return next(iter(known.operations.values())) if len(known.operations) == 1 else _NO_OPERATION

    def refusal_of(self, judged: JudgedOperation, principal: Principal | None) -> Refusal | None:
        """Why this caller may not have this operation; the variables do not matter here."""
        if judged.refusal is not None:
            return judged.refusal
        policy = self.policy
        if judged.rules:
            for at in judged.rules:
                needs = policy.operations[at].needs
                if needs is not None and (refusal := lacking(needs, principal)) is not None:
                    return refusal
        if judged.fields and self.schema is not None:
            for at in judged.fields:
                refusal = lacking(self.schema.needs[at], principal)
                if refusal is not None:
                    return refusal
        roots = judged.measures.roots
        open_to = policy.introspection
        if open_to is True or roots.isdisjoint(INTROSPECTION):
            return None
        if not open_to or principal is None or open_to.isdisjoint(principal.roles):
            return _INTROSPECTION
        return None

    def cost_of(self, judged: JudgedOperation, document: Document | None, variables: Mapping[str, Any]) -> int:
        """What the operation costs with these variables."""
        if judged.cost is not None:
            return judged.cost
        assert document is not None
        key = _key(judged.priced_by, variables)
        try:
            known = judged.prices.get(key)
        except TypeError:  # an object or a list among them
            return Pricing(document, judged.operation, variables, self._weights, self.schema).cost()
        if known is None:
            known = Pricing(document, judged.operation, variables, self._weights, self.schema).cost()
            _remember(judged, key, known)
        return known

    def _judged(self, document: Document, operation: Operation, variables: Mapping[str, Any]) -> JudgedOperation:
        measures = measure(document, operation)
        refusal = exceeding(measures, self.policy.bounds)
        if refusal is None and not self.policy.federation and not measures.roots.isdisjoint(FEDERATION):
            refusal = _FEDERATION
        rules = self._rules(operation, measures) if self._roots else ()
        if refusal is not None:
            return JudgedOperation(operation, measures, refusal, rules)
        pricing = Pricing(document, operation, variables, self._weights, self.schema)
        cost = pricing.cost()
        needs = tuple(sorted(pricing.needs))
        if not pricing.by_variables:
            return JudgedOperation(operation, measures, None, rules, cost, needs)
        judged = JudgedOperation(operation, measures, None, rules, None, needs, tuple(sorted(pricing.by_variables)))
        _remember(judged, _key(judged.priced_by, variables), cost)
        return judged

    def _rules(self, operation: Operation, measures: Measures) -> tuple[int, ...]:
        kind = _ROOT_TYPES[operation.kind]
        return tuple(
            at
            for at, (rule, roots) in enumerate(zip(self.policy.operations, self._roots, strict=True))
            if operation.name in rule.names
            or any(kind == on and name in ("*", root) for on, name in roots for root in measures.roots)
        )


def _key(names: tuple[str, ...], variables: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a price depends on: values with their types, for 1 and true are one key else."""
    return tuple([(type(variables[name]), variables[name]) if name in variables else _ABSENT for name in names])


def _remember(judged: JudgedOperation, key: tuple[Any, ...], cost: int) -> None:
    if len(judged.prices) >= _MOST_PRICES:
        judged.prices.clear()
    try:
        judged.prices[key] = cost
    except TypeError:  # an object or a list: priced anew each time
        pass


def _matcher(roots: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Coordinates of root fields as (type, field); `*` for any field."""
    return tuple((root.partition(".")[0], root.partition(".")[2]) for root in roots)


def lacking(needs: Needs, principal: Principal | None) -> Refusal | None:
    """What a caller lacks, in words that name no field and no rule."""
    if principal is None:
        return NOBODY
    if needs.roles and needs.roles.isdisjoint(principal.roles):
        return FORBIDDEN
    if not needs.scopes <= principal.scopes:
        return SCOPE
    if needs.scope_sets and not any(scopes <= principal.scopes for scopes in needs.scope_sets):
        return SCOPE
    return None
