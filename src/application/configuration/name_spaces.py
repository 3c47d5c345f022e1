"""Who names callers in a configuration."""

from __future__ import annotations

from spork.application.configuration.model import Configuration
from spork.domain.identity.subjects import AUTH_SERVICE, NameSpaces


def name_spaces(configuration: Configuration) -> NameSpaces:
    """The issuers in their order, the auth service last, and whether the listener or a proxy takes client certificates."""
    issuers = tuple(issuer.name for issuer in configuration.issuers)
    certificates = bool(configuration.mtls_header or (configuration.tls and configuration.tls.client_ca))
    return NameSpaces(issuers + ((AUTH_SERVICE,) if configuration.auth_service else ()), certificates)
