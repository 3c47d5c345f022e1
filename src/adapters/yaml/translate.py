"""From what was written to `spork.application.configuration.model`, in the domain's own types."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from spork.adapters.yaml import written
from spork.adapters.yaml.cache import translate_settings
from spork.adapters.yaml.channels import channel_routes, translate_channels
from spork.adapters.yaml.decode import FAILED, Findings
from spork.adapters.yaml.limits import translate_limits, translate_plan
from spork.adapters.yaml.plugins import NO_PLUGINS, Plugged
from spork.adapters.yaml.routes import translate_routes
from spork.adapters.yaml.scalars import split_address, split_name_server
from spork.adapters.yaml.telemetry import translate_telemetry
from spork.adapters.yaml.upstreams import translate_upstream
from spork.application.configuration.decisions import DataPlane, Decisions
from spork.application.configuration.model import (
    AdminListener,
    AdminToken,
    CertificatePair,
    Configuration,
    DataListener,
    EdgeLimits,
    EventHub,
    ListenerTls,
)
from spork.application.configuration.problems import child
from spork.domain.identity.consumers import Consumer, TokenClaim
from spork.domain.identity.tokens import ClaimNames, Issuer
from spork.domain.objectives import Objective
from spork.domain.openapi.policy import DocsPolicy


@dataclass(frozen=True, slots=True)
class Translated:
    """`route_indexes` are the indexes that the configuration's routes have in the document; those that lead to channels have none
    and stand last."""

    configuration: Configuration
    route_indexes: tuple[int, ...]


def translate(
    document: written.Document,
    findings: Findings,
    revision: str,
    sources: tuple[str, ...],
    plugged: Plugged = NO_PLUGINS,
) -> Translated:
    """The configuration that `document` says. What could not be read is left out; complaints go to `findings`."""
    host, port = split_address(document.listen)
    routes, indexes = translate_routes(
        document.routes, findings, document.cache.body_bytes, document.apis, plugged.routes
    )
    configuration = Configuration(
        revision=revision,
        host=host,
        port=port,
        admin=_admin(document.admin, findings),
        state_dir=document.state_dir,
        shared=document.shared,
        records=document.records,
        trusted_proxies=document.trusted_proxies,
        hosts=tuple(name.lower() for name in document.hosts),
        edge=EdgeLimits(**{name: getattr(document.edge, name) for name in document.edge.__struct_fields__}),
        tls=_listener_tls(document.tls),
        listeners=tuple(
            DataListener(
                each.listen, _listener_tls(each.tls), each.redirect_https, each.https_port, each.proxy_protocol
            )
            for each in document.listeners
            if each is not FAILED
        ),
        proxy_protocol=document.proxy_protocol,
        expose=tuple(dict.fromkeys(document.expose)),
        access_log=document.access_log or "off",
        issuers=tuple(_issuer(name, issuer) for name, issuer in document.issuers.items()),
        plans=tuple(translate_plan(n, p, child("plans", n), findings) for n, p in document.plans.items()),
        consumers=tuple(_consumer(name, consumer) for name, consumer in document.consumers.items()),
        upstreams=tuple(translate_upstream(name, upstream, findings) for name, upstream in document.upstreams.items()),
        routes=(*routes, *channel_routes(document.channels, document.issuers.values(), findings)),
        channels=translate_channels(document.channels),
        apis=tuple(name for name, api in document.apis.items() if api is not FAILED),
        limits=translate_limits(document.limits, "limits", findings, "global"),
        auth_service=document.auth_service,
        registration=document.registration.mode,
        registration_allow=document.registration.allow,
        discovery_file=document.discovery_file,
        name_servers=tuple(split_name_server(text) for text in document.name_servers if text is not FAILED),
        telemetry=translate_telemetry(document.telemetry),
        plugins=plugged.uses,
        exports=tuple(
            DataPlane(name, export.data_plane, export.strict, export.entry_points, export.decide)
            for name, export in document.exports.items()
        ),
        decisions=_decisions(document.decisions),
        hub=EventHub(document.events.url, document.events.kinds),
        quarantine=document.quarantine,
        docs=_docs(document.docs),
        cache=translate_settings(document.cache),
        objectives=tuple(
            Objective(name, o.availability, o.route, o.consumer, o.latency, o.period)
            for name, o in document.objectives.items()
        ),
        legacy_limit_headers=document.legacy_limit_headers,
        signing_key=document.signing_key,
        mtls_header=document.mtls_header.lower(),
        mtls_format=document.mtls_format,
        sources=sources,
    )
    return Translated(configuration, indexes)


def _docs(docs: written.Docs | None) -> DocsPolicy | None:
    if docs is None:
        return None
    return DocsPolicy(**{name: getattr(docs, name) for name in docs.__struct_fields__})


def _listener_tls(tls: written.ListenerTls | None) -> ListenerTls | None:
    if tls is None:
        return None
    pairs = tuple(CertificatePair(pair.cert, pair.key) for pair in tls.certificates if pair is not FAILED)
    return ListenerTls(tls.cert, tls.key, tls.client_ca, tls.require_client, pairs)


def _admin(admin: written.Admin, findings: Findings) -> AdminListener:
    host, port = split_address(admin.listen)
    tokens = [_token(t, f"admin.tokens[{i}]", findings) for i, t in enumerate(admin.tokens) if t is not FAILED]
    hosts = tuple(name.lower() for name in admin.hosts if name is not FAILED)
    return AdminListener(host, port, tuple(tokens), admin.enabled, hosts, admin.readers)


def _decisions(decisions: written.Decisions | None) -> Decisions | None:
    if decisions is None:
        return None
    normalize = (decisions.normalize,) if isinstance(decisions.normalize, str) else decisions.normalize
    return Decisions(
        listen=decisions.listen,
        peers=decisions.from_,
        fronts=tuple(dict.fromkeys(decisions.fronts)),
        secret=decisions.secret,
        unknown=decisions.unknown,
        normalize=tuple(dict.fromkeys(normalize)),
    )


def _token(token: written.AdminToken, path: str, findings: Findings) -> AdminToken:
    if bool(token.token) == bool(token.sha256):
        findings.add(path, "needs exactly one of token and sha256", "write token: ${SPORK_ADMIN_TOKEN}")
    elif token.token and len(token.token) < 16:
        findings.add(child(path, "token"), "is shorter than 16 characters", "make one by: openssl rand -hex 24")
    digest = token.sha256 or hashlib.sha256(token.token.encode("utf-8")).hexdigest()
    return AdminToken(token.name, digest, token.role, token.expires_at)


def _issuer(name: str, issuer: written.Issuer) -> Issuer:
    return Issuer(
        name=name,
        issuer=issuer.issuer,
        audiences=issuer.audiences,
        algorithms=issuer.algorithms,
        discovery=issuer.discovery,
        jwks_url=issuer.jwks_url,
        jwks_file=issuer.jwks_file,
        keys=tuple(key if isinstance(key, str) else json.dumps(key) for key in issuer.keys),
        leeway=issuer.leeway,
        type=issuer.type,
        required=issuer.required,
        claim_names=ClaimNames(**{n: getattr(issuer.claim_names, n) for n in issuer.claim_names.__struct_fields__}),
        introspection_url=issuer.introspection_url,
        client_id=issuer.client_id,
        client_secret=issuer.client_secret,
        ca=issuer.ca,
        plain_http=issuer.plain_http,
    )


def _consumer(name: str, consumer: written.Consumer) -> Consumer:
    fields = {n: getattr(consumer, n) for n in consumer.__struct_fields__}
    claims = tuple(TokenClaim(claim.issuer, claim.claim, claim.value) for claim in consumer.claims)
    versions = tuple(sorted(consumer.versions.items()))
    return Consumer(name, **{**fields, "claims": claims, "versions": versions})
