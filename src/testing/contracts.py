"""The suites that the gateway's own adapters pass, for adapters of your own.

Derive a class whose name begins with `Test` and say how the adapter is made; pytest runs the rest:

    class TestMine(RateLimiterContract):
        def make(self) -> RateLimiter:
            return MyLimiter()
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from spork.domain.identity.tokens import Refused, TokenOutcome, TokenVerifier, Unverifiable, Verified
from spork.domain.limits.limit import Admitted, Charge, Decision, Limit, RateLimiter, Throttled

T = TypeVar("T")
NOW = 1_750_000_000.0


async def _await(answer: Awaitable[T]) -> T:
    return await answer


class RateLimiterContract:
    """What every `RateLimiter` must do. Each test asks a limiter that nobody used before."""

    def make(self) -> RateLimiter:
        """A fresh limiter, which rules by the `now` that it is given."""
        raise NotImplementedError

    def ask(self, limiter: RateLimiter, *charges: Charge, now: float = NOW) -> Decision:
        answer = limiter.acquire(charges, now)
        return asyncio.run(_await(answer)) if isinstance(answer, Awaitable) else answer

    def admits(self, limiter: RateLimiter, *charges: Charge) -> bool:
        return isinstance(self.ask(limiter, *charges), Admitted)

    def charge(self, quota: int = 3, identity: str = "a", name: str = "limit", cost: int = 1) -> Charge:
        return Charge(Limit(name=name, quota=quota, period=60.0, algorithm="fixed_window"), identity, cost)

    def test_it_admits_the_quota_and_no_more(self) -> None:
        limiter = self.make()
        verdicts = [self.admits(limiter, self.charge()) for _ in range(5)]
        assert verdicts == [True, True, True, False, False]

    def test_it_says_when_to_come_again(self) -> None:
        limiter = self.make()
        for _ in range(3):
            self.ask(limiter, self.charge())
        refused = self.ask(limiter, self.charge())
        assert isinstance(refused, Throttled)
        assert 0 < refused.retry_after <= 60

    def test_it_admits_again_in_the_next_period(self) -> None:
        limiter = self.make()
        for _ in range(4):
            self.ask(limiter, self.charge())
        assert isinstance(self.ask(limiter, self.charge(), now=NOW + 121), Admitted)

    def test_identities_do_not_share(self) -> None:
        limiter = self.make()
        for _ in range(3):
            self.ask(limiter, self.charge(identity="a"))
        assert self.admits(limiter, self.charge(identity="b"))

    def test_all_or_nothing(self) -> None:
        """A request refused by one limit takes nothing of the others."""
        limiter = self.make()
        wide, narrow = self.charge(quota=2, name="wide"), self.charge(quota=0, name="narrow")
        assert not self.admits(limiter, wide, narrow)
        assert [self.admits(limiter, wide) for _ in range(3)] == [True, True, False]

    def test_a_refund_gives_back(self) -> None:
        limiter = self.make()
        for _ in range(3):
            self.ask(limiter, self.charge())
        limiter.refund((self.charge(),), NOW, NOW)
        assert self.admits(limiter, self.charge())

    def test_a_reset_forgets(self) -> None:
        limiter = self.make()
        charge = self.charge()
        for _ in range(4):
            self.ask(limiter, charge)
        waiting = limiter.reset(charge.limit, charge.identity)
        if waiting is not None:
            asyncio.run(_await(waiting))
        assert self.admits(limiter, charge)

    def test_a_look_takes_nothing(self) -> None:
        limiter = self.make()
        for _ in range(5):
            looked = limiter.peek((self.charge(),), NOW)
            if isinstance(looked, Awaitable):
                asyncio.run(_await(looked))
        assert [self.admits(limiter, self.charge()) for _ in range(4)] == [True, True, True, False]


class TokenVerifierContract:
    """What every `TokenVerifier` must do with a token that is good at `NOW`, and with others."""

    def make(self) -> TokenVerifier:
        """A verifier that holds `good_token` for good."""
        raise NotImplementedError

    def good_token(self) -> bytes:
        raise NotImplementedError

    def ask(self, verifier: TokenVerifier, token: bytes) -> TokenOutcome:
        outcome = verifier.verify(token, NOW)
        return asyncio.run(_await(outcome)) if isinstance(outcome, Awaitable) else outcome

    def test_a_good_token_names_its_subject(self) -> None:
        outcome = self.ask(self.make(), self.good_token())
        assert isinstance(outcome, Verified)
        assert outcome.principal.subject
        assert any(name == b"x-user-id" for name, _ in outcome.identity)

    def test_anything_else_is_refused_and_never_raises(self) -> None:
        verifier = self.make()
        good = self.good_token()
        for token in (b"", b" ", b"x", good[:-1], good + b"x", b"\xff" * 40, b"a" * 100_000, b"a.b.c"):
            assert isinstance(self.ask(verifier, token), Refused | Unverifiable), token[:40]
