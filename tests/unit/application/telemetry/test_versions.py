"""Events of dates that pass, once each; who is told of; callers without a name, bounded."""

from __future__ import annotations

from typing import Any

from spork.application.configuration.model import RouteConfig
from spork.application.exchange.exchange import NO_FIELDS, RoutePlan
from spork.application.telemetry.versions import MOST_CALLERS, VersionCounters, network_of
from spork.domain.identity.tokens import Principal
from spork.domain.routing.patterns import Match, PathPattern
from spork.domain.routing.versions import ApiVersion, Brownout, Selectors
from tests.exchanges import exchange

T = 1_800_000_000.0
V1 = ApiVersion(
    "orders", "v1", ("v1", "v2"), Selectors(), successor="v2", deprecated=T, sunset=T + 100_000,
    brownouts=(Brownout(T + 10_000, 100),), exempt=frozenset({"acme"}),
)  # fmt: skip


class Events:
    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def publish(self, kind: str, subject: str, data: dict[str, object]) -> None:
        self.heard.append((kind, subject))


def call(
    counters: VersionCounters, unix: float, consumer: str = "", client: str = "192.0.2.1", agent: str = "a"
) -> None:
    one: Any = exchange(unix=unix, client=client, headers={"user-agent": agent})
    one.principal = Principal(consumer, "jwt", consumer=consumer) if consumer else None
    one.plan = RoutePlan(
        RouteConfig("orders@v1", Match(PathPattern.parse("/*")), "u", version=V1), (), None, 1, NO_FIELDS
    )
    counters.closed(one)


def test_each_date_is_told_once_and_none_that_had_passed() -> None:
    events = Events()
    counters = VersionCounters(events)
    for at in (T - 1, T, T + 1, T + 10_000, T + 10_050, T + 10_100, T + 99_999, T + 100_000, T + 100_001):
        counters.tick([V1], at)
    kinds = [kind for kind, _ in events.heard]
    assert kinds == ["version.deprecated", "version.brownout.began", "version.sunset"]
    late = VersionCounters(events := Events())
    late.tick([V1], T + 200_000)
    late.tick([V1], T + 200_001)
    assert events.heard == []


def test_consumers_of_what_goes_away_are_told_of_once_a_day() -> None:
    events = Events()
    counters = VersionCounters(events)
    for unix in (T - 5, T + 1, T + 2, T + 86_400, T + 200_000):
        call(counters, unix, "acme")
        call(counters, unix, "other")
    told = [subject for kind, subject in events.heard if kind == "version.still_used"]
    assert told == ["acme", "other", "acme", "other", "acme"]  # after the sunset only those that are still served
    assert counters.counts()["orders", "v1", "deprecated"] == 6


def test_anonymous_callers_are_bounded() -> None:
    counters = VersionCounters(Events())
    for number in range(MOST_CALLERS + 50):
        call(counters, T + number, agent=str(number))
    call(counters, T + 1000, agent="249")
    kept = counters.anonymous("orders", "v1")
    assert len(kept) == MOST_CALLERS
    assert (kept[0].agent, kept[0].requests, kept[0].network) == ("249", 2, "192.0.2.0/24")


def test_networks() -> None:
    assert network_of("2001:db8:1:2::3") == "2001:db8:1::/48"
    assert network_of("203.0.113.9") == "203.0.113.0/24"
    assert network_of("") == ""
