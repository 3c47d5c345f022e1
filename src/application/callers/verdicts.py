"""Verdicts on tokens, remembered for a short while.

A verdict is kept under a digest of the token (BLAKE2b with 256 bits, RFC 7693: as strong as SHA-256 and a quarter of its
time), never the token itself, until the token's `exp` or for 60 s, whichever
comes first. Revocations clear every verdict at once: rare, and then nothing can be missed. What a route demands of
the principal is decided per request and never kept here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from hashlib import blake2b
from typing import Final

from spork.application.callers.consumers import UnknownConsumer
from spork.application.callers.turns import ClientTurns, TooManyQuestions
from spork.domain.identity.consumers import Consumer, with_consumer
from spork.domain.identity.revocation import RevocationSet
from spork.domain.identity.tokens import (
    Principal,
    Refused,
    TokenOutcome,
    TokenVerifier,
    Unverifiable,
    Verified,
    identity_headers,
)

#: Longest time a verdict is kept, seconds.
LONGEST: Final = 60.0
#: Seconds a refusal is remembered that an authority was asked for.
NEGATIVE: Final = 10.0
_EMPTY: Final = blake2b(digest_size=32)

#: How the id of a token that has none of its own begins; its digest follows.
DIGEST_ID: Final = "digest:"
#: An address that asks too much at once is told to come back; nobody else waits for it.
_BUSY: Final = Unverifiable("client_busy", 1.0)
_CONSUMER_UNKNOWN: Final = Refused("consumer_unknown")

ConsumerOf = Callable[[Principal], Consumer | None]


def _nobody(principal: Principal) -> Consumer | None:
    return None


class TokenCache:
    """A TokenVerifier that asks another one, at most once at a time per token, and remembers what is good.

    Adds what every kind of token needs alike: revocation, the consumer a principal belongs to, and the identity
    headers. `consumer_of` maps a verified principal to its consumer. Holds at most `capacity` verdicts.
    """

    def __init__(
        self,
        inner: TokenVerifier,
        revoked: RevocationSet,
        consumer_of: ConsumerOf = _nobody,
        *,
        longest: float = LONGEST,
        capacity: int = 20_000,
        turns: ClientTurns | None = None,
    ) -> None:
        self._inner = inner
        self._revoked = revoked
        self._consumer_of = consumer_of
        self._longest = longest
        self._capacity = capacity
        self._turns = turns
        self._kept: dict[bytes, tuple[Verified, float, float]] = {}
        self._asking: dict[bytes, asyncio.Future[TokenOutcome]] = {}
        # Apart, so that guessing at tokens cannot push out the good ones.
        self._bad: dict[bytes, tuple[Refused, float]] = {}
        self._generation = 0

    def __repr__(self) -> str:
        return f"RememberedVerdicts({len(self._kept)} kept, {len(self._asking)} asking)"

    def forget(self) -> None:
        """Drop every verdict, also those still being asked for: trust has changed."""
        self._kept.clear()
        self._bad.clear()
        self._generation += 1

    def verify(self, token: bytes, now: float) -> TokenOutcome | Awaitable[TokenOutcome]:
        """The verdict on `token`; at once when it is remembered or needs no asking."""
        return self.verify_for(token, now, "")

    def verify_for(self, token: bytes, now: float, client: str) -> TokenOutcome | Awaitable[TokenOutcome]:
        """The same for a client address: what has to be asked waits for one of its turns."""
        hashed = _EMPTY.copy()
        hashed.update(token)
        digest = hashed.digest()
        kept = self._kept.get(digest)
        # `since` guards against a clock that was set back: a verdict is not good before it was made.
        if kept is not None and kept[2] <= now < kept[1]:
            return kept[0]
        asking = self._asking.get(digest)
        if asking is not None:
            return asyncio.shield(asking)
        bad = self._bad.get(digest)
        if bad is not None and bad[1] <= now < bad[1] + NEGATIVE:
            return bad[0]
        answer = self._inner.verify(token, now)
        if isinstance(answer, Verified | Refused) or not isinstance(answer, Awaitable):
            return self._settle(digest, answer, now, self._generation)
        task = asyncio.ensure_future(self._ask(digest, answer, now, self._generation, client))
        self._asking[digest] = task
        return asyncio.shield(task)

    async def _in_turn(self, answer: Awaitable[TokenOutcome], client: str) -> TokenOutcome:
        """What was asked for, in the client's turn."""
        if self._turns is None or not client:
            return await answer
        try:
            async with self._turns.turn(client):
                return await answer
        except TooManyQuestions:
            if isinstance(answer, Coroutine):
                answer.close()
            return _BUSY

    async def _ask(
        self, digest: bytes, answer: Awaitable[TokenOutcome], now: float, generation: int, client: str
    ) -> TokenOutcome:
        try:
            outcome = self._settle(digest, await self._in_turn(answer, client), now, generation)
            if isinstance(outcome, Refused) and generation == self._generation:
                # Asked for, so dear: a bad token shown again is not asked about again for a while.
                if len(self._bad) >= self._capacity:
                    self._bad.clear()
                self._bad[digest] = (outcome, now)
            return outcome
        finally:
            self._asking.pop(digest, None)

    def _settle(self, digest: bytes, outcome: TokenOutcome, now: float, generation: int) -> TokenOutcome:
        if not isinstance(outcome, Verified):
            return outcome
        principal = outcome.principal
        if not principal.token_id:
            # A token without an id can be revoked too, and nothing else with it: by its digest.
            principal = replace(principal, token_id=DIGEST_ID + digest.hex())
        why = self._revoked.covers(principal)
        if why is not None:
            return Refused(why)
        try:
            principal = with_consumer(principal, self._consumer_of(principal))
        except UnknownConsumer:
            return _CONSUMER_UNKNOWN
        verdict = replace(outcome, principal=principal, identity=identity_headers(principal))
        # A verdict asked for before trust changed is answered, for it was checked against revocations just now, but
        # it is not kept: what else changed is not known here.
        if generation == self._generation:
            self._keep(digest, verdict, now)
        return verdict

    def _keep(self, digest: bytes, verdict: Verified, now: float) -> None:
        expires = verdict.principal.expires_at
        until = now + self._longest
        if expires:
            until = min(until, expires)
        if until <= now:
            return
        if len(self._kept) >= self._capacity:
            self._make_room(now)
        self._kept[digest] = (verdict, until, now)

    def _make_room(self, now: float) -> None:
        """Drop what is over, and the oldest tenth if that was not enough."""
        self._kept = {digest: kept for digest, kept in self._kept.items() if kept[1] > now}
        for digest in list(self._kept)[: max(0, len(self._kept) - self._capacity * 9 // 10)]:
            del self._kept[digest]
