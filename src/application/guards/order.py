"""The order of admission, once: every policy of routes, in the order in which a request meets their guards.

Cheap and address-bound first, then who calls, then what the caller may still do, then the body; last what is taken for the
way to the target. A new policy gets its line here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from spork.application.configuration.model import Configuration
from spork.application.configuration.problems import Diagnostic
from spork.application.guards.addresses import AddressPolicy
from spork.application.guards.authorization import AuthorizationPolicy
from spork.application.guards.channels import ChannelPolicy
from spork.application.guards.cors import CorsPolicyOfRoutes
from spork.application.guards.credentials import CredentialsPolicy
from spork.application.guards.csrf import CsrfPolicy
from spork.application.guards.decode import DecodingPolicy
from spork.application.guards.external import ExternalAuthorization
from spork.application.guards.graphql import GraphQLPolicies
from spork.application.guards.idempotency import IdempotencyPolicy
from spork.application.guards.limits import EarlyLimits, LateLimits
from spork.application.guards.maintenance import EarlyMaintenance, LateMaintenance
from spork.application.guards.plugins import EarlyPlugins, LatePlugins
from spork.application.guards.policy import Policy, Reason
from spork.application.guards.schema import SchemaPolicy
from spork.application.guards.screen import ScreenPolicy
from spork.application.guards.security import SecurityPolicy
from spork.application.guards.shedding import SheddingPolicy
from spork.application.guards.stale import StalePolicy
from spork.application.guards.transform import TransformingPolicy
from spork.application.guards.validate import ValidatePolicy
from spork.application.guards.version import VersionPolicy
from spork.application.guards.webhook import WebhookPolicy
from spork.application.guards.websocket import WebSocketPolicies

ORDER: Final[tuple[type[Policy], ...]] = (
    SecurityPolicy,
    AddressPolicy,
    CorsPolicyOfRoutes,
    EarlyMaintenance,
    WebSocketPolicies,
    ChannelPolicy,
    EarlyLimits,
    EarlyPlugins,
    CsrfPolicy,
    CredentialsPolicy,
    AuthorizationPolicy,
    ExternalAuthorization,
    LateMaintenance,
    VersionPolicy,
    GraphQLPolicies,
    LateLimits,
    LatePlugins,
    WebhookPolicy,
    DecodingPolicy,
    ScreenPolicy,
    SchemaPolicy,
    ValidatePolicy,
    IdempotencyPolicy,
    StalePolicy,
    TransformingPolicy,
    SheddingPolicy,
)


def in_order(made: Iterable[Policy]) -> tuple[Policy, ...]:
    """Every policy of `ORDER`: those in `made`, which needed something to be made with, and the others made here.

    Raises ValueError for a policy that has no place in the order, TypeError for one that is needed and not in `made`.
    """
    given: dict[type[Policy], Policy] = {}
    for policy in made:
        kind = next((kind for kind in ORDER if isinstance(policy, kind)), None)
        if kind is None:
            raise ValueError(f"{type(policy).__name__} has no place in the order of admission")
        given[kind] = policy
    return tuple(given[kind] if kind in given else kind() for kind in ORDER)


def check_policies(configuration: Configuration) -> Iterator[Diagnostic]:
    """What the policies themselves find wrong in a configuration."""
    for route in configuration.routes:
        for kind in ORDER:
            yield from kind.check(route, configuration)


def reasons() -> dict[str, Reason]:
    """Every refusal that a policy declares."""
    return {slug: reason for kind in ORDER for slug, reason in kind.reasons.items()}
