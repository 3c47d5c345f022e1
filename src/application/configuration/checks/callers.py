"""Checks of issuers, consumers, and what routes demand of callers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from spork.application.configuration.checks.presentation import check_presentation
from spork.application.configuration.model import Configuration
from spork.application.configuration.name_spaces import name_spaces
from spork.application.configuration.problems import Diagnostic, child, did_you_mean
from spork.domain.identity.authorization import AuthPolicy, CorsPolicy
from spork.domain.identity.subjects import RESERVED, placed
from spork.domain.identity.tokens import Issuer
from spork.domain.security.cors import origin_problem
from spork.domain.security.threat_rules import MAX_TEXT

IsFile = Callable[[str], bool]
_LOOPBACK = ("http://127.", "http://localhost", "http://[::1]")


def check_issuers(configuration: Configuration, is_file: IsFile | None) -> Iterator[Diagnostic]:
    seen: dict[str, str] = {}
    for issuer in configuration.issuers:
        path = child("issuers", issuer.name)
        if issuer.issuer in seen:
            yield Diagnostic(child(path, "issuer"), f'is the same as that of "{seen[issuer.issuer]}"')
        seen.setdefault(issuer.issuer, issuer.name)
        if issuer.name in RESERVED or "|" in issuer.name:
            yield Diagnostic(
                path, f'an issuer cannot be called "{issuer.name}"', "its name stands before | in subjects"
            )
        yield from _check_issuer(issuer, path, is_file)


def _check_issuer(issuer: Issuer, path: str, is_file: IsFile | None) -> Iterator[Diagnostic]:
    sources = ("discovery", "jwks_url", "jwks_file", "keys", "introspection_url")
    given = [name for name in sources if getattr(issuer, name)]
    if len(given) != 1:
        said = f"has {' and '.join(given)}" if given else "has no keys"
        yield Diagnostic(path, f"{said}; keys come from exactly one of {', '.join(sources)}")
    if not issuer.audiences and not issuer.introspection_url:
        yield Diagnostic(
            child(path, "audiences"), "is empty, so a token for any other service would do", "name this API"
        )
    if issuer.leeway > 60:
        yield Diagnostic(child(path, "leeway"), "is longer than 60s")
    for key in ("jwks_url", "introspection_url"):
        url = getattr(issuer, key)
        if (
            url.startswith("http://")
            and not url.startswith(_LOOPBACK)
            and not (issuer.plain_http and key == "jwks_url")
        ):
            yield Diagnostic(
                child(path, key),
                "keys fetched over plain http can be anybody's",
                "write https://, or plain_http: true inside a cluster whose network you trust",
            )
    if issuer.ca and is_file is not None and not is_file(issuer.ca):
        yield Diagnostic(child(path, "ca"), f"no file {issuer.ca!r}", "paths are relative to the working directory")
    if (issuer.ca or issuer.plain_http) and not (issuer.jwks_url or issuer.discovery or issuer.introspection_url):
        key = "ca" if issuer.ca else "plain_http"
        yield Diagnostic(child(path, key), "has no effect: nothing is fetched for this issuer", "", "warning")
    plainly = issuer.plain_http and issuer.issuer.startswith("http://")
    if issuer.discovery and not plainly and not issuer.issuer.startswith(("https://", *_LOOPBACK)):
        yield Diagnostic(child(path, "discovery"), "needs an issuer that is an https URL")
    hmac = [a for a in issuer.algorithms if a.startswith("HS")]
    if hmac and (not issuer.keys or len(hmac) < len(issuer.algorithms)):
        yield Diagnostic(
            child(path, "algorithms"), f"{hmac[0]} goes with shared secrets under keys: only, and with no other family"
        )
    if issuer.jwks_file and is_file is not None and not is_file(issuer.jwks_file):
        yield Diagnostic(
            child(path, "jwks_file"), f"no file {issuer.jwks_file!r}", "paths are relative to the working directory"
        )
    if issuer.introspection_url and not issuer.client_id:
        yield Diagnostic(
            child(path, "client_id"), "introspection asks who the gateway is (RFC 7662 2.1)", "", "warning"
        )


def check_consumers(configuration: Configuration, unread: Collection[str]) -> Iterator[Diagnostic]:
    plans = {plan.name for plan in configuration.plans}
    spaces = name_spaces(configuration)
    subjects: dict[tuple[str, str], str] = {}
    for consumer in configuration.consumers:
        path = child("consumers", consumer.name)
        if consumer.plan and consumer.plan not in plans and child("plans", consumer.plan) not in unread:
            yield Diagnostic(
                child(path, "plan"),
                f'no plan "{consumer.plan}"',
                did_you_mean(consumer.plan, plans, "declare it under plans:"),
            )
        for index, subject in enumerate(consumer.subjects):
            place = placed(subject, spaces)
            mark = ("", subject) if place is None else (place.space, place.value)
            if mark in subjects:
                yield Diagnostic(f"{path}.subjects[{index}]", f'"{subject}" means consumer "{subjects[mark]}" already')
            elif place is not None and place.assumed:
                yield Diagnostic(
                    f"{path}.subjects[{index}]",
                    f'"{subject}" could be the name of several issuers\' subjects or certificates;'
                    f" it is taken for one of {place.space}",
                    f"write {place.space}|{subject}, or that of another",
                    "warning",
                )
            subjects.setdefault(mark, consumer.name)
        for index, claim in enumerate(consumer.claims):
            if claim.issuer not in spaces.issuers and child("issuers", claim.issuer) not in unread:
                yield Diagnostic(
                    f"{path}.claims[{index}].issuer",
                    f'no issuer "{claim.issuer}"',
                    did_you_mean(claim.issuer, spaces.issuers, "declare it under issuers:"),
                )


def check_auth(configuration: Configuration, unread: Collection[str], is_file: IsFile | None) -> Iterator[Diagnostic]:
    """Authentication, CORS and request security of every route."""
    for index, route in enumerate(configuration.routes):
        path = f"routes[{index}]"
        if route.auth is not None:
            yield from _check_policy(route.auth, configuration, f"{path}.auth", unread)
            yield from check_presentation(route, route.auth, f"{path}.auth")
        if route.cors is not None:
            yield from _check_cors(route.cors, f"{path}.cors")
        security = route.security
        if security is not None and security.screen_bytes > MAX_TEXT:
            yield Diagnostic(
                f"{path}.security.screen_bytes",
                "is more than 64KiB, which would occupy the gateway too long",
                "bound the bodies themselves with body_bytes",
            )
        if security is not None and security.schema and is_file is not None and not is_file(security.schema):
            yield Diagnostic(
                f"{path}.security.schema", f"no file {security.schema!r}", "paths are relative to the working directory"
            )


def _check_policy(
    auth: AuthPolicy, configuration: Configuration, path: str, unread: Collection[str]
) -> Iterator[Diagnostic]:
    issuers = {issuer.name for issuer in configuration.issuers}
    unread_issuers = any(p.startswith("issuers") for p in unread)
    methods = auth.methods
    for method in ("jwt", "introspection"):
        if method in methods and not issuers and not unread_issuers:
            yield Diagnostic(
                path, f"asks for {method}, but there are no issuers whose tokens count", "declare one under issuers:"
            )
    for index, name in enumerate(auth.issuers):
        if name not in issuers and child("issuers", name) not in unread:
            yield Diagnostic(
                f"{path}.issuers[{index}]",
                f'no issuer "{name}"',
                did_you_mean(name, issuers, "declare it under issuers:"),
            )
    if "auth_service" in methods and not configuration.auth_service:
        yield Diagnostic(path, "asks for auth_service, but none is set", "set auth_service: or AUTH_SERVICE_URL")
    if (
        "mtls" in methods
        and not configuration.mtls_header
        and (configuration.tls is None or not configuration.tls.client_ca)
    ):
        yield Diagnostic(
            path, "asks for mtls, but the listener asks for no client certificate", "set tls.client_ca or mtls_header"
        )
    if "anonymous" in auth.all_of:
        yield Diagnostic(f"{path}.all_of", "anonymous is no credential")
    if "anonymous" in auth.any_of and (auth.roles or auth.scopes or auth.mfa):
        yield Diagnostic(
            path, "anonymous callers have no roles, scopes or second factor, so they are refused", "", "warning"
        )
    if "{" in auth.tenant:
        bare = auth.tenant.strip("{}")
        yield Diagnostic(f"{path}.tenant", "names a path parameter or header, without braces", f"write tenant: {bare}")


def _check_cors(cors: CorsPolicy, path: str) -> Iterator[Diagnostic]:
    if "*" in cors.origins:
        if cors.credentials:
            yield Diagnostic(
                f"{path}.credentials", "with origins * any page could act as your users", "name the origins"
            )
        if len(cors.origins) > 1:
            yield Diagnostic(f"{path}.origins", "* stands alone")
    for index, origin in enumerate(cors.origins):
        problem, _, remedy = origin_problem(origin).partition("|")
        if problem:
            yield Diagnostic(f"{path}.origins[{index}]", problem, remedy)
