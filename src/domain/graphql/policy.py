"""What a route asks of GraphQL requests: bounds, who may see and do what, and what an operation costs."""

from __future__ import annotations

from dataclasses import dataclass, field

from spork.domain.limits.limit import Limit


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of one operation. `bytes` of its text, `variables` bytes of JSON; `batch` requests in one, 1 for none; the others are
    counts with fragments written out."""

    bytes: int = 32 * 1024
    tokens: int = 2000
    depth: int = 12
    aliases: int = 30
    root_fields: int = 10
    fields: int = 500
    directives: int = 20
    batch: int = 1
    variables: int = 64 * 1024
    introspection_depth: int = 15


@dataclass(frozen=True, slots=True)
class Needs:
    """What a caller must have: one of `roles`, all of `scopes`; `scope_sets`: or all of any one of these."""

    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    scope_sets: tuple[frozenset[str], ...] = ()


@dataclass(frozen=True, slots=True)
class OperationRule:
    """A rule about operations, chosen by root fields (`Mutation.*`) or, where only registered documents run, by name."""

    roots: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    needs: Needs | None = None
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class CostRules:
    """How operations are priced. `weights` by coordinate (`Query.search`, `*.lines`); `most` refuses, 0 never; `header` says the
    cost in answers."""

    assumed_list: int = 20
    weights: tuple[tuple[str, int], ...] = ()
    most: int = 0
    header: bool = False


@dataclass(frozen=True, slots=True)
class PersistedQueries:
    """Automatic persisted queries: how many are kept, and for how many seconds."""

    entries: int = 5000
    ttl: float = 86400.0


@dataclass(frozen=True, slots=True)
class SubscriptionRules:
    """How many may be open at once, as a limit of requests in flight."""

    open: Limit


@dataclass(frozen=True, slots=True)
class GraphQLPolicy:
    """A route's GraphQL policy. `documents`: any, known, only. `introspection`: anybody (True), nobody (False) or these roles.
    `draft` answers what is readable and wrong with 422, `legacy` request errors with 200."""

    bounds: Bounds = Bounds()
    observe: bool = False
    schema: str = ""
    documents: str = "any"
    arbitrary: frozenset[str] = frozenset()
    manifest: tuple[str, ...] = ()
    apq: PersistedQueries | None = None
    unknown: Limit | None = None
    introspection: bool | frozenset[str] = True
    cost: CostRules | None = None
    operations: tuple[OperationRule, ...] = ()
    fields: tuple[tuple[str, Needs], ...] = ()
    subscriptions: SubscriptionRules | None = None
    federation: bool = False
    expand: bool = True
    draft: bool = False
    legacy: bool = False
    digest: str = field(default="", compare=False)
