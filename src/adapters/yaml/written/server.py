"""The document as a whole, and what belongs to the gateway's own process."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from spork.adapters.yaml.scalars import (
    Address,
    DecisionListen,
    DecisionPeer,
    Duration,
    Host,
    HttpUrl,
    HubUrl,
    Method,
    NameServer,
    Network,
    Positive,
    Rate,
    Ratio,
    Records,
    Secret,
    Sha256,
    Shared,
    Size,
    Unix,
)
from spork.adapters.yaml.written.cache import Cache
from spork.adapters.yaml.written.callers import Consumer, Issuer, Limit, Plan
from spork.adapters.yaml.written.channels import Channels
from spork.adapters.yaml.written.decisions import Decisions, Export
from spork.adapters.yaml.written.form import Written
from spork.adapters.yaml.written.openapi import Docs
from spork.adapters.yaml.written.plugins import PluginEntry
from spork.adapters.yaml.written.routes import Route
from spork.adapters.yaml.written.telemetry import Telemetry
from spork.adapters.yaml.written.upstreams import Upstream
from spork.adapters.yaml.written.versions import Api

Endpoint = Literal["health", "ready", "startup", "metrics", "discovery", "jwks", "auth"]


class AdminToken(Written, frozen=True):
    """A credential of the admin API: the token itself (as ${VAR}) or its SHA-256."""

    name: Annotated[str, "Who holds it; the actor in the audit trail."]
    role: Annotated[Literal["viewer", "operator", "admin"], "What it may do."] = "viewer"
    token: Annotated[Secret, "The token; write it as ${VAR}."] = ""
    sha256: Annotated[Sha256, "SHA-256 of the token in hex, instead of the token."] = ""
    expires_at: Annotated[Unix | None, "When it ends, in Unix seconds; left out: never."] = None


class Admin(Written, frozen=True):
    """The admin listener."""

    listen: Annotated[Address, "Address of the admin API; keep it on loopback or a private network."] = "127.0.0.1:9000"
    tokens: Annotated[tuple[AdminToken, ...], "Credentials; none: one is generated into state_dir/admin-token."] = ()
    enabled: Annotated[bool, "Whether there is an admin listener at all."] = True
    hosts: Annotated[
        tuple[Host, ...],
        "Names with a dot that the admin listener answers to, exact or *.suffix, beside this machine's own; addresses,"
        " localhost and single labels always are.",
    ] = ()
    readers: Annotated[
        Literal["auto", "open", "token"],
        "Who reads /metrics, /discovery/services and /health/detailed there: open: anybody; token: holders of an admin"
        " token; auto: anybody on a loopback address, else holders of a token.",
    ] = "auto"


class Edge(Written, frozen=True):
    """Bounds of the wire edge: what one client may cost."""

    header_bytes: Annotated[Size, "Largest request head; more: 431."] = 32 * 1024
    header_fields: Annotated[Positive, "Most header fields; more: 431."] = 100
    target_bytes: Annotated[Size, "Longest request target; more: 414."] = 8 * 1024
    body_bytes: Annotated[Size, "Largest request body, counted; more: 413."] = 10 * 1024 * 1024
    header_timeout: Annotated[Duration, "Longest wait for a whole head; then 408."] = 10.0
    idle_timeout: Annotated[Duration, "An idle connection is closed after this time."] = 60.0
    body_min_rate: Annotated[Rate, "Slowest body accepted."] = 100.0
    body_grace: Annotated[Duration, "How long a body may be slower than that; a faster one earns it back."] = 20.0
    max_in_flight: Annotated[Positive, "Requests in flight in one process; more: 503."] = 4096
    max_connections: Annotated[Positive, "Connections of one process; more are closed."] = 16384
    drain_delay: Annotated[Duration, "After SIGTERM: not ready, but still accepting, for this long."] = 5.0
    grace: Annotated[Duration, "Longest wait for requests in flight at shutdown."] = 25.0
    header_underscores: Annotated[
        Literal["refuse", "drop", "allow"],
        "Header names with _: refused (400), dropped, or passed on; never one that stands for a name the gateway owns.",
    ] = "refuse"
    methods: Annotated[
        tuple[Method, ...], "Further methods taken beside those of HTTP and WebDAV; others are answered 501."
    ] = ()
    front_door: Annotated[
        Literal["protocol", "mount"],
        "Way in of proxied requests: straight from the protocol, or through the ASGI mount.",
    ] = "protocol"


class CertificatePair(Written, frozen=True):
    """One more certificate of a listener. Paths name PEM files."""

    cert: Annotated[str, "Certificate chain; the names it is for choose it (SNI)."]
    key: Annotated[str, "Its private key."]


class ListenerTls(Written, frozen=True):
    """TLS of the data listener. Paths name PEM files."""

    cert: Annotated[str, "Certificate chain."]
    key: Annotated[str, "Private key."]
    client_ca: Annotated[str | None, "Asks for client certificates signed by this CA."] = None
    require_client: Annotated[bool, "Refuse clients without a certificate."] = False
    certificates: Annotated[
        tuple[CertificatePair, ...], "Further certificates, shown to clients that ask for one of their names (SNI)."
    ] = ()


class DataListener(Written, frozen=True):
    """A further data listener, beside `listen`. It serves the same routes."""

    listen: Annotated[DecisionListen, "Its address: host:port, or unix:PATH."]
    tls: Annotated[ListenerTls | None, "TLS on it; left out: plain HTTP."] = None
    redirect_https: Annotated[bool, "Only send clients on to https, by 308; own endpoints (`expose`) are answered."] = (
        False
    )
    https_port: Annotated[Positive, "The port at which clients reach https, with `redirect_https`."] = 443
    proxy_protocol: Annotated[
        tuple[DecisionPeer, ...],
        "Peers that speak the PROXY protocol (v1, v2), and must: networks, or `unix` for those on a unix socket.",
    ] = ()


class Registration(Written, frozen=True):
    """Services that register themselves by `POST /discovery/register`."""

    mode: Annotated[
        Literal["off", "token", "open"],
        "off; token: with an operator's admin token; open: anybody who reaches the listener.",
    ] = "off"
    allow: Annotated[tuple[Network, ...], "Networks that registered targets may be in, beside public addresses."] = ()


class Events(Written, frozen=True):
    """Where events go besides the log, as CloudEvents 1.0."""

    url: Annotated[HubUrl, "redis://, nats:// or http(s):// (webhook); empty: only the log."] = ""
    kinds: Annotated[tuple[str, ...], "Only these kinds, e.g. breaker.opened or target.*; empty: all."] = ()


class Objective(Written, frozen=True):
    """A service level objective: what share of requests must be good. See docs/metrics.md."""

    availability: Annotated[Ratio, "Share of requests that must be good: 99.9%."]
    route: Annotated[str, "Only requests of this route; left out: of all."] = ""
    consumer: Annotated[str, "Only requests of this consumer; left out: of all."] = ""
    latency: Annotated[Duration | None, "Requests that take longer are bad too; left out: only failures are."] = None
    period: Annotated[Duration, "Time the error budget is for."] = 30 * 86400.0


class Document(Written, frozen=True):
    """Configuration of the Spork gateway."""

    include: Annotated[
        str | tuple[str, ...], "Further files or globs, relative to this file: lists add up, mappings merge."
    ] = ()
    listen: Annotated[Address, "Address of the data listener."] = "127.0.0.1:8000"
    admin: Annotated[Admin, "The admin listener."] = Admin()
    state_dir: Annotated[str, "Directory of what must survive a restart."] = ".spork"
    shared: Annotated[
        Shared,
        "State shared by workers and replicas: memory, or redis:// rediss:// redis+sentinel:// redis+cluster://.",
    ] = "memory"
    records: Annotated[Records, "Consumers, API keys, audit, usage: sqlite (in state_dir), or postgresql://."] = (
        "sqlite"
    )
    trusted_proxies: Annotated[
        tuple[DecisionPeer, ...],
        "Peers whose X-Forwarded-* is believed: networks, and `unix` for those on a unix socket; empty: none.",
    ] = ()
    hosts: Annotated[tuple[Host, ...], "Accepted Host values, exact or *.suffix; empty: any."] = ()
    edge: Annotated[Edge, "Bounds of the wire edge."] = Edge()
    tls: Annotated[ListenerTls | None, "TLS on the data listener; left out: plain HTTP."] = None
    listeners: Annotated[
        tuple[DataListener, ...], "Further data listeners: http beside https, a unix socket, one behind a balancer."
    ] = ()
    proxy_protocol: Annotated[
        tuple[DecisionPeer, ...],
        "Peers of `listen` that speak the PROXY protocol (v1, v2), and must; empty: none does.",
    ] = ()
    expose: Annotated[tuple[Endpoint, ...], "Gateway endpoints answered on the data listener too."] = (
        "health",
        "ready",
    )
    access_log: Annotated[str, "stdout, off, or a file."] = "stdout"
    auth_service: Annotated[
        HttpUrl, "Service behind /auth/login and /auth/refresh, also asked by the auth_service method."
    ] = ""
    signing_key: Annotated[Secret, "PEM file with the gateway's own signing key; empty: generated in state_dir."] = ""
    mtls_header: Annotated[
        str,
        "Header in which a trusted proxy passes the client certificate's names; empty: none. No target ever gets it.",
    ] = ""
    mtls_format: Annotated[
        Literal["auto", "subject", "xfcc", "name"],
        "How mtls_header is written: an RFC 4514 subject, Envoy's X-Forwarded-Client-Cert, or one bare name;"
        " auto tells them apart.",
    ] = "auto"
    registration: Annotated[Registration, "Self-registration of services."] = Registration()
    discovery_file: Annotated[
        str, 'Watched JSON file with further targets by upstream: `{"users": ["http://10.0.0.1:7001"]}`; empty: none.'
    ] = ""
    name_servers: Annotated[
        tuple[NameServer, ...],
        "Asked for the names of dns:// and srv:// targets and of registered ones; empty: as the system does.",
    ] = ()
    decisions: Annotated[Decisions | None, "Decisions for other proxies; left out: there are none."] = None
    exports: Annotated[dict[str, Export], "Proxies that forward by these routes, by name."] = msgspec.field(
        default_factory=dict
    )
    telemetry: Annotated[Telemetry | None, "Tracing, and telemetry sent to a collector; left out: nothing is."] = None
    events: Annotated[Events, "Where events go besides the log."] = Events()
    environment_services: Annotated[
        bool,
        "Serve what variables such as USERS_SERVICE_URL and UPSTREAM_USERS name: each under /api, without authentication.",
    ] = True
    cache: Annotated[Cache, "The response cache of the process; routes say what is stored in it."] = Cache()
    channels: Annotated[Channels | None, "Publish and subscribe for browsers and services; left out: off."] = None
    docs: Annotated[Docs | None, "The published OpenAPI document and its pages; left out: none."] = None
    quarantine: Annotated[bool, "Leave out an included file that is broken, and serve the rest."] = False
    legacy_limit_headers: Annotated[bool, "Also send the older X-RateLimit-* headers."] = False
    plugins: Annotated[
        tuple[str | PluginEntry, ...], "Plugins: package.module:Class, or names of installed ones. See docs/plugins.md."
    ] = ()
    limits: Annotated[tuple[Limit, ...], "Limits of the whole gateway."] = ()
    issuers: Annotated[dict[str, Issuer], "Trusted token issuers by name."] = msgspec.field(default_factory=dict)
    plans: Annotated[dict[str, Plan], "Plans by name."] = msgspec.field(default_factory=dict)
    consumers: Annotated[dict[str, Consumer], "Consumers by name."] = msgspec.field(default_factory=dict)
    objectives: Annotated[dict[str, Objective], "Service level objectives by name."] = msgspec.field(
        default_factory=dict
    )
    upstreams: Annotated[dict[str, Upstream], "Upstreams by name."] = msgspec.field(default_factory=dict)
    apis: Annotated[dict[str, Api], "APIs in several versions, by name."] = msgspec.field(default_factory=dict)
    routes: Annotated[tuple[Route, ...], "Routes; their order has no meaning."] = ()
