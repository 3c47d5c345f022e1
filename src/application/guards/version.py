"""Versions of an API: which one a request means, whether it is still served, and the consumer's own version.

The route table has chosen by path, header, query or Accept already; here two selectors that disagree, unknown versions and
dates are judged. It stands behind authorization, because exceptions and pinned versions go by consumer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.configuration.problems import Diagnostic
from spork.application.exchange.exchange import NO_FIELDS, Exchange, Verdict
from spork.application.guards.policy import Policy
from spork.application.views import GuardVerdict
from spork.domain.outcomes import Denial
from spork.domain.routing.versions import ApiVersion, Stage, http_date, named_versions

#: The version that a consumer is pinned to: consumer and API to version, "" for none.
PinnedVersion = Callable[[str, str], str]
#: Goes on with the guards that stand behind this one in another route's plan.
GoOn = Callable[[Exchange, str], Verdict | Awaitable[Verdict]]

_RETIRED: Final = "This version is no longer served; use {successor}."
_BROWNOUT: Final = "This version ends soon and is away for a while, so that it is noticed; use {successor}."


class VersionGuard:
    """Judges the version of one route."""

    phase = "version"
    response_fields = NO_FIELDS

    def __init__(self, version: ApiVersion, pinned: PinnedVersion, go_on: GoOn) -> None:
        self._version = version
        self._pinned = pinned
        self._go_on = go_on
        members: dict[str, object] = {"versions": list(version.names)}
        self._unknown = Denial("unknown_version", "There is no such version.", members=members)
        self._unnamed = Denial("unknown_version", "The request has to name a version.", members=members)
        self._conflict = Denial("version_conflict", "The request names two versions that disagree.", members=members)
        self._strip = frozenset((version.selectors.header,)) - {b""}
        if version.selectors.keep:
            self._strip = frozenset()

    def admit(self, exchange: Exchange) -> Verdict | Awaitable[Verdict]:
        version, head = self._version, exchange.head
        named = named_versions(version.selectors, version.names, head.path, head.headers, head.query)
        if named:
            if named[0] not in version.names or any(other not in version.names for other in named):
                return self._unknown
            if any(other != named[0] for other in named):
                return self._conflict
        if not version.name:
            return self._unpinned(exchange)
        if self._strip:
            exchange.consumed |= self._strip
        return self._dated(exchange)

    def _unpinned(self, exchange: Exchange) -> Verdict | Awaitable[Verdict]:
        """No version is named: the consumer's own, else the oldest; or that is not allowed."""
        version = self._version
        if not version.pinned:
            return self._unnamed
        principal = exchange.principal
        name = self._pinned(principal.consumer, version.api) if principal is not None else ""
        return self._go_on(exchange, name if name in version.names else version.names[0])

    def _dated(self, exchange: Exchange) -> Verdict:
        version, now = self._version, exchange.unix
        stage = version.stage(now)
        if stage is Stage.CURRENT or stage is Stage.DEPRECATED:
            return None
        principal = exchange.principal
        if principal is not None and principal.consumer in version.exempt:
            return None
        members: dict[str, object] = {"version": version.name}
        successor = version.successor or version.default
        if successor:
            members["successor"] = successor
        if version.docs:
            members["docs"] = version.docs
        words = successor or "another one"
        if stage is Stage.RETIRED:
            return Denial("version_retired", _RETIRED.format(successor=words), members=members)
        end = version.brownout_ends(now) or now
        return Denial(
            "version_brownout", _BROWNOUT.format(successor=words), retry_after=max(1.0, end - now), members=members
        )

    def explain(self, exchange: Exchange) -> GuardVerdict:
        version = self._version
        if not version.name:
            return GuardVerdict(
                self.phase, "unknown", "the consumer's own version" if version.pinned else "none is named"
            )
        verdict = self.admit(exchange)
        if isinstance(verdict, Denial):
            return GuardVerdict(self.phase, "refuse", verdict.reason)
        stage = version.stage(exchange.unix).value
        until = "" if version.sunset is None else f", until {http_date(version.sunset).decode()}"
        return GuardVerdict(self.phase, "pass", f"{version.api} {version.name} is {stage}{until}")


class VersionPolicy(Policy):
    """`api:` of a route."""

    phase = "version"

    def __init__(self, go_on: Callable[[Exchange, str, str], Verdict | Awaitable[Verdict]]) -> None:
        self._go_on = go_on

    def compile(self, route: RouteConfig, configuration: Configuration) -> VersionGuard | None:
        version = route.version
        if version is None:
            return None
        pins: Mapping[tuple[str, str], str] = {
            (consumer.name, api): name for consumer in configuration.consumers for api, name in consumer.versions
        }
        stem = route.name.partition("@")[0]
        return VersionGuard(
            version,
            lambda consumer, api: pins.get((consumer, api), ""),
            lambda exchange, name: self._go_on(exchange, f"{stem}@{name}", self.phase),
        )

    @classmethod
    def check(cls, route: RouteConfig, configuration: Configuration) -> Iterator[Diagnostic]:
        version = route.version
        if version is None or version.deprecated is None or version.sunset is None:
            return
        if version.sunset < version.deprecated:
            path = f"apis.{version.api}.versions.{version.name}.sunset"
            yield Diagnostic(path, "is before `deprecated` (RFC 9745 section 4)", "a version is deprecated first")
