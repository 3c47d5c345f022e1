"""The class that a plugin derives from, and what the gateway gives it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from spork.application.kernel.clock import Clock
from spork.application.upstreams.transport import UpstreamTransport
from spork.domain.identity.tokens import TokenVerifier
from spork.domain.limits.limit import RateLimiter
from spork.plugins.request import Request, Summary
from spork.plugins.verdicts import Verdict

#: Judges one request; an awaitable only where it has to wait.
Check = Callable[[Request], Verdict | Awaitable[Verdict]]

#: Most counters of one plugin.
MOST_COUNTERS = 100


@dataclass(frozen=True, slots=True)
class Reason:
    """What a refusal of a plugin means: the `status` it is answered with (400 to 599) and the `title` of its problem."""

    status: int
    title: str


@dataclass(slots=True)
class PluginContext:
    """What a plugin is given when it is made: its `options` as read from the configuration, None where it declares none,
    and the gateway's clock."""

    options: Any
    clock: Clock
    counters: dict[str, int] = field(default_factory=dict)

    def count(self, counter: str, number: int = 1) -> None:
        """Add to one of the plugin's own counters, shown as `gateway_plugin_counts_total{plugin, counter}`. A name beyond
        the first hundred is counted as `other`."""
        if counter not in self.counters and len(self.counters) >= MOST_COUNTERS:
            counter = "other"
        self.counters[counter] = self.counters.get(counter, 0) + number


class Plugin:
    """One plugin. Made once per process; override the hooks that it needs, leave the others out.

    The first sentence of the docstring is its documentation in `spork explain`. Nothing here runs in a thread: a check that
    computes for long stops every request, and is logged.
    """

    #: Its word in configuration, metrics and traces: lower-case letters, digits and `_`.
    name: ClassVar[str] = ""
    #: Struct of `plugins: [{use: ..., options: {...}}]`; None takes no options.
    options: ClassVar[type[Any] | None] = None
    #: Struct of `routes[].plugins.NAME`; None where it has nothing to say about routes.
    route_options: ClassVar[type[Any] | None] = None
    #: When its check is asked: before credentials are looked at, or after limits.
    stage: ClassVar[Literal["before_credentials", "after_limits"]] = "after_limits"
    #: Its refusals: slug to status and title. In problem documents and metrics each is called `NAME_slug`.
    reasons: ClassVar[Mapping[str, Reason]] = {}
    #: Whether asking changes nothing, so that `explain` may ask.
    pure: ClassVar[bool] = False
    #: Longest wait for a check that has to wait, seconds.
    timeout: ClassVar[float] = 1.0
    #: What becomes of a request when the check fails: refused with 503, or let pass.
    on_failure: ClassVar[Literal["refuse", "pass"]] = "refuse"

    def __init__(self, context: PluginContext) -> None:
        self.context = context

    def check_options(self, options: Any) -> Iterable[str]:
        """What is wrong with a route's options beside their types, one sentence each."""
        return ()

    def guard(self, options: Any, route: str) -> Check | None:
        """What judges the requests of a route that says `plugins: {NAME: options}`. Called once per configuration."""
        return None

    def observe(self, summary: Summary) -> None:
        """Hears of each request once, when it is over."""

    def limiter(self, built_in: RateLimiter) -> RateLimiter | None:
        """The rate limiter to count with in place of the one built in."""
        return None

    def verifier(self) -> TokenVerifier | None:
        """Judges bearer tokens for routes that say `auth: {any_of: [plugin]}`."""
        return None

    def transport(self) -> UpstreamTransport | None:
        """Sends requests of upstreams that say `transport: NAME`."""
        return None


def overrides(kind: type[Plugin], hook: str) -> bool:
    """Whether a plugin has a hook of its own."""
    return getattr(kind, hook) is not getattr(Plugin, hook)


def documentation(kind: type[Plugin]) -> str:
    """The first sentence of a plugin's docstring."""
    text = " ".join((kind.__doc__ or "").split())
    return text.partition(". ")[0].rstrip(".")
