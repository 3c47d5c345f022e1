"""Circuits of a fleet: each process counts for itself, all agree on openings, closings and forcings through Redis.

- The request path never waits for Redis: `permit` and `record` are those of `spork.domain.upstreams.circuit_machine.Circuit`.
- A move (opened, closed, forced, reset) is a compare-and-set on the circuit's epoch, announced on a channel at once and
  polled as a fallback. Who loses the race takes over what the winner wrote; what an operator did is written again.
- Half open needs the fleet's one lease (`SET NX PX`). The first request after the open time asks for it in the
  background and is refused like those before it; a request that comes once the lease is held goes out as the probe.
  A lease ends by itself and is given back when no request came to use it.
- While Redis does not answer, every process decides alone; afterwards the higher epoch holds, and a process that finds
  the records gone (an empty restart) writes what it knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from spork.adapters.redis.store.shared_hash import SharedHash
from spork.application.kernel.clock import Clock
from spork.application.kernel.tasks import end
from spork.domain.upstreams.circuit import (
    BreakerPolicy,
    BreakerState,
    CircuitEvent,
    CircuitStatus,
    Transition,
    TransitionListener,
)
from spork.domain.upstreams.circuit_machine import Circuit

log = logging.getLogger("spork.circuits")

_HERE = Path(__file__).parent / "lua"
#: What may go wrong with a store.
_GONE = (RedisError, OSError, TimeoutError, asyncio.TimeoutError)
#: Records nobody touched for this long are garbage, milliseconds.
_KEPT_MS = 7 * 24 * 3600 * 1000
#: A lease nobody uses is given back after this long, seconds.
_UNUSED = 1.0
#: Between two questions for the lease while another process holds it, seconds.
_ASK_AGAIN = 0.1

#: Moves the fleet hears of; half open is each process's own.
_TOLD = frozenset(
    (
        CircuitEvent.TRIPPED,
        CircuitEvent.PROBED_WELL,
        CircuitEvent.PROBE_FAILED,
        CircuitEvent.FORCED,
        CircuitEvent.RESET,
    )
)
_BY_OPERATOR = frozenset((CircuitEvent.FORCED, CircuitEvent.RESET))


class _Shared:
    """One circuit and what this process knows of the fleet's record of it."""

    __slots__ = ("asked_at", "asking", "circuit", "epoch", "lease", "lease_since", "lease_until", "pending")

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self.epoch = 0
        self.pending: Transition | None = None
        self.asking = False
        self.asked_at = 0.0
        self.lease = ""
        self.lease_since = 0.0
        self.lease_until = 0.0


class RedisCircuitBreakers:
    """`spork.domain.upstreams.circuit_machine.CircuitBreakers` of a fleet. `open` and `close` with the process.

    `redis` is a `redis.asyncio` client with short timeouts; it stays the caller's. `namespace` keeps deployments that
    share a server apart. `on_transition` hears every move of every circuit in this process.
    """

    def __init__(
        self,
        redis: Any,
        chance: Callable[[], float],
        clock: Clock,
        namespace: str = "spork",
        on_transition: TransitionListener | None = None,
        poll: float = 1.0,
    ) -> None:
        self._redis = redis
        self._chance = chance
        self._clock = clock
        self._key = f"{{{namespace}:circuits}}"
        self._channel = f"{namespace}:circuits"
        self._poll = poll
        self.on_transition = on_transition
        self.connected = False
        self._shared: dict[str, _Shared] = {}
        self._adopting = False
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._records = SharedHash(redis, self._key)
        self._agree = redis.register_script((_HERE / "circuit_agree.lua").read_text())
        self._release = redis.register_script((_HERE / "circuit_release.lua").read_text())

    # ------------------------------------------------------------------------------------------------ CircuitBreakers

    def circuit(self, name: str, policy: BreakerPolicy, now: float) -> Circuit:
        known = self._shared.get(name)
        if known is not None:
            known.circuit.adjust(policy, now)
            return known.circuit
        shared = _Shared(Circuit(name, policy, self._chance, now, self._moved))
        shared.circuit.gate = lambda at: self._may_probe(shared, at)
        self._shared[name] = shared
        self._wake.set()
        return shared.circuit

    def retire(self, name: str) -> None:
        self._shared.pop(name, None)

    def force_open(self, name: str, reason: str, by: str, ttl: float | None, now: float) -> None:
        self._shared[name].circuit.force_open(reason, by, ttl, now)

    def reset(self, name: str, reason: str, by: str, now: float) -> None:
        self._shared[name].circuit.reset(reason, by, now)

    def status(self, name: str, now: float) -> CircuitStatus:
        return self._shared[name].circuit.status(now)

    def statuses(self, now: float) -> list[CircuitStatus]:
        return [shared.circuit.status(now) for shared in self._shared.values()]

    # ------------------------------------------------------------------------------------------------------ lifecycle

    async def open(self) -> None:
        """Take over what the fleet knows, then follow it. Returns although Redis may be gone."""
        await self._refresh()
        for work in (self._writing(), self._listening(), self._polling()):
            self._tasks.append(asyncio.create_task(work, name="circuits of the fleet"))

    async def close(self) -> None:
        """Stop following; leases held are given back."""
        await end(self._tasks)
        self._tasks.clear()
        for shared in self._shared.values():
            if shared.lease:
                with contextlib.suppress(*_GONE):
                    await self._give_back(shared)

    # ---------------------------------------------------------------------- called on the request path, never wait

    def _moved(self, name: str, transition: Transition) -> None:
        shared = self._shared.get(name)
        if shared is not None and not self._adopting and transition.event in _TOLD:
            shared.pending = transition
            self._wake.set()
        if self.on_transition is not None:
            self.on_transition(name, transition)

    def _may_probe(self, shared: _Shared, now: float) -> bool:
        if not self.connected or now < shared.lease_until:
            return True
        if not shared.asking and now >= shared.asked_at + _ASK_AGAIN:
            shared.asking = True
            self._wake.set()
        return False

    # ----------------------------------------------------------------------------------------------------- background

    async def _writing(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                for shared in list(self._shared.values()):
                    if shared.pending is not None:
                        await self._tell(shared)
                    if shared.asking:
                        await self._ask(shared)
            except _GONE as error:
                self._lost(error)
            except Exception:
                log.exception("telling the fleet")

    async def _listening(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await pubsub.subscribe(self._channel)
                    while True:
                        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=1.0)
                        if message is not None:
                            self._adopt(json.loads(message["data"]))
            except _GONE as error:
                self._lost(error)
            except Exception:
                log.exception("listening to the fleet")
            await asyncio.sleep(self._poll)

    async def _polling(self) -> None:
        while True:
            await asyncio.sleep(self._poll)
            await self._refresh()

    async def _refresh(self) -> None:
        """Read all records; take over newer ones, write again what is missing."""
        try:
            records, seconds = await self._records.read()
            self.connected = True
            server_ms = int(seconds * 1000)
            by_name = {name.decode(): json.loads(text) for name, text in records.items()}
            for name, shared in list(self._shared.items()):
                self._compare(shared, by_name.get(name), server_ms)
                if shared.lease and self._lease_is_idle(shared):
                    await self._give_back(shared)
            if any(shared.pending is not None for shared in self._shared.values()):
                self._wake.set()
        except _GONE as error:
            self._lost(error)
        except Exception:
            log.exception("reading the fleet's circuits")

    def _compare(self, shared: _Shared, record: dict[str, Any] | None, server_ms: int) -> None:
        """One circuit against its record in a poll."""
        if record is not None and record["epoch"] > shared.epoch:
            self._adopt(record | {"now": server_ms})
        elif (record is None or record["epoch"] < shared.epoch) and shared.pending is None:
            state = shared.circuit.state
            if state in (BreakerState.OPEN, BreakerState.FORCED_OPEN):
                shared.pending = shared.circuit.status(self._clock.monotonic()).transitions[-1]

    def _lost(self, error: BaseException) -> None:
        if self.connected:
            log.warning("circuits are this process's own while the shared store is gone: %s", error)
        self.connected = False

    async def _tell(self, shared: _Shared) -> None:
        """Write a move; on a lost race take over the winner's, unless an operator made this one."""
        for _ in range(3):
            move = shared.pending
            if move is None:
                return
            moved, text = await self._agree(keys=[self._key], args=self._arguments(shared, move))
            record = json.loads(text)
            if moved:
                shared.epoch = max(shared.epoch, record["epoch"])
                if shared.pending is move:
                    shared.pending = None
                await self._give_back(shared)
                return
            if move.event not in _BY_OPERATOR:
                shared.pending = None
                self._adopt(record)
                return
            shared.epoch = record["epoch"]

    def _arguments(self, shared: _Shared, move: Transition) -> list[object]:
        status = shared.circuit.status(self._clock.monotonic())
        forced = status.forced
        lasts = -1 if move.until is None else max(0, round((move.until - self._clock.monotonic()) * 1000))
        return [
            shared.circuit.name,
            shared.epoch,
            move.after.value,
            lasts,
            move.cause,
            "" if forced is None else forced.by,
            "reset" if move.event is CircuitEvent.RESET else "" if forced is None else forced.reason,
            self._channel,
            _KEPT_MS,
        ]

    def _adopt(self, record: Mapping[str, Any]) -> None:
        """Take over a newer record of the fleet."""
        shared = self._shared.get(record["name"])
        if shared is None or record["epoch"] <= shared.epoch:
            return
        if shared.pending is not None and shared.pending.event in _BY_OPERATOR:
            return
        shared.epoch = record["epoch"]
        shared.pending = None
        now = self._clock.monotonic()
        remaining = None if record["ends"] < 0 else max(0.0, (record["ends"] - record["now"]) / 1000)
        self._adopting = True
        try:
            _apply(shared.circuit, record, remaining, now)
        finally:
            self._adopting = False

    # ----------------------------------------------------------------------------------------------------- the lease

    def _lease_key(self, shared: _Shared) -> str:
        return f"{self._key}:lease:{shared.circuit.name}"

    async def _ask(self, shared: _Shared) -> None:
        """Try to get the fleet's one lease for this circuit."""
        try:
            now = self._clock.monotonic()
            shared.asked_at = now
            seconds = shared.circuit.policy.probe_lease
            token = secrets.token_hex(16)
            got = await self._redis.set(self._lease_key(shared), token, nx=True, px=max(1, int(seconds * 1000)))
            if got:
                # counted from before the question, and a little less: this process lets go before the store does
                shared.lease, shared.lease_since, shared.lease_until = token, now, now + seconds * 0.95
        finally:
            shared.asking = False

    def _lease_is_idle(self, shared: _Shared) -> bool:
        now = self._clock.monotonic()
        if now < shared.lease_since + _UNUSED:
            return False
        return shared.circuit.state is not BreakerState.HALF_OPEN or shared.circuit.status(now).probing == 0

    async def _give_back(self, shared: _Shared) -> None:
        token, shared.lease, shared.lease_until = shared.lease, "", 0.0
        if token:
            await self._release(keys=[self._lease_key(shared)], args=[token])


def _apply(circuit: Circuit, record: Mapping[str, Any], remaining: float | None, now: float) -> None:
    """Bring `circuit` into the state of a record, unless it is in it already."""
    state = BreakerState(record["state"])
    status = circuit.status(now)
    if state is BreakerState.CLOSED:
        if record["reason"] == "reset":
            circuit.reset(*_reset_words(record["cause"]), now)
        elif circuit.state is not BreakerState.CLOSED:
            circuit.agree_closed(record["cause"], now)
    elif state is BreakerState.OPEN:
        soon = 0.0 if remaining is None else remaining
        same = circuit.state is BreakerState.OPEN and abs((status.next_try or now) - now - soon) < 0.5
        if not same:
            circuit.agree_open(record["cause"], soon, now)
    elif status.forced is None or (status.forced.by, status.forced.reason) != (record["by"], record["reason"]):
        circuit.force_open(record["reason"], record["by"], remaining, now)


def _reset_words(cause: str) -> tuple[str, str]:
    """(reason, by) of a cause that reads `reset by X: REASON`."""
    by, _, reason = cause.removeprefix("reset by ").partition(": ")
    return reason, by
