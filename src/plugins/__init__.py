"""Plugins of the gateway: guards, observers, rate limiters, token verifiers and transports of your own.

Everything named here is the stable surface: it follows the version policy of the package, and nothing else does. A plugin is
one class that derives from `Plugin`, named in the configuration as `plugins: [package.module:Class]`, or by the name of an
entry point of the group `spork.plugins`. docs/plugins.md is the tutorial; `spork.testing` runs a gateway for its tests.
"""

from spork.domain.identity.tokens import (
    NotPresented,
    Principal,
    Refused,
    TokenVerifier,
    Unverifiable,
    Verified,
    identity_headers,
)
from spork.domain.limits.limit import Admitted, Charge, Decision, Limit, LimitState, RateLimiter, Throttled
from spork.plugins.plugin import Check, Plugin, PluginContext, Reason
from spork.plugins.request import Request, Summary
from spork.plugins.verdicts import Deny, Respond, Verdict

__all__ = [
    "Admitted",
    "Charge",
    "Check",
    "Decision",
    "Deny",
    "Limit",
    "LimitState",
    "NotPresented",
    "Plugin",
    "PluginContext",
    "Principal",
    "RateLimiter",
    "Reason",
    "Refused",
    "Request",
    "Respond",
    "Summary",
    "Throttled",
    "TokenVerifier",
    "Unverifiable",
    "Verdict",
    "Verified",
    "identity_headers",
]
