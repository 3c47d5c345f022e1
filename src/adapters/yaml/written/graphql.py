"""GraphQL policies of a route, as written."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Final, Literal

import msgspec

from spork.adapters.yaml.scalars import Count, Duration, LimitKey, Positive, Size
from spork.adapters.yaml.written.form import Written, WrittenPolicy
from spork.domain.graphql.policy import (
    Bounds,
    CostRules,
    GraphQLPolicy,
    Needs,
    OperationRule,
    PersistedQueries,
    SubscriptionRules,
)
from spork.domain.limits.limit import Limit

_ROOT: Final = re.compile(r"(Query|Mutation|Subscription)\.(\*|[_A-Za-z][_0-9A-Za-z]*)")
_COORDINATE: Final = re.compile(r"(\*|[_A-Za-z][_0-9A-Za-z]*)\.[_A-Za-z][_0-9A-Za-z]*")


class GraphQLLimits(Written, frozen=True):
    """Bounds of one operation; what is counted has its fragments written out."""

    bytes: Annotated[Size, "Largest document."] = 32 * 1024
    tokens: Annotated[Positive, "Tokens of a document."] = 2000
    depth: Annotated[Positive, "Fields within each other; introspection is counted apart (15)."] = 12
    aliases: Annotated[Count, "Fields with an alias."] = 30
    root_fields: Annotated[Positive, "Fields at the root."] = 10
    fields: Annotated[Positive, "Fields in all."] = 500
    directives: Annotated[Count, "Directives applied."] = 20
    batch: Annotated[Positive, "Requests in one HTTP request; 1: a list is refused."] = 1
    variables: Annotated[Size, "Largest variables, as JSON."] = 64 * 1024


class GraphQLNeeds(Written, frozen=True):
    """What a caller must have."""

    roles: Annotated[tuple[str, ...], "One of these roles."] = ()
    scopes: Annotated[tuple[str, ...], "All of these scopes."] = ()

    def compiled(self) -> Needs:
        return Needs(frozenset(self.roles), frozenset(self.scopes))


class OperationLimit(Written, frozen=True):
    """How often an operation may be asked for."""

    quota: Annotated[Positive, "Operations admitted per period."]
    per: Annotated[Duration, "The period."]
    burst: Annotated[Positive | None, "How many may come at once; left out: the quota."] = None
    by: Annotated[LimitKey, "What is counted separately, as in `limits`."] = "consumer"

    def compiled(self, name: str) -> Limit:
        return Limit(name, self.quota, self.per, self.by, burst=self.burst)


class Operations(Written, frozen=True):
    """A rule about operations."""

    root: Annotated[tuple[str, ...], "Root fields it is about: Query.audit, Mutation.*."] = ()
    names: Annotated[tuple[str, ...], "Operation names it is about; needs documents: only."] = ()
    auth: Annotated[GraphQLNeeds | None, "What the caller must have."] = None
    limits: Annotated[tuple[OperationLimit, ...], "How often."] = ()


class Introspection(Written, frozen=True):
    """Introspection for some."""

    roles: Annotated[tuple[str, ...], "One of these roles is needed."]


class Apq(Written, frozen=True):
    """Automatic persisted queries, bounded, shared through Redis."""

    entries: Annotated[Positive, "Documents kept."] = 5000
    ttl: Annotated[Duration, "How long one is kept after it was last sent."] = 86400.0


class GraphQLCost(Written, frozen=True):
    """What operations cost: @cost and @listSize of the schema, else one unit an object."""

    assumed_list: Annotated[Positive, "Size of a list that nothing sizes (with a schema)."] = 20
    weights: Annotated[
        dict[str, Count], "Units of a field: Query.search, or *.lines for a name anywhere; instead of the schema's."
    ] = msgspec.field(default_factory=dict)
    most: Annotated[Count, "The dearest operation; dearer ones are refused. 0: any."] = 0
    header: Annotated[bool, "Say the cost in answers, as GraphQL-Cost."] = False


class Subscriptions(Written, frozen=True):
    """Subscriptions over graphql-transport-ws and event streams; left out: they are refused."""

    open: Annotated[Positive, "How many may be open at once."] = 20
    by: Annotated[LimitKey, "What is counted separately, as in `limits`."] = "consumer"
    init: Annotated[Literal["none", "token"], "`token`: the credential may come in connection_init."] = "none"


class GraphQL(WrittenPolicy, frozen=True):
    """GraphQL policies: bounds, documents, costs, and who may ask for what."""

    schema: Annotated[str, "SDL file; left out: no types are known."] = ""
    limits: Annotated[GraphQLLimits, "Bounds of one operation."] = GraphQLLimits()
    observe: Annotated[bool, "Count and log what would be refused, and refuse nothing."] = False
    documents: Annotated[
        Literal["any", "known", "only"],
        "any document; `known`: unregistered ones only for the roles in `arbitrary`; `only`: registered ones.",
    ] = "any"
    arbitrary: Annotated[tuple[str, ...], "Roles that may send documents of their own where documents: known."] = ()
    manifest: Annotated[
        tuple[str, ...], "Files of registered documents: JSON {id: text}, or .graphql files; * is filled in."
    ] = ()
    apq: Annotated[Apq | None, "Automatic persisted queries; left out: none."] = None
    unknown: Annotated[OperationLimit | None, "Budget of documents that were never seen before."] = None
    introspection: Annotated[bool | Introspection, "Whether __schema and __type may be asked for, and by whom."] = True
    cost: Annotated[GraphQLCost | None, "What operations cost; charged by limits with cost: graphql."] = None
    operations: Annotated[tuple[Operations, ...], "Rules by root field and operation."] = ()
    fields: Annotated[
        dict[str, GraphQLNeeds], "Rules by field (Employee.salary); needs a schema, whose @authenticated count, too."
    ] = msgspec.field(default_factory=dict)
    subscriptions: Annotated[Subscriptions | None, "Subscriptions; left out: they are refused."] = None
    federation: Annotated[bool, "Let _entities and _service be asked for."] = False
    expand: Annotated[bool, "Send the target the text that a document id means; false: the id."] = True
    statuses: Annotated[
        Literal["compatible", "draft"],
        "draft: 422 for what is readable and wrong; compatible: 400, 200 for old clients.",
    ] = "compatible"
    errors: Annotated[Literal["standard", "legacy"], "legacy: refused operations are answered 200."] = "standard"

    def compiled(self) -> GraphQLPolicy:
        for rule in self.operations:
            for root in rule.root:
                if not _ROOT.fullmatch(root):
                    raise ValueError(f"operations: {root!r} is no root field; write Query.audit or Mutation.*")
            if not rule.root and not rule.names:
                raise ValueError("operations: a rule needs root or names")
        for name in (*self.fields, *(() if self.cost is None else self.cost.weights)):
            if not _COORDINATE.fullmatch(name):
                raise ValueError(f"{name!r} is no field; write Employee.salary")
        introspection = self.introspection
        return GraphQLPolicy(
            bounds=Bounds(**{name: getattr(self.limits, name) for name in self.limits.__struct_fields__}),
            observe=self.observe,
            schema=self.schema,
            documents=self.documents,
            arbitrary=frozenset(self.arbitrary),
            manifest=self.manifest,
            apq=None if self.apq is None else PersistedQueries(self.apq.entries, self.apq.ttl),
            unknown=None if self.unknown is None else self.unknown.compiled("unknown-documents"),
            introspection=introspection if isinstance(introspection, bool) else frozenset(introspection.roles),
            cost=self._cost(),
            operations=tuple(self._rule(at, rule) for at, rule in enumerate(self.operations)),
            fields=tuple((name, needs.compiled()) for name, needs in self.fields.items()),
            subscriptions=self._subscriptions(),
            federation=self.federation,
            expand=self.expand,
            draft=self.statuses == "draft",
            legacy=self.errors == "legacy",
            digest=hashlib.sha256(msgspec.json.encode(self)).hexdigest(),
        )

    @staticmethod
    def _rule(at: int, rule: Operations) -> OperationRule:
        needs = None if rule.auth is None else rule.auth.compiled()
        limits = tuple(limit.compiled(f"operations-{at + 1}-{n + 1}") for n, limit in enumerate(rule.limits))
        return OperationRule(rule.root, rule.names, needs, limits)

    def _cost(self) -> CostRules | None:
        cost = self.cost
        if cost is None:
            return None
        return CostRules(cost.assumed_list, tuple(cost.weights.items()), cost.most, cost.header)

    def _subscriptions(self) -> SubscriptionRules | None:
        rules = self.subscriptions
        if rules is None:
            return None
        return SubscriptionRules(Limit("subscriptions", rules.open, 0.0, rules.by, "concurrency"))
