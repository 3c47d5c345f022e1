"""Rules and grants: who may hear and say what."""

from __future__ import annotations

from typing import Any

import pytest

from spork.application.channels.access import Access
from spork.domain.channels.events import ChannelEvent
from spork.domain.channels.grants import DETAIL_TYPE, BadGrants, grants_of, payload_of
from spork.domain.channels.rules import PUBLISH, SUBSCRIBE, ChannelRule, ChannelRules, Demand, expression
from spork.domain.identity.authorization import AuthPolicy
from spork.domain.identity.tokens import Principal

HUB = "/.well-known/mercure"
RULES = ChannelRules(
    (
        ChannelRule("public/*", Demand(anonymous=True)),
        ChannelRule(
            "orders/{tenant}/{id}", Demand(policy=AuthPolicy(roles=frozenset(("clerk",)))),
            Demand(policy=AuthPolicy(scopes=frozenset(("orders:write",)))), tenant="tenant",
        ),
        ChannelRule("clients/{me}", Demand(), owner="me"),
        ChannelRule("news/{tenant}", Demand(anonymous=True), tenant="tenant"),
        ChannelRule("*", None, None),
    )
)  # fmt: skip


def who(subject: str = "ann", **fields: Any) -> Principal:
    return Principal(subject, "jwt", **fields)


def access(principal: Principal | None = None, legacy: bool = False) -> Access:
    return Access(RULES, principal, grants_of(principal, HUB, legacy), 0.0)


def grant(*actions: str, topics: tuple[Any, ...] = ("*",), **more: Any) -> dict[str, Any]:
    listed = [each if isinstance(each, dict) else {"match": each} for each in topics]
    return {"type": DETAIL_TYPE, "actions": list(actions), "topics": listed, **more}


def holding(*details: Any, **fields: Any) -> Principal:
    return who(claims={"authorization_details": list(details)}, **fields)


def test_a_rule_says_who_may() -> None:
    clerk = who(tenant="acme", roles=frozenset(("clerk",)))
    assert RULES.allows(SUBSCRIBE, "orders/acme/1", clerk, 0.0)
    assert not RULES.allows(PUBLISH, "orders/acme/1", clerk, 0.0)
    assert not RULES.allows(SUBSCRIBE, "orders/other/1", clerk, 0.0)
    assert not RULES.allows(SUBSCRIBE, "orders/acme/1", who(roles=frozenset(("clerk",))), 0.0), "it has no tenant"
    assert not RULES.allows(SUBSCRIBE, "orders/acme/1", None, 0.0)
    assert RULES.allows(SUBSCRIBE, "clients/ann", who(), 0.0)
    assert RULES.allows(SUBSCRIBE, "clients/firm", who(consumer="firm"), 0.0)
    assert not RULES.allows(SUBSCRIBE, "clients/bob", who(), 0.0)
    assert not RULES.allows(SUBSCRIBE, "news/acme", None, 0.0), "anybody of the tenant, not anybody"
    assert RULES.allows(SUBSCRIBE, "news/acme", who(tenant="acme"), 0.0)
    assert not RULES.allows(SUBSCRIBE, "elsewhere", clerk, 0.0)


def test_a_grant_opens_what_no_rule_binds_to_somebody_else() -> None:
    everything = holding(grant("subscribe", "publish"), tenant="other")
    assert access(everything).may_publish("elsewhere")
    assert access(everything).may_read("elsewhere")
    assert not access(everything).may_subscribe("orders/acme/1")
    assert not access(everything).may_publish("orders/acme/1")
    assert access(holding(grant("subscribe"), tenant="acme")).may_read("orders/acme/1")


def test_private_updates_need_more_than_an_open_rule() -> None:
    event = ChannelEvent(("public/a", "elsewhere"), "", "1", 0.0, private=True)
    assert access().may_subscribe("public/a")
    assert not access().may_hear(event)
    assert access(holding(grant("subscribe", topics=("elsewhere",)))).may_hear(event), "one of its topics is enough"
    assert not access(holding(grant("publish"))).may_hear(event)


@pytest.mark.parametrize(
    "detail",
    [
        "text",
        {"type": DETAIL_TYPE, "topics": [{"match": "a"}]},
        grant(topics=("a",)),
        grant("publish", topics=()),
        grant("publish", topics=("a", {"match_type": "exact"})),
        grant("publish", topics=({"match": "a", "match_type": "regexp"},)),
        grant("publish", topics=({"match": "(a)", "match_type": "urlpattern"},)),
        grant("publish", payload="text"),
        {**grant("publish"), "actions": ["publish", 7]},
    ],
)  # fmt: skip
def test_a_token_with_one_bad_grant_has_none(detail: Any) -> None:
    with pytest.raises(BadGrants):
        grants_of(holding(grant("subscribe"), detail), HUB)


def test_grants_of_others_and_actions_not_known_say_nothing() -> None:
    assert grants_of(holding({"type": "https://other.example"}), HUB) == ()
    assert not access(holding(grant("dance"))).may_publish("a")
    with pytest.raises(BadGrants):
        grants_of(holding(*[grant("publish")] * 100), HUB)


def test_the_claim_of_older_hubs_counts_where_it_is_asked_for() -> None:
    old = who(claims={"mercure": {"publish": ["*"], "subscribe": ["https://x/{id}"]}})
    assert not access(old).may_publish("a")
    assert access(old, legacy=True).may_publish("a")
    assert access(old, legacy=True).may_read("https://x/1")
    assert not access(old, legacy=True).may_read("https://x/1/2")


def test_the_payload_is_that_of_the_first_grant_that_fits() -> None:
    grants = grants_of(
        holding(grant("subscribe", topics=("a",), payload={"n": 1}), grant("subscribe", payload={"n": 2})), HUB
    )
    assert payload_of(grants, "a") == {"n": 1}
    assert payload_of(grants, "b") == {"n": 2}


def test_a_pattern_reads_a_topic_in_one_way_only() -> None:
    rules = ChannelRules((ChannelRule("private-{tenant}.{id}", Demand(), tenant="tenant"),))
    assert not rules.allows(SUBSCRIBE, "private-a.b.c", who(tenant="a.b"), 0.0)


@pytest.mark.parametrize("match", ["a*b", "{a}{b}", "{a}/{a}", "{a-b}", "{a", "a}", "*/x"])
def test_patterns_that_mean_nothing(match: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        expression(match)
