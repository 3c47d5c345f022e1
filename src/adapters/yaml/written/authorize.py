"""A service that a route asks whether a request may pass, as written."""

from __future__ import annotations

from typing import Annotated, Literal

from spork.adapters.yaml.scalars import Duration, HeaderName, HttpUrl
from spork.adapters.yaml.written.form import Written, WrittenPolicy
from spork.domain.identity.external_policy import ExternalPolicy


class AuthorizeCache(Written, frozen=True, kw_only=True):
    """Answers are kept for requests whose chosen facts are equal."""

    keep: Annotated[Duration, "How long a yes or a no is kept."]
    by: Annotated[
        tuple[str, ...],
        "Facts that tell answers apart: subject, issuer, consumer, tenant, roles, scopes, method, host, path, query,"
        " client, header:NAME, param:NAME, claim:NAME.",
    ]


class Authorize(WrittenPolicy, frozen=True, kw_only=True):
    """Ask a service whether each request may pass, after credentials and `auth` were found good."""

    url: Annotated[
        HttpUrl, "Where it is asked: the service, OPA's /v1/data/PATH, or what ext_authz paths are put behind."
    ]
    kind: Annotated[
        Literal["http", "opa", "ext_authz"],
        "http: facts as JSON, 2xx is a yes; opa: OPA's data API; ext_authz: the request's method, path and headers, as"
        " Envoy asks.",
    ] = "http"
    timeout: Annotated[Duration, "Longest wait for its answer."] = 0.5
    on_error: Annotated[Literal["deny", "allow"], "When it does not answer: refuse (503), or let everybody in."] = (
        "deny"
    )
    headers: Annotated[tuple[HeaderName, ...], "Request headers it is told."] = ()
    forward: Annotated[
        tuple[HeaderName, ...],
        "Headers of its yes that the target gets; what clients send under these names is dropped.",
    ] = ()
    cache: Annotated[AuthorizeCache | None, "Keep its answers; left out: ask each time."] = None

    def compiled(self) -> ExternalPolicy:
        if self.cache is not None and not self.cache.by:
            raise ValueError("cache.by is empty: one answer would count for everybody")
        if self.timeout <= 0 or self.timeout > 30:
            raise ValueError("timeout is longer than 0 and at most 30s")
        keep, by = (self.cache.keep, self.cache.by) if self.cache is not None else (0.0, ())
        return ExternalPolicy(
            self.url, self.kind, self.timeout, self.on_error, self.headers, self.forward, keep, tuple(by)
        )
