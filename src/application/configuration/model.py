"""What a valid configuration says, in the domain's own types: the result of reading, before it is compiled.

`adapters/yaml` builds it from what the operator wrote; tests build it by hand. Immutable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from spork.application.configuration.decisions import DataPlane as DataPlane
from spork.application.configuration.decisions import Decisions
from spork.application.configuration.telemetry import RouteTrace, Telemetry
from spork.domain.channels.settings import ChannelSettings
from spork.domain.http.answers_back import RewriteBack
from spork.domain.http.caching.policy import CachePolicy
from spork.domain.http.coding import CompressionPolicy, DecodePolicy
from spork.domain.http.edits import HeaderEdit as HeaderEdit
from spork.domain.http.static_answers import StaticAnswer
from spork.domain.identity.authorization import AuthPolicy, CorsPolicy, RequestSecurity
from spork.domain.identity.consumers import Consumer, Plan
from spork.domain.identity.tokens import Issuer
from spork.domain.limits.limit import Limit
from spork.domain.objectives import Objective
from spork.domain.openapi.policy import DocsPolicy
from spork.domain.routing.table import Match, Redirect, Rewrite
from spork.domain.routing.versions import ApiVersion
from spork.domain.transforms.policy import TransformPolicy
from spork.domain.upstreams.model import Upstream


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """Bounds of the wire edge. Sizes in bytes, times in seconds, `body_min_rate` in bytes per second."""

    header_bytes: int = 32 * 1024
    header_fields: int = 100
    target_bytes: int = 8 * 1024
    body_bytes: int = 10 * 1024 * 1024
    header_timeout: float = 10.0
    idle_timeout: float = 60.0
    body_min_rate: float = 100.0
    #: How long a client may send less than `body_min_rate`; a faster body earns it back.
    body_grace: float = 20.0
    max_in_flight: int = 4096
    max_connections: int = 16384
    drain_delay: float = 5.0
    grace: float = 25.0
    #: Header names with `_`: refuse, drop or allow.
    header_underscores: str = "refuse"
    #: Methods taken beside `spork.domain.http.head.METHODS`.
    methods: tuple[str, ...] = ()
    front_door: str = "protocol"


@dataclass(frozen=True, slots=True)
class CertificatePair:
    """PEM files of a certificate chain and its key."""

    cert: str
    key: str


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """PEM files of a TLS listener; `client_ca` asks for client certificates. `certificates` are shown to who asks for one of
    their names, the first pair to everybody else."""

    cert: str
    key: str
    client_ca: str | None = None
    require_client: bool = False
    certificates: tuple[CertificatePair, ...] = ()


@dataclass(frozen=True, slots=True)
class DataListener:
    """A further data listener: `listen` is host:port or unix:PATH. With `redirect_https` it only sends clients on, to
    `https_port`. `proxy_protocol` are peers that speak it: networks, or `unix`."""

    listen: str
    tls: ListenerTls | None = None
    redirect_https: bool = False
    https_port: int = 443
    proxy_protocol: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AdminToken:
    """A configured admin credential: SHA-256 of the token in hex, its role, and when it ends (Unix seconds)."""

    name: str
    sha256: str
    role: str = "viewer"
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class AdminListener:
    host: str = "127.0.0.1"
    port: int = 9000
    tokens: tuple[AdminToken, ...] = ()
    enabled: bool = True
    #: Names it answers to beside addresses, single labels and the machine's own (DNS rebinding).
    hosts: tuple[str, ...] = ()
    #: Whether what only reads needs a token: auto (not on loopback), open or token.
    readers: str = "auto"


@dataclass(frozen=True, slots=True)
class Split:
    """A share of a route's traffic for another upstream: by weight 0..1, or for a header value or consumer."""

    upstream: str
    weight: float = 0.0
    header: tuple[bytes, bytes] | None = None
    consumers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Mirror:
    """A copy of a share (0..1) of a route's requests for a shadow upstream, its answers thrown away."""

    upstream: str
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class PluginUse:
    """A plugin of this configuration: its name, its class (`spork.plugins.Plugin`) and its options as it reads them."""

    name: str
    kind: type[Any]
    options: Any = None


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """One route as declared. `upstream` may name a path parameter (`{service}`)."""

    name: str
    match: Match
    upstream: str | None = None
    redirect: Redirect | None = None
    respond: StaticAnswer | None = None
    rewrite: Rewrite = Rewrite()
    rewrite_back: RewriteBack | None = None
    #: A `%2F` in the path is part of its segment; otherwise such a request is refused.
    encoded_slashes: bool = False
    auth: AuthPolicy | None = None
    limits: tuple[Limit, ...] = ()
    cors: CorsPolicy | None = None
    security: RequestSecurity | None = None
    request_headers: HeaderEdit = HeaderEdit()
    response_headers: HeaderEdit = HeaderEdit()
    timeout: float | None = None
    #: Seconds instead of the upstream's `timeouts`.
    first_byte: float | None = None
    idle: float | None = None
    body_bytes: int | None = None
    splits: tuple[Split, ...] = ()
    mirror: Mirror | None = None
    priority: str = "normal"
    server_timing: bool = False
    decode: DecodePolicy | None = None
    trace: RouteTrace = RouteTrace()
    compression: CompressionPolicy | None = None
    transform: TransformPolicy | None = None
    #: The response cache on this route; None: none.
    cache: CachePolicy | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    #: Further matches that lead to the same route (a version named otherwise than by the path).
    also: tuple[Match, ...] = ()
    version: ApiVersion | None = None
    #: Compiled values of policies whose written struct says by itself what it compiles to (`WrittenPolicy`).
    policies: tuple[object, ...] = ()
    #: The way into channels that answers here (`domain.channels.settings`); "" where requests go to a target.
    front: str = ""
    #: What it says of plugins: name and options, in the order in which they are asked.
    plugins: tuple[tuple[str, object], ...] = ()
    #: Where it was declared: "spork.yaml:41", "environment USERS_SERVICE_URL", "registration".
    origin: str = ""


@dataclass(frozen=True, slots=True)
class EventHub:
    """Where events go besides the log: redis stream, nats or webhook by URL scheme."""

    url: str = ""
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """The response cache of a process. Sizes in bytes; `shared`: a second level where the shared state is Redis."""

    memory: int = 256 * 1024 * 1024
    shared: bool = True
    body_bytes: int = 8 * 1024 * 1024
    #: Whether PURGE with a key of scope `cache:purge` is taken on routes with a cache.
    purge_method: bool = False


@dataclass(frozen=True, slots=True)
class Configuration:
    """A whole configuration. `revision` is a short digest of what was written."""

    revision: str = ""
    host: str = "127.0.0.1"
    port: int = 8000
    admin: AdminListener = AdminListener()
    state_dir: str = ".spork"
    shared: str = "memory"
    records: str = "sqlite"
    trusted_proxies: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    edge: EdgeLimits = EdgeLimits()
    tls: ListenerTls | None = None
    listeners: tuple[DataListener, ...] = ()
    #: Peers of the first data listener that speak the PROXY protocol.
    proxy_protocol: tuple[str, ...] = ()
    expose: tuple[str, ...] = ("health", "ready")
    access_log: str = "stdout"
    issuers: tuple[Issuer, ...] = ()
    plans: tuple[Plan, ...] = ()
    consumers: tuple[Consumer, ...] = ()
    upstreams: tuple[Upstream, ...] = ()
    routes: tuple[RouteConfig, ...] = ()
    #: Names of APIs in several versions; the versions are at their routes.
    apis: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    auth_service: str = ""
    registration: str = "off"
    registration_allow: tuple[str, ...] = ()
    #: A watched JSON file with further targets by upstream; empty for none.
    discovery_file: str = ""
    #: (address, port) of the DNS servers that look names of targets up; empty for the system's.
    name_servers: tuple[tuple[str, int], ...] = ()
    plugins: tuple[PluginUse, ...] = ()
    #: Decisions for other proxies; None: there are none.
    decisions: Decisions | None = None
    exports: tuple[DataPlane, ...] = ()
    hub: EventHub = EventHub()
    quarantine: bool = False
    #: The published OpenAPI document; None: none is.
    docs: DocsPolicy | None = None
    cache: CacheSettings = CacheSettings()
    #: Publish and subscribe; None: off.
    channels: ChannelSettings | None = None
    #: Service level objectives of routes and consumers.
    objectives: tuple[Objective, ...] = ()
    legacy_limit_headers: bool = False
    signing_key: str = ""
    mtls_header: str = ""
    #: Tracing and telemetry that is sent out; None: nothing is.
    telemetry: Telemetry | None = None
    mtls_format: str = "auto"
    sources: tuple[str, ...] = ()

    @property
    def documented(self) -> bool:
        """Whether the data listener answers the addresses of the published document."""
        return self.docs is not None

    @property
    def exposed(self) -> tuple[str, ...]:
        """Words for what the data listener answers by itself: those of `expose`, and docs."""
        return self.expose if self.docs is None else (*self.expose, "docs")
