"""Routes as written: what they match, where they lead, and what they ask of a request."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from spork.adapters.yaml.scalars import (
    CookieName,
    Duration,
    HeaderName,
    Host,
    HttpStatus,
    Method,
    Network,
    PathExpression,
    Positive,
    Ratio,
    RoutePath,
    Size,
    Slashed,
)
from spork.adapters.yaml.written.answers import Maintenance, Respond
from spork.adapters.yaml.written.auth import Auth, AuthMethod
from spork.adapters.yaml.written.authorize import Authorize
from spork.adapters.yaml.written.cache import RouteCache
from spork.adapters.yaml.written.callers import Limit
from spork.adapters.yaml.written.form import Written
from spork.adapters.yaml.written.graphql import GraphQL
from spork.adapters.yaml.written.headers import HeaderEdits as HeaderEdits
from spork.adapters.yaml.written.headers import Headers as Headers
from spork.adapters.yaml.written.openapi import Validate
from spork.adapters.yaml.written.telemetry import RouteTrace
from spork.adapters.yaml.written.transforms import Transform
from spork.adapters.yaml.written.webhooks import Webhook
from spork.adapters.yaml.written.websocket import Stream, WebSocket
from spork.domain.http.coding import COMPRESSED_TYPES


class Match(Written, frozen=True):
    """What a request must look like. See docs/routing.md for precedence."""

    path: Annotated[RoutePath | None, "/x exactly, /x/* and everything below, {name} for one segment."] = None
    paths: Annotated[tuple[RoutePath, ...], "Several paths."] = ()
    path_regexp: Annotated[
        PathExpression | None,
        "Regular expression for the whole path, beside `path` or alone; asked last, in linear time, without captures.",
    ] = None
    host: Annotated[Host | None, "One host: api.example.com or *.example.com; left out: any."] = None
    hosts: Annotated[tuple[Host, ...], "Several hosts."] = ()
    methods: Annotated[tuple[Method, ...], "Methods taken; GET includes HEAD; empty: any."] = ()
    headers: Annotated[
        dict[HeaderName, str | None], "Headers with exactly this value; empty (null): merely present."
    ] = msgspec.field(default_factory=dict)
    body: Annotated[
        dict[str, str],
        "Fields of a JSON body (dotted names) and their text, * at its end for any rest; asked after everything else, in"
        " bodies of up to 64 KiB.",
    ] = msgspec.field(default_factory=dict)
    query: Annotated[
        dict[str, str | None], "Query parameters with exactly this value; empty (null): merely present."
    ] = msgspec.field(default_factory=dict)


class Redirect(Written, frozen=True):
    """Answer with a redirect."""

    to: Annotated[str, "Location; {scheme} {host} {path} {query} {rest} and the path's parameters are filled in."]
    status: Annotated[Literal[301, 302, 303, 307, 308], "Status of the redirect."] = 308


class RouteTimeouts(Written, frozen=True):
    """Deadlines of this route's exchanges with targets, instead of the upstream's."""

    first_byte: Annotated[Duration | None, "Until the answer's head has arrived; left out: the upstream's."] = None
    idle: Annotated[Duration | None, "Longest silence between two pieces of a body; left out: the upstream's."] = None


class RewriteBack(Written, frozen=True):
    """What of a target's answers is told from its own point of view, and is told from the client's instead."""

    location: Annotated[bool, "Location and Content-Location that name a target or a path of its own."] = True
    cookies: Annotated[bool, "Path and Domain of the cookies it sets."] = True


class Cors(Written, frozen=True):
    """Cross-origin access of browsers."""

    origins: Annotated[
        tuple[str, ...],
        "Accepted origins: https://app.example.com exactly, https://*.example.com for the names below, capacitor://localhost;"
        ' "null" in quotes for sandboxed pages; * alone: any, never with credentials.',
    ]
    credentials: Annotated[bool, "Let browsers send cookies and credentials."] = False
    methods: Annotated[tuple[Method, ...], "Methods allowed to other origins."] = (
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
    )
    headers: Annotated[tuple[str, ...], "Request headers allowed to other origins."] = (
        "authorization",
        "content-type",
        "x-api-key",
    )
    expose: Annotated[tuple[str, ...], "Answer headers that scripts may read."] = ()
    max_age: Annotated[Duration, "How long browsers may keep the preflight's answer."] = 600.0


class Security(Written, frozen=True):
    """Request security of a route."""

    allow: Annotated[tuple[Network, ...], "Client networks let in; empty: all."] = ()
    deny: Annotated[tuple[Network, ...], "Client networks refused, before `allow` is asked."] = ()
    https: Annotated[Literal["off", "refuse", "redirect"], "What happens to requests over plain http."] = "off"
    hsts: Annotated[str, "Strict-Transport-Security value, e.g. max-age=31536000; empty: none."] = ""
    csrf: Annotated[bool, "Refuse cross-site writes of cookie-carrying requests (Fetch Metadata, Origin)."] = False
    csrf_origins: Annotated[tuple[str, ...], "Other origins that may write all the same."] = ()
    csrf_session: Annotated[
        CookieName, "Cookie of the target's session: a CSRF token is good for one value of it. Empty: for any session."
    ] = ""
    screen: Annotated[Literal["off", "observe", "block"], "Threat screen for injection patterns."] = "off"
    screen_bytes: Annotated[Size, "Largest body that is screened, at most 64KiB; larger ones pass unseen."] = 16 * 1024
    headers: Annotated[bool, "Add the usual security headers to answers."] = False
    schema: Annotated[str, "JSON Schema file that request bodies must satisfy."] = ""


class Split(Written, frozen=True):
    """A share of the route's traffic for another upstream."""

    upstream: Annotated[str, "The upstream that gets the share."]
    weight: Annotated[Ratio, "The share, 0..1 or percent."] = 0.0
    header: Annotated[dict[HeaderName, str], "One header and its value: requests that carry it go there."] = (
        msgspec.field(default_factory=dict)
    )
    consumers: Annotated[tuple[str, ...], "Consumers whose requests go there."] = ()


class Mirror(Written, frozen=True):
    """A copy of requests for a shadow upstream; its answers are thrown away."""

    upstream: Annotated[str, "The shadow upstream."]
    share: Annotated[Ratio, "Share of requests that is copied."] = 1.0


class Decode(Written, frozen=True):
    """Content codings of request bodies; what is decoded is bounded by body_bytes, too."""

    codings: Annotated[tuple[Literal["gzip", "zstd", "br"], ...], "Codings taken; any other is answered 415."] = (
        "gzip",
        "zstd",
        "br",
    )
    ratio: Annotated[
        Positive, "Decoded bytes that one coded byte may become; more is refused (above 64KiB decoded)."
    ] = 100


class Compression(Written, frozen=True):
    """Compression of answers, by what the client accepts."""

    codings: Annotated[
        tuple[Literal["zstd", "br", "gzip"], ...], "Codings offered; the client's preference first, then this order."
    ] = ("zstd", "br", "gzip")
    min: Annotated[Size, "Smaller answers stay as they are."] = 1024
    types: Annotated[tuple[str, ...], "Media types compressed: type/subtype or type/*; +json counts as JSON."] = (
        COMPRESSED_TYPES
    )
    secrets: Annotated[
        Literal["refuse", "allow"],
        "`allow` compresses also answers that set cookies, and those to cross-site requests with cookies (BREACH).",
    ] = "refuse"


class Route(Written, frozen=True, kw_only=True):
    """Selects requests and says what happens to them."""

    name: Annotated[str, "Name in metrics, logs and views; left out: made from the path."] = ""
    match: Annotated[RoutePath | Match, "What a request must look like; a bare path is enough."]
    upstream: Annotated[str | None, "Where requests go; {name} takes it from the path (dynamic services)."] = None
    api: Annotated[str, "API under `apis:` whose versions this route serves, each as a route of its own."] = ""
    redirect: Annotated[str | Redirect | None, "Answer with a redirect instead; a bare location is enough."] = None
    respond: Annotated[HttpStatus | Respond | None, "Answer with this instead; a bare status is enough."] = None
    maintenance: Annotated[
        bool | Maintenance | None, "Planned absence: 503 and Retry-After for all but those named."
    ] = None
    strip_prefix: Annotated[Slashed, "Taken off the front of the path before it goes to the target."] = ""
    add_prefix: Annotated[Slashed, "Put in front of the path, after strip_prefix."] = ""
    rewrite: Annotated[Slashed, "The whole path towards the target; {name} and {rest} are filled in."] = ""
    rewrite_back: Annotated[
        bool | RewriteBack,
        "Undo the change of the path in Location and cookies of answers, and hide targets' addresses.",
    ] = False
    encoded_slashes: Annotated[
        Literal["refuse", "keep"], "A %2F in the path: refused, or part of its segment, here and towards the target."
    ] = "refuse"
    auth: Annotated[AuthMethod | Auth | None, "Credentials needed; left out: none. A bare method is enough."] = None
    limits: Annotated[tuple[Limit, ...], "Limits, all of which must admit a request."] = ()
    cors: Annotated[Cors | None, "Cross-origin access; left out: the target decides."] = None
    security: Annotated[Security | None, "Request security."] = None
    headers: Annotated[Headers, "Header transforms."] = Headers()
    cache: Annotated[
        bool | RouteCache, "The response cache: true stores what the target allows; false or left out: nothing."
    ] = False
    timeout: Annotated[Duration | None, "Total deadline instead of the upstream's."] = None
    timeouts: Annotated[RouteTimeouts, "Deadlines instead of the upstream's."] = RouteTimeouts()
    body_bytes: Annotated[Size | None, "Largest request body instead of edge.body_bytes."] = None
    splits: Annotated[tuple[Split, ...], "Canaries: shares of the traffic for other upstreams."] = ()
    mirror: Annotated[str | Mirror | None, "Shadow upstream that gets a copy; a bare name is enough."] = None
    priority: Annotated[
        Literal["high", "normal", "low"], "Which requests go first, and which are shed first, under load."
    ] = "normal"
    decode: Annotated[
        Decode | None,
        "Send the target decoded request bodies. Left out: coded ones go on as they are, decoded only for policies"
        " that look into them.",
    ] = None
    plugins: Annotated[
        dict[str, Any], "Plugins that judge its requests, by name, with what each takes; asked in this order."
    ] = msgspec.field(default_factory=dict)
    authorize: Annotated[Authorize | None, "Ask a service whether each request may pass."] = None
    webhook: Annotated[Webhook | None, "Take only webhooks that a provider signed."] = None
    validate: Annotated[Validate | None, "Check requests and answers by the upstream's OpenAPI document."] = None
    graphql: Annotated[GraphQL | None, "GraphQL policies of a route that leads to a GraphQL service."] = None
    transform: Annotated[Transform | None, "Changes of requests and answers."] = None
    stream: Annotated[Stream | None, "Policies of event streams."] = None
    websocket: Annotated[WebSocket | None, "Policies of WebSockets; left out: they pass byte for byte."] = None
    compression: Annotated[bool | Compression | None, "Compress answers; `true` is enough."] = None
    server_timing: Annotated[bool, "Add Server-Timing to answers: where the time went."] = False
    trace: Annotated[Literal["off"] | RouteTrace | None, "Tracing of this route; off: never traced."] = None
    metadata: Annotated[dict[str, str], "Free notes (owner, ticket) shown in views; no meaning to the gateway."] = (
        msgspec.field(default_factory=dict)
    )
