"""The guard that asks a service: once for equal questions, closed when it does not answer, kept by chosen facts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from spork.application.exchange.exchange import Exchange
from spork.application.guards.external import ExternalDecisions, ExternalGuard
from spork.domain.identity.external_policy import ExternalPolicy, Judgement, No, NoAnswer, Question, Yes
from spork.domain.identity.tokens import Principal
from spork.domain.outcomes import Denial
from tests.exchanges import exchange

POLICY = ExternalPolicy("http://decider/p", forward=("X-Org",))


class Service:
    """A service that says what it is told to say."""

    def __init__(self, says: Judgement) -> None:
        self.says = says
        self.asked: list[Question] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def decide(self, policy: ExternalPolicy, asked: Question) -> Judgement:
        self.asked.append(asked)
        await self.gate.wait()
        return self.says


def of(subject: str = "alice", **more: Any) -> Exchange:
    made = exchange(**more)
    made.principal = Principal(subject, "jwt", "idp")
    return made


async def said(guard: ExternalGuard, one: Exchange) -> str:
    verdict: Any = guard.admit(one)
    verdict = await verdict if asyncio.iscoroutine(verdict) else verdict
    return verdict.reason if isinstance(verdict, Denial) else "in"


@pytest.mark.parametrize(
    ("says", "on_error", "verdict", "outcome"),
    [
        (Yes(), "deny", "in", "allowed"),
        (No(), "deny", "policy_denied", "denied"),
        (No(), "allow", "policy_denied", "denied"),
        (NoAnswer("away"), "deny", "policy_unavailable", "failed"),
        (NoAnswer("away"), "allow", "in", "let_through"),
    ],
)
async def test_verdicts(says: Judgement, on_error: str, verdict: str, outcome: str) -> None:
    decisions = ExternalDecisions()
    guard = ExternalGuard("r", replace(POLICY, on_error=on_error), Service(says), decisions)
    assert await said(guard, of()) == verdict
    assert list(decisions.samples()) == [("gateway_external_authorization_total", ("r", outcome), 1.0)]


async def test_what_the_service_says_of_a_caller_is_told_and_not_what_the_caller_says() -> None:
    guard = ExternalGuard("r", POLICY, Service(Yes(((b"x-org", b"7"),))), ExternalDecisions())
    one = of(headers={"X-Org": "8"})
    assert await said(guard, one) == "in"
    assert one.request_headers == [(b"x-org", b"7")]
    assert b"x-org" in one.consumed


async def test_equal_questions_at_the_same_time_are_asked_once() -> None:
    service = Service(Yes())
    service.gate.clear()
    guard = ExternalGuard("r", POLICY, service, ExternalDecisions())
    first = [asyncio.create_task(said(guard, of())) for _ in range(50)]
    other = asyncio.create_task(said(guard, of("bob")))
    while len(service.asked) < 2:
        await asyncio.sleep(0)
    first[0].cancel()  # the one who asked leaves; the others still get the answer
    service.gate.set()
    assert await asyncio.gather(*first[1:], other) == ["in"] * 50
    assert len(service.asked) == 2
    assert await said(guard, of()) == "in"
    assert len(service.asked) == 3, "nothing is kept"


async def test_answers_are_kept_by_the_chosen_facts_and_no_answer_never() -> None:
    service = Service(NoAnswer("away"))
    guard = ExternalGuard("r", replace(POLICY, keep=10.0, by=("subject", "method")), service, ExternalDecisions())
    assert [await said(guard, of()) for _ in range(2)] == ["policy_unavailable"] * 2
    service.says = No()
    assert [await said(guard, of(path=path, now=now)) for path, now in (("/a", 1000.0), ("/b", 1009.9))] == [
        "policy_denied"
    ] * 2
    assert len(service.asked) == 3
    service.says = Yes(((b"x-org", b"7"),))
    assert await said(guard, of(now=1010.1)) == "in"
    kept = of(now=1011.0)
    assert await said(guard, kept) == "in"
    assert kept.request_headers == [(b"x-org", b"7")]
    assert await said(guard, of("bob", now=1011.0)) == "in"
    assert await said(guard, of(method="DELETE", now=1011.0)) == "in"
    assert len(service.asked) == 6
    assert guard.explain(of(now=1011.0)).verdict == "pass"
    assert guard.explain(of("carol", now=1011.0)).verdict == "unknown"
    assert len(service.asked) == 6, "explain asks nobody"
