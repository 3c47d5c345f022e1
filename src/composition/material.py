"""Checks of what the configuration only names or quotes about callers: keys, key sets, schemas, the signing key.

Part of the composition root: it reads them with the adapters that will use them, so that `spork check` and a reload find
what would otherwise fail when it is compiled. Those adapters are imported only for what is configured: cryptography and
JSON Schema are half of what `spork check` would cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.configuration.problems import Diagnostic, child
from spork.composition.answers import shape_of
from spork.composition.files import file_problems
from spork.composition.graphql import ConfiguredSources
from spork.domain.graphql.policy import GraphQLPolicy
from spork.domain.identity.tokens import Issuer
from spork.domain.security.cors import Cors


class _NoFetch:
    """Checking fetches nothing."""

    async def fetch(self, url: str, ca: str = "", plain: bool = False) -> bytes:
        raise AssertionError("checking fetches nothing")


def material_problems(configuration: Configuration) -> Iterator[Diagnostic]:
    """Everything of `configuration` about callers that cannot be compiled. Files that are missing are found elsewhere."""
    yield from file_problems(configuration)
    for issuer in configuration.issuers:
        if why := _issuer_problem(issuer):
            yield Diagnostic(child("issuers", issuer.name), why)
    for index, route in enumerate(configuration.routes):
        yield from _route_problems(route, child("routes", index))
    key = configuration.signing_key
    if key and (why := _signing_problem(key)):
        yield Diagnostic("signing_key", why)


def _issuer_problem(issuer: Issuer) -> str:
    if issuer.introspection_url or not (issuer.keys or issuer.jwks_file or issuer.jwks_url or issuer.discovery):
        return ""
    from spork.adapters.jwt.verifier import trust

    try:
        trust(issuer, _NoFetch(), Path(issuer.jwks_file).read_text() if issuer.jwks_file else "")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        return str(error)
    return ""


def _route_problems(route: RouteConfig, path: str) -> Iterator[Diagnostic]:
    if route.transform is not None and route.transform.shape:
        try:
            shape_of(route.transform.shape)
        except ValueError as error:
            yield Diagnostic(child(child(path, "transform"), "shape"), str(error))
    if route.cors is not None:
        try:
            Cors(route.cors)
        except ValueError as error:
            yield Diagnostic(child(path, "cors"), str(error))
    for policy in route.policies:
        if isinstance(policy, GraphQLPolicy):
            yield from _graphql_problems(policy, child(path, "graphql"))
    if route.security is not None and route.security.schema:
        from spork.adapters.jsonschema_rs.body_schema import JsonBodySchema

        try:
            JsonBodySchema(Path(route.security.schema).read_text())
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            yield Diagnostic(child(child(path, "security"), "schema"), str(error))


def _graphql_problems(policy: GraphQLPolicy, path: str) -> Iterator[Diagnostic]:
    """A schema and a manifest that cannot be read, and registered documents that nobody could run."""
    sources = ConfiguredSources()
    for key, read in (("schema", sources.schema), ("manifest", sources.registered)):
        try:
            read(policy)
        except FileNotFoundError as error:
            yield Diagnostic(
                child(path, key), f"no file {error.filename!r}", "paths are relative to the working directory"
            )
        except ImportError:
            yield Diagnostic(child(path, key), "needs graphql-core", "pip install graphql-core")
        except (OSError, ValueError) as error:
            yield Diagnostic(child(path, key), str(error))


def _signing_problem(key: str) -> str:
    from spork.adapters.jwt.signer import read_signing_key

    try:
        read_signing_key(key if "-----BEGIN" in key else Path(key).read_text())
    except FileNotFoundError:
        return f"no file {key!r}" if "-----BEGIN" not in key and len(key) < 200 else "is neither a key nor a file"
    except (OSError, ValueError) as error:
        return str(error)
    return ""
