"""What an operator may write: msgspec Structs, one per mapping of the document, unknown fields refused.

The text beside each field is its documentation: it feeds the JSON Schema and docs/configuration.md. Scalars are of the
kinds in `scalars.py`; the defaults are those of the domain's policies, so that an absent key and its default are one.
"""

from spork.adapters.yaml.written.callers import (
    ClaimNames,
    Consumer,
    Issuer,
    Limit,
    Plan,
)
from spork.adapters.yaml.written.routes import (
    Auth,
    Cors,
    Decode,
    HeaderEdits,
    Headers,
    Match,
    Mirror,
    Redirect,
    Route,
    Security,
    Split,
)
from spork.adapters.yaml.written.server import (
    Admin,
    AdminToken,
    Document,
    Edge,
    Events,
    ListenerTls,
    Objective,
    Registration,
)
from spork.adapters.yaml.written.telemetry import Force, Otlp, RouteTrace, Telemetry, Traces
from spork.adapters.yaml.written.upstreams import (
    Breaker,
    Fallback,
    HashBalance,
    Outliers,
    Pool,
    Probe,
    Retries,
    Target,
    TargetTls,
    Timeouts,
    Upstream,
)

__all__ = [
    "Admin",
    "AdminToken",
    "Auth",
    "Breaker",
    "ClaimNames",
    "Consumer",
    "Cors",
    "Decode",
    "Document",
    "Edge",
    "Events",
    "Fallback",
    "Force",
    "HashBalance",
    "HeaderEdits",
    "Headers",
    "Issuer",
    "Limit",
    "ListenerTls",
    "Match",
    "Mirror",
    "Objective",
    "Otlp",
    "Outliers",
    "Plan",
    "Pool",
    "Probe",
    "Redirect",
    "Registration",
    "Retries",
    "Route",
    "RouteTrace",
    "Security",
    "Split",
    "Target",
    "TargetTls",
    "Telemetry",
    "Timeouts",
    "Traces",
    "Upstream",
]
