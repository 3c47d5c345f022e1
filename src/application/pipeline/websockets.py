"""A WebSocket under policies: both directions observed, bytes passed as they came, and ended with a Close each way.

Backpressure is each side's `drain`. One timer per socket serves ping and idleness; there is none without them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from typing import Final

from spork.application.exchange.exchange import Exchange, RoutePlan
from spork.application.kernel.streams import Tunnel
from spork.application.limits.descriptors import identify_by
from spork.application.live.endings import (
    BAD_FRAME,
    EXPIRED,
    IDLE,
    MESSAGE_TOO_BIG,
    NOT_ALLOWED,
    TARGET_GONE,
    TOO_MANY_MESSAGES,
    Ending,
)
from spork.application.live.registry import WEBSOCKET, LiveExchanges
from spork.application.pipeline.tunnel import FRAME_GRACE
from spork.domain.http.head import Header
from spork.domain.http.websocket import (
    DROP,
    GOING_AWAY,
    PING,
    PING_MARK,
    PROTOCOL_ERROR,
    REFUSE,
    TOO_BIG,
    FrameObserver,
    Meter,
    close_frame,
    frame,
)
from spork.domain.http.websocket_policy import WebSocketPolicy
from spork.domain.limits.limit import Admitted, Charge, RateLimiter, Throttled
from spork.domain.outcomes import Denial, DenialCategory

SUBPROTOCOL: Final = b"sec-websocket-protocol"
#: Seconds that the target gets to answer what it was sent before its client broke a rule.
_LAST_WORDS: Final = 1.0
_BY_CODE: Final = {PROTOCOL_ERROR: BAD_FRAME, TOO_BIG: MESSAGE_TOO_BIG}
_PING: Final = frame(PING, PING_MARK)
#: Which name of `close_codes` an ending goes by.
_NAMES: Final = {
    "token_expired": "expired",
    "no_longer_allowed": "forbidden",
    "too_many_messages": "messages",
    "message_too_big": "size",
    "idle": "idle",
    "lifetime": "lifetime",
    "closed_by_operator": "closed",
}
_PEER_BROKE: Final = Ending("bad_frame", 1011, "")
_ANSWER_TOO_BIG: Final = Ending("message_too_big", 1001, "")
#: Judges an exchange's caller again: what speaks against it now, or None.
Rejudge = Callable[[Exchange, RoutePlan], Awaitable[Denial | None]]


def compressed(headers: list[Header]) -> bool:
    """Whether a handshake's answer agreed on permessage-deflate (RFC 7692 5)."""
    return any(name == b"sec-websocket-extensions" and b"permessage-deflate" in value for name, value in headers)


def meter_of(policy: WebSocketPolicy, exchange: Exchange, limiter: RateLimiter | None, number: int) -> Meter | None:
    """What counts the client's messages; None when nothing does."""
    if not policy.messages or limiter is None:
        return None
    charges = [
        Charge(limit, str(number) if limit.by == "connection" else identify_by(limit.by)(exchange))
        for limit in policy.messages
    ]
    excess = policy.on_excess

    def meter() -> float:
        decision = limiter.acquire(charges)
        if isinstance(decision, Admitted):
            return 0.0
        if excess == "delay" and isinstance(decision, Throttled):
            return max(decision.retry_after, 0.001)
        return DROP if excess == "drop" else REFUSE

    return meter


class WebSocketRelay:
    """One socket from its 101 to its end."""

    def __init__(
        self,
        policy: WebSocketPolicy,
        exchange: Exchange,
        plan: RoutePlan,
        client: Tunnel,
        target: Tunnel,
        monotonic: Callable[[], float],
        rejudge: Rejudge | None = None,
    ) -> None:
        self._policy = policy
        self._exchange = exchange
        self._plan = plan
        self._client = client
        self._target = target
        self._now = monotonic
        self._rejudge = rejudge
        self._codes = dict(policy.close_codes)
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._ending: Ending | None = None
        #: The target's Close went by.
        self._answered = asyncio.Event()
        self._up: FrameObserver
        self._down: FrameObserver
        self._heard = self._now()
        self._seen = 0
        self._pinged = 0.0
        self._unanswered = False
        self._timer: asyncio.TimerHandle | None = None
        client.drain_code = policy.restart_code

    async def run(self, live: LiveExchanges, limiter: RateLimiter | None, deflated: bool) -> None:
        """Relay until either side closes or something ends it."""
        policy, exchange = self._policy, self._exchange
        entry = live.enter(WEBSOCKET, self._plan.name, exchange.client, exchange.principal, self.end, policy.lifetime)
        self._up = FrameObserver(True, policy.message_bytes, deflated, meter_of(policy, exchange, limiter, entry.id))
        self._down = FrameObserver(False, policy.answer_bytes, deflated)
        tasks = [asyncio.ensure_future(self._upward()), asyncio.ensure_future(self._downward())]
        if policy.reauthenticate and self._rejudge is not None:
            tasks.append(asyncio.ensure_future(self._judge_again(self._rejudge)))
        if policy.idle or policy.ping:
            self._tick()
        try:
            await asyncio.wait([*tasks[:2], self._over], return_when=asyncio.FIRST_COMPLETED)
            if tasks[1].done() and not self._down.closed and self._ending is None:
                self._say_goodbye(TARGET_GONE, 0)
            elif self._ending is None and not self._up.closed and tasks[0].done():
                self._close_target(GOING_AWAY)  # the client left, or the gateway drains
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for task in tasks:
                task.cancel()
            self._client.close()
            self._target.close()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task
            entry.ending = self._ending
            live.leave(entry)
            if self._ending is not None:
                exchange.reason = self._ending.reason

    # ---------------------------------------------------------------------------------------------------- relaying

    async def _upward(self) -> None:
        up, target = self._up, self._target
        while piece := await self._client.read():
            ready = up.advance(piece)
            while True:
                if ready:
                    target.write(ready)
                    await target.drain()
                if not up.waiting:
                    break
                await asyncio.sleep(up.waiting)
                ready = up.advance(b"")
            if up.violation:
                await self._client_broke(_BY_CODE.get(up.violation, TOO_MANY_MESSAGES))
                return

    async def _downward(self) -> None:
        down, client = self._down, self._client
        while piece := await self._target.read():
            ready = down.advance(piece)
            if down.closed:
                self._answered.set()
            if ready:
                client.write(ready)
                await client.drain()
            if down.violation:
                broken = _BY_CODE.get(down.violation, BAD_FRAME)
                self._say_goodbye(_PEER_BROKE if broken is BAD_FRAME else _ANSWER_TOO_BIG, down.violation)
                return

    async def _client_broke(self, ending: Ending) -> None:
        """The target hears it first and may finish answering what was right; then the client hears why."""
        self._ending = ending
        self._down.passes_close = False  # its answer to our Close: the client gets ours
        self._close_target(GOING_AWAY if ending is not BAD_FRAME else PROTOCOL_ERROR)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._answered.wait(), _LAST_WORDS)
        self._client.go_away(self._code(ending), ending.text)

    # ------------------------------------------------------------------------------------------------------- ending

    def end(self, ending: Ending) -> None:
        """Something else ends it: expiry, revocation, an operator, idleness."""
        if self._ending is None:
            self._say_goodbye(ending, GOING_AWAY)

    def _say_goodbye(self, ending: Ending, to_target: int) -> None:
        self._ending = ending
        if to_target:
            self._close_target(to_target)
        self._client.go_away(self._code(ending), ending.text)
        self._loop.call_later(FRAME_GRACE, self._finish)

    def _finish(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    def _close_target(self, code: int) -> None:
        """A masked Close, if the client's frames stand between two; in the middle of one there is only the end."""
        if self._up.between and not self._up.closed:
            self._target.write(close_frame(code, "", os.urandom(4)))

    def _code(self, ending: Ending) -> int:
        name = _NAMES.get(ending.reason, "revoked" if ending.reason.endswith("_revoked") else "")
        return self._codes.get(name, ending.code)

    # ------------------------------------------------------------------------------------------------ ping, idleness

    def _tick(self) -> None:
        """What is due now, and when to look again."""
        now = self._now()
        policy, up = self._policy, self._up
        seen = up.seen + self._down.seen
        if seen != self._seen:
            self._seen, self._heard = seen, now
        if policy.idle and now - self._heard >= policy.idle:
            self.end(IDLE)
            return
        due = policy.idle / 4 if policy.idle else policy.ping
        if policy.ping:
            if not self._pinged:
                self._pinged = now
            elif now - self._pinged >= policy.ping:
                if self._unanswered and not up.ponged and self._heard < self._pinged:
                    self.end(IDLE)
                    return
                if self._down.between and not self._down.closed:
                    up.ponged = False
                    self._unanswered = True
                    self._client.write(_PING)
                self._pinged = now
            due = min(due, max(self._pinged + policy.ping - now, 0.001))
        self._timer = self._loop.call_later(due, self._tick)

    async def _judge_again(self, rejudge: Rejudge) -> None:
        while True:
            await asyncio.sleep(self._policy.reauthenticate)
            denial = await rejudge(self._exchange, self._plan)
            if denial is not None and denial.reason != "authentication_unavailable":
                self.end(EXPIRED if denial.ground is DenialCategory.CREDENTIALS else NOT_ALLOWED)
                return


async def judge_again(exchange: Exchange, plan: RoutePlan, unix: float) -> Denial | None:
    """What speaks against the exchange's caller by now: the handshake is shown to the guards of trust once more."""
    again = Exchange(exchange.head, exchange.body, exchange.sink, exchange.snapshot, exchange.now, unix)
    again.plan, again.params, again.client = plan, exchange.params, exchange.client
    again.request_id_bytes, again.traceparent = exchange.request_id_bytes, exchange.traceparent
    for guard in plan.guards:
        if guard.phase in ("credentials", "authorization"):
            asked = guard.admit(again)
            verdict = await asked if isinstance(asked, Awaitable) else asked
            if isinstance(verdict, Denial):
                return verdict
    return None
