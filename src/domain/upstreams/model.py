"""Upstreams and their targets: immutable declarations. Balancing lives in `balancing.py`, health in `health.py`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import Final

from spork.domain.http.edits import HeaderEdit
from spork.domain.limits.limit import Limit
from spork.domain.openapi.policy import DocumentSource
from spork.domain.upstreams.circuit import BreakerPolicy
from spork.domain.upstreams.credentials import Credential, RestPolicy
from spork.domain.upstreams.health import OutlierPolicy, ProbePolicy
from spork.domain.upstreams.retries import RetryPolicy


@dataclass(frozen=True, slots=True)
class TlsToTarget:
    """How a target's certificate is verified and which one we present. Paths name PEM files."""

    verify: bool = True
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    server_name: str | None = None
    #: What the files were when the configuration was read: others make another value, and connections to come use them.
    stamp: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """One address of an upstream.

    `url` is what the operator wrote; the rest is taken from it. `scheme` is http or https; `unix_path` is set for
    `unix:` targets; `base_path` is a canonical path prefix without trailing slash, empty for none.
    `priority` 0 is used first; higher numbers are spares. `weight` is a positive integer. `known_as` is the name in the
    Host header when `host` is an address that was vetted or looked up for that name. With `lookup` (dns or srv) this is
    no address but a name that stands for several targets (see `Upstream.names`).
    """

    url: str
    scheme: str
    host: str
    port: int
    unix_path: str | None = None
    base_path: bytes = b""
    weight: int = 1
    priority: int = 0
    name: str = ""
    tls: TlsToTarget | None = None
    known_as: str = ""
    lookup: str = ""
    #: Which addresses of its name are used: any, ipv4 or ipv6.
    family: str = "any"
    #: Networks its address must be in, or `public`; empty: any. Names are judged by what they resolve to.
    allow: tuple[str, ...] = ()

    @property
    def authority(self) -> bytes:
        """The Host header value for this target: port left out when it is the scheme's default."""
        host = self.known_as or self.host
        host = f"[{host}]" if ":" in host else host
        if self.scheme == "asgi":
            return b"localhost"
        if self.unix_path is not None:
            return host.encode("ascii")
        default = 443 if self.scheme == "https" else 80
        return (host if self.port == default else f"{host}:{self.port}").encode("ascii")


def secured(target: Target, tls: TlsToTarget) -> Target:
    """An https target with its upstream's `tls`, unless it has its own; the name it was found under stays."""
    own = target.tls
    if target.scheme != "https" or tls == TlsToTarget():
        return target
    if own is None:
        return replace(target, tls=tls)
    only_named = own == TlsToTarget(server_name=own.server_name)
    return replace(target, tls=replace(tls, server_name=own.server_name)) if only_named else target


def parse_target(
    url: str, *, weight: int = 1, priority: int = 0, name: str = "", tls: TlsToTarget | None = None
) -> Target:
    """The target that `url` names: `http://host:port/base`, `https://...`, `unix:/path/to.sock` or `asgi:module:app`; or the name of several:
    `dns://name:port`, `srv://_http._tcp.name`, with `dns+https://` and `srv+https://` for TLS.

    Raises ValueError with a sentence that says what is wrong. A target without a name is called by its address.
    """
    if url.startswith("unix:"):
        path = url.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/"):
            raise ValueError("a unix target is unix:/path/to.sock")
        return Target(url, "http", "localhost", 0, path, b"", weight, priority, name or url, tls)
    if url.startswith("asgi:"):
        return _application(url, weight, priority, name)
    scheme, separator, rest = url.partition("://")
    lookup, _, over = scheme.partition("+")
    if lookup in ("dns", "srv"):
        scheme = over or "http"
    else:
        lookup = ""
    if not separator:
        raise ValueError(f"{url!r} has no scheme|did you mean http://{url}?")
    if scheme not in ("http", "https"):
        raise ValueError(f"scheme {scheme!r} is not http or https (or unix:/path)")
    authority, slash, below = rest.partition("/")
    host, port = _split_authority(authority, 443 if scheme == "https" else 80)
    base = _base_path(slash + below)
    label = name or f"[{host}]:{port}{base}" if ":" in host else name or f"{host}:{port}{base}"
    return Target(url, scheme, host, port, None, base.encode("ascii"), weight, priority, label, tls, lookup=lookup)


_APPLICATION: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_.]*\Z")


def _application(url: str, weight: int, priority: int, name: str) -> Target:
    """A target in this process, `asgi:package.module:app`; its host is what is imported."""
    what = url.removeprefix("asgi:")
    if not _APPLICATION.match(what):
        raise ValueError("an application in this process is asgi:package.module:app")
    return Target(url, "asgi", what, 0, None, b"", weight, priority, name or what)


_HOST_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-_")


def _split_authority(authority: str, default_port: int) -> tuple[str, int]:
    if "@" in authority:
        raise ValueError("a target's URL carries no user or password; set headers.request instead")
    if authority.startswith("["):
        host, bracket, tail = authority[1:].partition("]")
        if not bracket or not host or not set(host.lower()) <= frozenset("0123456789abcdef:."):
            raise ValueError(f"{authority!r} is not [IPv6]:port")
    else:
        host, colon, number = authority.partition(":")
        tail = colon + number
        if not host or not set(host.lower()) <= _HOST_CHARACTERS:
            raise ValueError(f"{host!r} is not a host name or address")
    if not tail:
        return host.lower(), default_port
    number = tail[1:]
    if tail[0] != ":" or not (number.isascii() and number.isdecimal() and len(number) <= 5 and 0 < int(number) < 65536):
        raise ValueError(f"port {number!r} is not 1 to 65535")
    return host.lower(), int(number)


def _base_path(path: str) -> str:
    if "?" in path or "#" in path:
        raise ValueError("a target's URL has no query or fragment")
    if any(ord(c) <= 32 or ord(c) > 126 or c in '\\"<>' for c in path):
        raise ValueError("a target's path is printable ASCII; percent-encode the rest")
    path = path.rstrip("/")
    if any(part in ("", ".", "..") for part in path.split("/")[1:]):
        raise ValueError("a target's path has no empty or dot segments")
    return path


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Deadlines of one upstream exchange, in seconds. `idle` is the longest silence between two body pieces.

    `total` spans everything up to the last body byte; infinity by default, because downloads and event streams may
    rightly last, while `first_byte` and `idle` still end what hangs.
    """

    connect: float = 0.5
    first_byte: float = 15.0
    idle: float = 60.0
    total: float = math.inf


@dataclass(frozen=True, slots=True)
class Patience:
    """A route's own deadlines, in seconds, in place of its upstream's; None leaves those. `first_event` is what event streams
    may take for their first one: the head may take as long, if that is longer."""

    first_byte: float | None = None
    idle: float | None = None
    first_event: float = 0.0

    def of(self, timeouts: Timeouts) -> Timeouts:
        first = timeouts.first_byte if self.first_byte is None else self.first_byte
        idle = timeouts.idle if self.idle is None else self.idle
        return replace(timeouts, first_byte=max(first, self.first_event), idle=idle)


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """Bounds of a target's connection pool. `idle` and `lifetime` in seconds; `pending` requests may wait for one.

    `proxy` is the URL of the forward proxy that connections go through, with credentials if it wants any; empty: none.
    """

    connections: int = 256
    pending: int = 1024
    idle: float = 60.0
    lifetime: float = 3600.0
    proxy: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Fallback:
    """What is answered instead when no target can: the last good answer if it is at most `stale` seconds old, else another
    upstream by name, else a static answer."""

    status: int = 503
    body: bytes = b""
    content_type: str = "application/json"
    upstream: str | None = None
    stale: float = 0.0
    #: Answers of targets that the fallback stands in for, too.
    statuses: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Balance:
    """round_robin, weighted, least_request, peak_ewma or hash; `hash_on` is consumer, ip, header:X or cookie:X."""

    algorithm: str = "round_robin"
    hash_on: str = ""


@dataclass(frozen=True, slots=True)
class StickyCookie:
    """A cookie by which the gateway keeps a client on its target. `ttl` in seconds, None ends it with the browser.

    `secure` is auto (where the client came by https), always or never; `same_site` lax, strict or none.
    """

    name: str = "spork-target"
    ttl: float | None = None
    path: str = "/"
    secure: str = "auto"
    http_only: bool = True
    same_site: str = "lax"

    def field(self, token: bytes, scheme: str) -> tuple[bytes, bytes]:
        """The Set-Cookie field that puts a client on the target of this token (RFC 6265 4.1)."""
        parts = [f"{self.name}={token.decode('ascii')}", f"Path={self.path}"]
        if self.ttl is not None:
            parts.append(f"Max-Age={round(self.ttl)}")
        if self.secure == "always" or (self.secure == "auto" and scheme == "https"):
            parts.append("Secure")
        if self.http_only:
            parts.append("HttpOnly")
        parts.append(f"SameSite={self.same_site.capitalize()}")
        return b"set-cookie", "; ".join(parts).encode("ascii")


@dataclass(frozen=True, slots=True)
class Upstream:
    """A named pool of targets with the policies of talking to it."""

    name: str
    targets: tuple[Target, ...]
    balance: Balance = Balance()
    sticky: StickyCookie | None = None
    timeouts: Timeouts = Timeouts()
    pool: PoolPolicy = PoolPolicy()
    probe: ProbePolicy | None = None
    outliers: OutlierPolicy | None = None
    breaker: BreakerPolicy | None = None
    retries: RetryPolicy | None = None
    fallback: Fallback | None = None
    slow_start: float = 0.0
    transport: str = "httptools"
    pass_host: bool = False
    adaptive_concurrency: bool = False
    tls: TlsToTarget = field(default_factory=TlsToTarget)
    request_headers: HeaderEdit = HeaderEdit()
    response_headers: HeaderEdit = HeaderEdit()
    #: What the gateway shows for itself, in place of the client's credentials.
    credentials: Credential | None = None
    #: What may be sent here by all routes together.
    quotas: tuple[Limit, ...] = ()
    rest: RestPolicy | None = None
    #: Where its OpenAPI document comes from; None: none is known.
    openapi: DocumentSource | None = None

    @property
    def listed(self) -> tuple[Target, ...]:
        """Targets that are addresses (or single names, resolved when connecting)."""
        return tuple(target for target in self.targets if not target.lookup)

    @property
    def names(self) -> tuple[Target, ...]:
        """Names that stand for as many targets as they have addresses or service records."""
        return tuple(target for target in self.targets if target.lookup)
