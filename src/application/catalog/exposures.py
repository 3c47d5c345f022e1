"""Routes as their clients see them: what a configuration means for the published document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from spork.application.configuration.model import Configuration, RouteConfig
from spork.domain.http.static_answers import Maintenance
from spork.domain.identity.authorization import AuthPolicy, demands_anything
from spork.domain.identity.external_policy import ExternalPolicy
from spork.domain.identity.webhooks import WebhookRule
from spork.domain.openapi.policy import ValidationRule
from spork.domain.openapi.protection import Requirements, requirements, schemes
from spork.domain.openapi.publication import Place, RouteExposure
from spork.domain.outcomes import FaultKind
from spork.domain.routing.versions import ApiVersion, Stage
from spork.domain.upstreams.model import Upstream

#: Credentials whose holder may be barred from a route although they are good.
_RESTRICTED: Final = frozenset(("api_key", "basic", "signature", "mtls"))
#: Every request that is forwarded may meet these.
_SENDING: Final = frozenset(
    (
        FaultKind.HTTP_PROTOCOL_ERROR.value,
        FaultKind.DESTINATION_UNAVAILABLE.value,
        FaultKind.HTTP_RESPONSE_TIMEOUT.value,
    )
)
#: What the policies of a route refuse for.
_OF_RULES: Final[Mapping[type, frozenset[str]]] = {
    WebhookRule: frozenset(("webhook_refused",)),
    Maintenance: frozenset(("maintenance",)),
    ExternalPolicy: frozenset(("policy_denied", "policy_unavailable")),
}
_NOT_PARAMETERS: Final = frozenset((b"accept", b"content-type", b"authorization"))


#: The status with which a reason or fault is answered (`spork.adapters.litestar.problems.status_of`).
StatusOf = Callable[[str], int]


def exposures(configuration: Configuration, now: float, status_of: StatusOf) -> list[RouteExposure]:
    """Every route that clients can use at `now` (Unix seconds), in the order they are declared."""
    upstreams = {upstream.name: upstream for upstream in configuration.upstreams}
    return [
        exposure_of(route, configuration, upstreams, now, status_of)
        for route in configuration.routes
        if route.version is None or route.version.name
    ]


def exposure_of(
    route: RouteConfig,
    configuration: Configuration,
    upstreams: Mapping[str, Upstream],
    now: float,
    status_of: StatusOf,
) -> RouteExposure:
    """One route."""
    auth = route.auth
    version = route.version
    stage = Stage.CURRENT if version is None else version.stage(now)
    upstream = upstreams.get(route.upstream or "")
    hidden, sent_as = _parameters(route, upstream)
    exposure = RouteExposure(
        route=route.name,
        matches=(route.match, *route.also),
        rewrite=route.rewrite,
        upstream=route.upstream or "",
        answers=_own_answers(route),
        security=_security(auth, configuration),
        schemes=schemes(auth, configuration.issuers),
        forwards_credentials=auth is not None and auth.forward_credentials,
        refusals=frozenset(map(status_of, _refusals(route, configuration, upstream))),
        body_refusals=frozenset(map(status_of, _body_refusals(route))),
        hidden=hidden,
        sent_as=sent_as,
        deprecated=version is not None and version.deprecated is not None and now >= version.deprecated,
        sunset="" if version is None or version.sunset is None else _date(version.sunset),
        retired=stage is Stage.RETIRED,
        version="" if version is None else version.name,
        metadata=route.metadata,
    )
    return _asking(exposure, version)


def _own_answers(route: RouteConfig) -> tuple[int, ...]:
    """Statuses with which the gateway answers instead of a target."""
    if route.redirect is not None:
        return (route.redirect.status,)
    return () if route.respond is None else (route.respond.status,)


def next_change(configuration: Configuration, now: float) -> float | None:
    """When a version next becomes deprecated or ends, Unix seconds; None when none does."""
    dates = [
        date
        for route in configuration.routes
        if route.version is not None
        for date in (route.version.deprecated, route.version.sunset)
        if date is not None and date > now
    ]
    return min(dates, default=None)


def _security(auth: AuthPolicy | None, configuration: Configuration) -> Callable[[str], Requirements]:
    def needed(method: str) -> Requirements:
        return requirements(auth, configuration.issuers, method)

    return needed


def _date(unix: float) -> str:
    at = datetime.fromtimestamp(unix, UTC)
    return at.strftime("%Y-%m-%d") if at.hour == at.minute == at.second == 0 else at.strftime("%Y-%m-%dT%H:%M:%SZ")


# ------------------------------------------------------------------------------------------------------------ refusals


def _refusals(route: RouteConfig, configuration: Configuration, upstream: Upstream | None) -> set[str]:
    """Reasons for which the gateway itself may refuse on this route whatever the method."""
    found = {"bad_request"}  # the edge: what is not right on the wire
    auth, security = route.auth, route.security
    if auth is not None:
        found |= {"unauthenticated", "too_many_failures"}
        methods = frozenset(auth.methods)
        if demands_anything(auth) or methods & _RESTRICTED or configuration.plans:
            found.add("forbidden")
        if methods - {"anonymous"}:
            found.add("authentication_unavailable")
    if security is not None and (
        security.allow or security.deny or security.https == "refuse" or security.csrf or security.screen == "block"
    ):
        found.add("forbidden")
    planned = auth is not None and any(plan.limits for plan in configuration.plans)
    if route.limits or configuration.limits or planned:
        found |= {"quota_exceeded", "limits_unavailable"}
    if route.upstream:
        found |= _SENDING
        if route.upstream.startswith("{"):
            found.add("no_route")
    if upstream is not None and upstream.retries is not None and upstream.retries.idempotency_key:
        found |= {"idempotency_in_flight", "idempotency_mismatch"}
    if route.version is not None and (route.version.sunset is not None or route.version.brownouts):
        found.add("version_retired")
    for rule in route.policies:
        found |= _OF_RULES.get(type(rule), frozenset())
        if isinstance(rule, ValidationRule) and rule.requests == "enforce":
            found.add("body_invalid")
            if rule.unknown == "refuse":
                found.add("operation_unknown")
    return found


def _body_refusals(route: RouteConfig) -> set[str]:
    """Those of requests with a body."""
    found = {FaultKind.BODY_TOO_LARGE.value}  # edge.body_bytes
    security = route.security
    checked = security is not None and bool(security.schema)
    ruled = any(isinstance(each, ValidationRule) and each.requests == "enforce" for each in route.policies)
    changed = route.transform is not None and bool(route.transform.request)
    if checked or ruled or changed:
        found |= {"unsupported_media_type", "body_invalid"}
    if route.decode is not None or (security is not None and security.screen != "off"):
        found.add("unsupported_media_type")
    return found


# ---------------------------------------------------------------------------------------------------------- parameters


def _parameters(route: RouteConfig, upstream: Upstream | None) -> tuple[frozenset[Place], Mapping[Place, str]]:
    """Parameters of the target that clients cannot or need not send, and those they send by another name."""
    hidden: set[Place] = set()
    sent_as: dict[Place, str] = {}
    for edit in (route.request_headers, *(() if upstream is None else (upstream.request_headers,))):
        names = edit.remove | {name for name, _ in edit.set}
        hidden |= {("header", name.decode("latin-1").lower()) for name in names}
    query = None if route.transform is None else route.transform.query
    if query is not None:
        hidden |= {("query", name.lower()) for name in (*query.remove, *(name for name, _ in query.set))}
        for ours, theirs in query.rename:
            sent_as["query", theirs.lower()] = ours
    version = route.version
    if version is not None and not version.selectors.keep:
        if version.selectors.header:
            hidden.add(("header", version.selectors.header.decode("latin-1")))
        if version.selectors.query:
            hidden.add(("query", version.selectors.query.decode("latin-1").lower()))
    return frozenset(hidden), sent_as


def _asking(exposure: RouteExposure, version: ApiVersion | None) -> RouteExposure:
    """With the fields and parameters by which requests choose this route."""
    asked: list[dict[str, Any]] = []
    for where, conditions in (("header", exposure.match.headers), ("query", exposure.match.query)):
        for name, value in conditions:
            if where == "header" and name in _NOT_PARAMETERS:
                continue
            schema: dict[str, Any] = {"type": "string"}
            if value is not None:
                schema["const"] = value.decode("latin-1")
            asked.append({"name": name.decode("latin-1"), "in": where, "required": True, "schema": schema})
    known = {parameter["name"].lower() for parameter in asked}
    if version is not None and version.selectors.segment < 0:
        for where, selector in (("header", version.selectors.header), ("query", version.selectors.query)):
            word = selector.decode("latin-1")
            if word and not known:
                asked.append({"name": word, "in": where, "schema": {"type": "string", "enum": list(version.names)}})
    return replace(exposure, asked=tuple(asked))
