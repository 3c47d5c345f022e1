"""The limit guards over the in-process limiter: order, headers, refusals, refunds, plans, permits."""

from __future__ import annotations

from typing import Any, cast

import pytest

from spork.adapters.memory.rate_limiter import MemoryRateLimiter
from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.exchange.bodies import HeldBody
from spork.application.exchange.exchange import Exchange
from spork.application.guards.limits import LimitGuard, LimitGuards, limits_of, policy_item, quoted
from spork.application.limits.heavy_hitters import HeavyHitters
from spork.application.limits.overrides import LimitOverrides, Override
from spork.domain.http.head import RequestHead
from spork.domain.identity.authorization import AuthPolicy
from spork.domain.identity.consumers import Plan
from spork.domain.identity.tokens import Principal
from spork.domain.limits.limit import Limit
from spork.domain.outcomes import Denial
from spork.domain.routing.table import Match, PathPattern
from tests.exchanges import NO_ROUTES

T0 = 1_700_000_000.0


def exchange(client: str = "10.0.0.1", unix: float = T0, headers: Any = (), **principal: Any) -> Exchange:
    head = RequestHead("GET", b"/", None, tuple(headers), "http", b"h", peer=client)
    made = Exchange(head, HeldBody(b""), cast(Any, None), NO_ROUTES, 0.0, unix)
    if principal:
        made.principal = Principal(method="jwt", **{"subject": "s", **principal})
    return made


def close(ended: Exchange) -> None:
    for finalize in reversed(ended.finalizers or []):
        finalize(ended)


def route(*limits: Limit, name: str = "users", auth: bool = False) -> RouteConfig:
    match = Match(PathPattern.parse("/x"))
    return RouteConfig(name, match, upstream="u", limits=limits, auth=AuthPolicy() if auth else None)


class House:
    """Guards as a gateway has them."""

    def __init__(self, **configured: Any) -> None:
        self.limiter = MemoryRateLimiter(clock=lambda: T0)
        self.insight = HeavyHitters()
        self.overrides = LimitOverrides()
        self.plans: dict[str, str] = {}
        self.guards = LimitGuards(
            self.limiter, self.insight, self.overrides, lambda who: self.plans.get(who.consumer, who.plan)
        )
        self.configuration = Configuration(**configured)

    def after(self, made: RouteConfig) -> LimitGuard:
        guard = self.guards.after(made, self.configuration)
        assert guard is not None
        return guard

    def before(self, made: RouteConfig) -> LimitGuard:
        guard = self.guards.before(made, self.configuration)
        assert guard is not None
        return guard


def fields(ended: Exchange) -> dict[bytes, bytes]:
    return dict(ended.response_headers)


def test_an_admitted_request_is_told_policy_and_what_is_left() -> None:
    guard = House().after(route(Limit("per-ip", 100, 60.0, burst=20), Limit("all", 1000, 3600.0, by="global")))
    asked = exchange()
    assert guard.admit(asked) is None
    assert fields(asked) == {
        b"ratelimit-policy": b'"per-ip";q=100;w=60, "all";q=1000;w=3600',
        b"ratelimit": b'"per-ip";r=19;t=1, "all";r=999;t=4',
    }


def test_a_refusal_names_the_violated_policies_and_consumes_nothing() -> None:
    house = House()
    tight, wide = Limit("tight", 1, 60.0), Limit("wide", 10, 60.0)
    guard = house.after(route(tight, wide))
    guard.admit(exchange())
    for _ in range(5):
        refused = exchange(unix=T0 + 0.5)
        denial = guard.admit(refused)
        assert isinstance(denial, Denial)
        assert denial.reason == "quota_exceeded"
        assert denial.members == {"violated-policies": ["tight"]}
        assert denial.retry_after == 60
        assert fields(refused)[b"ratelimit"] == b'"tight";r=0;t=60, "wide";r=9;t=6'


def test_seconds_on_a_refusal_are_never_zero() -> None:
    guard = House().after(route(Limit("fast", 1, 0.001)))
    guard.admit(exchange())
    refused = exchange()
    denial = guard.admit(refused)
    assert isinstance(denial, Denial)
    assert denial.retry_after == 1
    assert b"t=0" not in fields(refused)[b"ratelimit"]


def test_by_address_is_charged_before_authentication_and_the_rest_after() -> None:
    house = House()
    made = route(Limit("ip", 5, 60.0), Limit("who", 1, 60.0, by="consumer"), auth=True)
    before, after = house.before(made), house.after(made)
    first = exchange(consumer="bob")
    assert before.admit(first) is None
    assert after.admit(first) is None
    for _ in range(10):  # refused for the consumer's quota: what the address paid is given back
        again = exchange(consumer="bob")
        assert before.admit(again) is None
        assert isinstance(after.admit(again), Denial)
    last = exchange(consumer="ann")
    assert before.admit(last) is None
    assert b'"ip";r=3' in fields(last)[b"ratelimit"]


def test_a_route_without_authentication_has_one_guard_for_all() -> None:
    house = House()
    made = route(Limit("ip", 5, 60.0), Limit("who", 5, 60.0, by="consumer"))
    assert house.guards.before(made, house.configuration) is None
    assert house.after(made)._static.limits == tuple(limits_of(made, house.configuration))
    assert house.guards.after(route(), house.configuration) is None
    assert house.guards.before(route(auth=True), house.configuration) is None


@pytest.mark.parametrize(
    ("by", "same", "other"),
    [
        ("ip", [exchange("2001:db8:1:2::1"), exchange("2001:db8:1:2:ffff::9")], exchange("2001:db8:1:3::1")),
        ("ip", [exchange("::ffff:10.0.0.1"), exchange("10.0.0.1")], exchange("10.0.0.2")),
        ("consumer", [exchange("1.1.1.1", consumer="bob"), exchange("2.2.2.2", consumer="bob")], exchange()),
        ("consumer", [exchange(), exchange()], exchange("10.0.0.2")),
        ("consumer", [exchange(issuer="a"), exchange(issuer="a")], exchange(issuer="b")),
        ("key", [exchange(key_id="k"), exchange("9.9.9.9", key_id="k")], exchange(key_id="l")),
        ("tenant", [exchange(tenant="t"), exchange(tenant="t", consumer="x")], exchange(tenant="u")),
        ("header:X-Api", [exchange(headers=[(b"x-api", b"1")])] * 2, exchange(headers=[(b"x-api", b"2")])),
        ("claim:dept", [exchange(claims={"dept": 7})] * 2, exchange(claims={"dept": 8})),
    ],
)
def test_what_counts_together(by: str, same: list[Exchange], other: Exchange) -> None:
    guard = House().after(route(Limit("l", 1, 60.0, by=by)))
    assert guard.admit(same[0]) is None
    assert isinstance(guard.admit(same[1]), Denial)
    assert guard.admit(other) is None


def test_what_a_client_makes_up_is_remembered_in_bounded_length() -> None:
    house = House()
    guard = house.after(route(Limit("l", 1, 60.0, by="header:x")))
    for last in (b"1", b"2"):
        made = [exchange(headers=[(b"x", b"a" * 30_000 + last)]) for _ in range(2)]
        assert [guard.admit(each) is None for each in made] == [True, False]
    house.insight.fold(T0)
    assert all(len(identity) < 100 for _, identity, _ in house.insight.top(5))


@pytest.mark.parametrize("by", ["route", "global"])
def test_everyone_counts_together_by_route_and_by_the_whole_gateway(by: str) -> None:
    house = House()
    one = house.after(route(Limit("l", 1, 60.0, by=by), name="one"))
    two = house.after(route(Limit("l", 1, 60.0, by=by), name="two"))
    assert one.admit(exchange("10.0.0.1")) is None
    assert isinstance(one.admit(exchange("10.0.0.2")), Denial)
    assert (two.admit(exchange("10.0.0.3")) is None) == (by == "route")


def test_shared_limits_count_across_routes_by_name() -> None:
    house = House()
    one = house.after(route(Limit("s", 1, 60.0, shared=True), name="one"))
    two = house.after(route(Limit("s", 1, 60.0, shared=True), name="two"))
    assert one.admit(exchange()) is None
    assert isinstance(two.admit(exchange()), Denial)


def test_a_limit_at_the_top_of_the_configuration_holds_for_every_route_together() -> None:
    house = House(limits=(Limit("system", 1, 60.0, by="global"),))
    assert house.after(route(name="one")).admit(exchange()) is None
    assert isinstance(house.after(route(name="two")).admit(exchange("10.9.9.9")), Denial)


def test_a_plan_change_holds_from_the_next_request() -> None:
    plans = (
        Plan("basic", (Limit("", 1, 60.0),)),
        Plan("premium", (Limit("", 3, 60.0),), (Limit("", 100, 86400.0, algorithm="calendar", period_name="day"),)),
        Plan("unlimited"),
    )
    house = House(plans=plans)
    guard = house.after(route(Limit("plan", 0, 0, by="consumer", source="plan"), auth=True))
    assert guard.admit(exchange(consumer="bob", plan="basic")) is None
    assert isinstance(guard.admit(exchange(consumer="bob", plan="basic")), Denial)
    house.plans["bob"] = "premium"
    moved = exchange(consumer="bob", plan="basic")
    assert guard.admit(moved) is None
    assert fields(moved)[b"ratelimit-policy"] == b'"plan";q=3;w=60, "plan-2";q=100;w=86400'
    house.plans["bob"] = "unlimited"
    for _ in range(10):
        assert guard.admit(exchange(consumer="bob", plan="basic")) is None


def test_a_plan_that_does_not_exist_is_not_no_limit_at_all() -> None:
    house = House(plans=(Plan("gold", (Limit("", 1, 60.0),)),))
    guard = house.after(route(Limit("plan", 0, 0, by="consumer", source="plan"), auth=True))
    for _ in range(3):
        denial = guard.admit(exchange(consumer="bob", plan="platinum"))
        assert isinstance(denial, Denial)
        assert denial.reason == "plan_unknown"
    assert guard.admit(exchange(consumer="bob")) is None, "a caller without a plan has none"


def test_plans_unknown_get_the_default_and_cannot_fill_memory() -> None:
    house = House(plans=(Plan("default", (Limit("", 1, 60.0),)),))
    guard = house.after(route(Limit("plan", 0, 0, by="consumer", source="plan"), auth=True))
    assert guard.admit(exchange(consumer="bob", plan="nonsense")) is None
    assert isinstance(guard.admit(exchange(consumer="bob", plan="other nonsense")), Denial)
    for number in range(100):
        guard.admit(exchange(consumer="eve", plan=f"plan-{number}"))
    assert len(guard._sets) == 1


def test_permits_come_back_when_the_exchange_closes() -> None:
    guard = House().after(route(Limit("at-once", 1, 0, algorithm="concurrency")))
    first = exchange()
    assert guard.admit(first) is None
    assert fields(first)[b"ratelimit-policy"] == b'"at-once";q=1;qu="concurrent-requests"'
    assert fields(first)[b"ratelimit"] == b'"at-once";r=0'
    second = exchange()
    denial = guard.admit(second)
    assert isinstance(denial, Denial)
    assert denial.reason == "concurrency_exceeded"
    close(second)
    assert isinstance(guard.admit(exchange()), Denial)
    close(first)
    assert guard.admit(exchange()) is None


def test_an_override_raises_one_identity_until_it_expires() -> None:
    house = House()
    made = route(Limit("l", 1, 60.0))
    guard = house.after(made)
    bucket = limits_of(made, house.configuration)[0].bucket
    raised = Override(bucket, "10.0.0.1", 5, T0 + 100, "incident", "ops")

    async def act() -> None:
        await house.overrides.put(raised)
        told = exchange()
        assert guard.admit(told) is None
        assert fields(told) == {b"ratelimit-policy": b'"l";q=5;w=60', b"ratelimit": b'"l";r=4;t=12'}
        assert [guard.admit(exchange()) for _ in range(4)] == [None] * 4
        assert isinstance(guard.admit(exchange()), Denial)
        assert guard.admit(exchange("10.0.0.2")) is None
        assert isinstance(guard.admit(exchange("10.0.0.2")), Denial)
        await house.overrides.refresh(T0 + 101)
        assert not house.overrides.any

    import asyncio

    asyncio.run(act())


def test_older_headers_by_option_tell_of_the_tightest_limit() -> None:
    house = House(legacy_limit_headers=True)
    guard = house.after(route(Limit("wide", 100, 60.0), Limit("tight", 2, 60.0)))
    asked = exchange()
    guard.admit(asked)
    assert fields(asked)[b"x-ratelimit-limit"] == b"2"
    assert fields(asked)[b"x-ratelimit-remaining"] == b"1"
    assert fields(asked)[b"x-ratelimit-reset"] == str(int(T0) + 30).encode()
    plain = exchange()
    House().after(route(Limit("l", 1, 60.0))).admit(plain)
    assert b"x-ratelimit-limit" not in fields(plain)


def test_names_become_structured_field_strings() -> None:
    assert quoted('a"b\\c') == b'"a\\"b\\\\c"'
    assert quoted("größe\n") == b'"gr??e?"'
    assert policy_item(Limit("100%", 5, 1.5)) == b'"100%";q=5;w=2'
    asked = exchange()
    assert House().after(route(Limit("100%", 5, 60.0))).admit(asked) is None
    assert fields(asked)[b"ratelimit"] == b'"100%";r=4;t=12'


def test_insight_counts_who_was_admitted_and_who_refused() -> None:
    house = House()
    guard = house.after(route(Limit("l", 2, 60.0)))
    for _ in range(5):
        guard.admit(exchange("10.0.0.1"))
    guard.admit(exchange("10.0.0.2"))
    house.insight.fold(0.0)
    assert [(identity, count) for _, identity, count in house.insight.top(5)] == [("10.0.0.1", 2), ("10.0.0.2", 1)]
    assert [(identity, count) for _, identity, count in house.insight.top(5, refused=True)] == [("10.0.0.1", 3)]
    house.insight.fold(400.0)
    assert house.insight.top(5) == []
    assert house.insight.tallies()[0].total_refused == 3


@pytest.mark.parametrize(("name", "together"), [("global", False), ("global-2", False), ("everybody", True)])
def test_global_limits_of_two_routes_count_together_only_under_a_name_of_their_own(name: str, together: bool) -> None:
    made = [
        limits_of(route(Limit(name, quota, 3600.0, "global"), name=where), Configuration())
        for where, quota in (("small", 5), ("large", 100_000))
    ]
    assert (made[0][0].bucket == made[1][0].bucket) is together
