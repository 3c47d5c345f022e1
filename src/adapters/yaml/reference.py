"""The reference of every key as Markdown tables, from the same declarations that reading goes by.

`python docs/reference.py` puts it into docs/configuration.md; a test fails while the page says anything else.
"""

from __future__ import annotations

from typing import Any

import msgspec

from spork.adapters.yaml import written
from spork.adapters.yaml.shapes import Choice, Either, Entries, Field, ItemShape, Record, Scalar, Shape, fields_of

#: Each Struct and the heading it stands under, in the order of the page.
SECTIONS: tuple[tuple[type[msgspec.Struct], str], ...] = (
    (written.Document, "Top level"),
    (written.Edge, "edge"),
    (written.Admin, "admin"),
    (written.AdminToken, "admin tokens"),
    (written.ListenerTls, "tls"),
    (written.Docs, "docs"),
    (written.CertificatePair, "further certificates"),
    (written.DataListener, "listeners"),
    (written.Cache, "cache"),
    (written.Registration, "registration"),
    (written.Telemetry, "telemetry"),
    (written.Otlp, "otlp"),
    (written.Traces, "traces"),
    (written.Force, "force"),
    (written.Events, "events"),
    (written.Decisions, "decisions"),
    (written.Export, "exports"),
    (written.PluginEntry, "plugins"),
    (written.Objective, "objectives"),
    (written.Issuer, "issuers"),
    (written.ClaimNames, "claim_names"),
    (written.Plan, "plans"),
    (written.Limit, "limits"),
    (written.CostFromAnswer, "cost"),
    (written.Consumer, "consumers"),
    (written.ConsumerClaim, "claims of consumers"),
    (written.Upstream, "upstreams"),
    (written.Target, "targets"),
    (written.HashBalance, "balance by hash"),
    (written.Sticky, "sticky"),
    (written.Probe, "probe"),
    (written.Outliers, "outliers"),
    (written.Breaker, "breaker"),
    (written.Retries, "retries"),
    (written.Timeouts, "timeouts"),
    (written.Pool, "pool"),
    (written.Fallback, "fallback"),
    (written.TargetTls, "tls of targets"),
    (written.Credentials, "credentials"),
    (written.HeaderCredential, "header credential"),
    (written.BasicCredential, "basic credential"),
    (written.OAuth2Credential, "oauth2"),
    (written.AwsCredentials, "aws"),
    (written.HmacCredentials, "hmac"),
    (written.Rest, "rest"),
    (written.OpenApiSource, "openapi"),
    (written.Route, "routes"),
    (written.Match, "match"),
    (written.Redirect, "redirect"),
    (written.Respond, "respond"),
    (written.Maintenance, "maintenance"),
    (written.RewriteBack, "rewrite_back"),
    (written.RouteTimeouts, "timeouts of routes"),
    (written.Auth, "auth"),
    (written.CredentialGroup, "credential groups"),
    (written.TokenPlaces, "places of tokens"),
    (written.KeyPlaces, "places of keys"),
    (written.Authorize, "authorize"),
    (written.AuthorizeCache, "cache of authorize"),
    (written.Cors, "cors"),
    (written.Security, "security"),
    (written.Headers, "headers"),
    (written.HeaderEdits, "header edits"),
    (written.Split, "splits"),
    (written.Mirror, "mirror"),
    (written.Decode, "decode"),
    (written.RouteTrace, "trace"),
    (written.Stream, "stream"),
    (written.WebSocket, "websocket"),
    (written.MessageLimit, "websocket messages"),
    (written.Compression, "compression"),
    (written.Channels, "channels"),
    (written.ChannelRule, "rules of channels"),
    (written.ChannelDemand, "subscribe and publish of channels"),
    (written.ChannelHistory, "history of channels"),
    (written.SlowSubscriber, "slow of channels"),
    (written.Pusher, "pusher of channels"),
    (written.PersonalChannel, "personal of channels"),
    (written.RouteCache, "cache of routes"),
    (written.CacheQuery, "query of caches"),
    (written.Webhook, "webhook"),
    (written.Validate, "validate"),
    (written.GraphQL, "graphql"),
    (written.GraphQLLimits, "graphql limits"),
    (written.GraphQLCost, "graphql cost"),
    (written.GraphQLNeeds, "graphql needs"),
    (written.Operations, "graphql operations"),
    (written.OperationLimit, "operation limits"),
    (written.Introspection, "introspection"),
    (written.Apq, "apq"),
    (written.Subscriptions, "subscriptions"),
    (written.Api, "apis"),
    (written.Select, "select"),
    (written.Version, "versions"),
    (written.BrownoutTime, "brownouts"),
    (written.VersionExcept, "version exceptions"),
    (written.Transform, "transform"),
    (written.RequestTransform, "transform request"),
    (written.ResponseTransform, "transform response"),
    (written.QueryEdits, "query edits"),
    (written.JsonOperation, "json operations"),
    (written.MaskFields, "mask"),
    (written.MaskExcept, "mask exceptions"),
    (written.TransformWhen, "transform when"),
)
_TITLES = dict(SECTIONS)


def reference() -> str:
    """One section per mapping: its keys, what they take, their defaults, what they mean."""
    return "\n\n".join(_section(struct, title) for struct, title in SECTIONS) + "\n"


def _section(struct: type[msgspec.Struct], title: str) -> str:
    rows = [
        f"| `{key}` | {_takes(field.shape)} | {_default(field)} | {field.doc} |"
        for key, field in fields_of(struct).items()
    ]
    table = ["| key | takes | default | meaning |", "|---|---|---|---|", *rows]
    return f"### {title}\n\n{(struct.__doc__ or '').strip()}\n\n" + "\n".join(table)


def _takes(shape: Shape) -> str:
    if isinstance(shape, Scalar):
        return shape.kind.name.removeprefix("a ").removeprefix("an ")
    if isinstance(shape, Choice):
        return ", ".join(f"`{option}`" for option in shape.options)
    if isinstance(shape, ItemShape):
        return f"list of {_takes(shape.item)}"
    if isinstance(shape, Entries):
        return f"name: {_takes(shape.value)}"
    if isinstance(shape, Record):
        title = _TITLES[shape.struct]
        return f"[{title}](#{title.lower().replace(' ', '-')})"
    if isinstance(shape, Either):
        return " or ".join(
            _takes(option) for option in (shape.scalar, shape.items, shape.mapping) if option is not None
        )
    return "anything"


def _default(field: Field) -> str:
    if field.required:
        return "**required**"
    value: Any = field.default
    if value is None or value in ("", (), {}) or isinstance(value, msgspec.Struct):
        return ""
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    shape = field.shape.scalar if isinstance(field.shape, Either) else field.shape
    text = shape.kind.format(value) if isinstance(shape, Scalar) else value
    return f"`{str(text).lower() if isinstance(text, bool) else text}`"
