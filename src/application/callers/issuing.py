"""What a new API key may name: plans, consumers, routes, networks and scopes that there are.

A key outlives the typing error in it: one on a plan that does not exist would have no limit, one of a consumer that does
not exist no plan. So they are compared with the configuration when a key is issued, and a key that is meant all the same
has to be forced.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from spork.application.callers.keys import KeyRequest
from spork.application.callers.self_service import MAY_INTROSPECT, MAY_REVOKE
from spork.application.configuration.model import Configuration
from spork.application.configuration.problems import did_you_mean
from spork.domain.http.addresses import AddressSet
from spork.domain.identity.consumers import ApiKey


def scopes_asked_for(configuration: Configuration) -> frozenset[str]:
    """Every scope that the configuration speaks of: demanded by routes, or given to consumers. Empty: of none."""
    found: set[str] = set()
    for route in configuration.routes:
        if route.auth is not None:
            found.update(route.auth.scopes, *(permissions for _, permissions in route.auth.permissions))
    for consumer in configuration.consumers:
        found.update(consumer.scopes)
    return frozenset(found)


def unknown_names(request: KeyRequest, configuration: Configuration) -> Iterator[tuple[str, str]]:
    """`(field, what is wrong with it)` for everything of a request that the configuration does not know.

    Consumers and scopes count only where the configuration has any: without, these names are the operator's own.
    """
    plans = {plan.name for plan in configuration.plans}
    consumers = {consumer.name for consumer in configuration.consumers}
    if consumers and request.consumer not in consumers:
        yield "consumer", _unknown("consumer", request.consumer, consumers)
    if request.plan and request.plan not in plans:
        yield "plan", _unknown("plan", request.plan, plans)
    routes = {route.name for route in configuration.routes}
    for name in sorted(request.routes - routes):
        yield "routes", _unknown("route", name, routes)
    scopes = scopes_asked_for(configuration)
    for name in sorted(request.scopes - scopes - {MAY_INTROSPECT, MAY_REVOKE}) if scopes else ():
        yield "scopes", _unknown("scope", name, scopes, "that any route asks for")


def request_of(key: ApiKey) -> KeyRequest:
    """What a key that comes from elsewhere names."""
    return KeyRequest(key.consumer, key.owner, key.plan, key.tenant, key.scopes, key.roles, key.routes, key.cidrs)


def bad_networks(cidrs: Iterable[str]) -> Iterator[tuple[str, str]]:
    """`("cidrs", why)` for each text that is no network."""
    for cidr in cidrs:
        try:
            AddressSet((cidr,))
        except ValueError:
            yield "cidrs", f"{cidr!r} is no network, such as 10.0.0.0/8"


def _unknown(kind: str, name: str, known: Iterable[str], which: str = "") -> str:
    hint = did_you_mean(name, known, "")
    return f'there is no {kind} "{name}"{" " + which if which else ""}{"; " + hint if hint else ""}'
