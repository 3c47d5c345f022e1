"""The files that a configuration names: read when it is checked, watched while it runs, read again when it is put into force."""

from __future__ import annotations

from collections.abc import Iterator

from spork.application.configuration.model import Configuration, ListenerTls
from spork.domain.graphql.policy import GraphQLPolicy


def named_files(configuration: Configuration) -> tuple[str, ...]:
    """Every file named, each once. Those that the gateway writes itself, and services' own, are not among them."""
    return tuple(dict.fromkeys(name for name in _names(configuration) if name))


def listener_tls(configuration: Configuration) -> Iterator[ListenerTls]:
    """TLS of every data listener that has it."""
    for tls in (configuration.tls, *(listener.tls for listener in configuration.listeners)):
        if tls is not None:
            yield tls


def _names(configuration: Configuration) -> Iterator[str | None]:
    for tls in listener_tls(configuration):
        yield from (tls.cert, tls.key, tls.client_ca)
        for pair in tls.certificates:
            yield from (pair.cert, pair.key)
    if configuration.signing_key and "-----BEGIN" not in configuration.signing_key:
        yield configuration.signing_key
    for issuer in configuration.issuers:
        yield from (issuer.jwks_file, issuer.ca)
    for upstream in configuration.upstreams:
        for to_target in (upstream.tls, *(target.tls for target in upstream.targets)):
            if to_target is not None:
                yield from (to_target.ca, to_target.cert, to_target.key)
        if upstream.openapi is not None:
            yield upstream.openapi.file
    if configuration.docs is not None:
        yield from (configuration.docs.logo, configuration.docs.css, *configuration.docs.intro)
    for route in configuration.routes:
        if route.security is not None:
            yield route.security.schema
        for policy in route.policies:
            if isinstance(policy, GraphQLPolicy):
                # What a pattern means is known when it is read: files of patterns are looked for at a reload.
                yield from (policy.schema, *(name for name in policy.manifest if "*" not in name))
