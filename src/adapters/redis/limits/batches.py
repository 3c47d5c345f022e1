"""Requests on their way to the store: which charges go in which call, and what came back.

On one server a request is decided in one step. In a cluster its charges fall into groups by slot, and the groups are
charged one after the other, in the order of their slots; the first step also asks the later groups (at cost 0) whether
they would refuse. So nothing is held in a later group by a request that an earlier one refuses, and of requests that
compete for the same groups the same ones get through everywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, cast

from spork.adapters.redis.limits.wire import ANSWER_BYTES, Wire, slot_of, time_of, unpack_answers
from spork.adapters.redis.store.scripts import Call, Script
from spork.domain.limits.limit import Charge, Decision
from spork.domain.limits.terms import MICROS

#: admitted, units left, microseconds until whole, until a retry
Answer = tuple[int, float, float, float]


class PendingCharges:
    """One request's charges. `answers` are in the order of the charges, None where there is none.

    `taken` are the places that a call has charged, with the store's time then. `stage` is the group charged next.
    """

    __slots__ = ("answers", "charges", "future", "groups", "keys", "lease", "now", "pending", "stage", "taken")

    def __init__(self, charges: Sequence[Charge], future: asyncio.Future[Decision], now: float | None) -> None:
        self.charges = charges
        self.future = future
        self.now = now
        self.lease = 0
        self.stage = 0
        self.pending = 0
        self.keys: Sequence[bytes] = ()
        self.groups: Sequence[Sequence[int]] = ()
        self.answers: list[Answer | None] = []
        self.taken: Sequence[tuple[Sequence[int], int]] = ()

    def group(self, wire: Wire) -> None:
        """Sort the charges by the slots of a cluster."""
        self.keys = [wire.key(charge) for charge in self.charges]
        self.answers = [None] * len(self.charges)
        by_slot: dict[int, list[int]] = {}
        for index, key in enumerate(self.keys):
            by_slot.setdefault(slot_of(key), []).append(index)
        self.groups = [by_slot[slot] for slot in sorted(by_slot)]

    @property
    def refused(self) -> bool:
        return any(answer is not None and not answer[0] for answer in self.answers)

    @property
    def goes_on(self) -> bool:
        """Whether another group is still to be charged."""
        return self.stage + 1 < len(self.groups) and not self.refused


#: How many charges a request has, as the script reads it.
_COUNTS: Final = [bytes((count,)) for count in range(256)]

#: Who is in a call: the request, its charges there, and whether they were only asked.
Member = tuple[PendingCharges, Sequence[int], bool]


class Batch:
    """Requests that go out together, at one `now` (None: the store's)."""

    __slots__ = ("asked", "due", "extended", "in_lane", "now", "task", "timer")

    def __init__(self, now: float | None) -> None:
        self.now = now
        self.asked: list[PendingCharges] = []
        self.timer: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None
        #: When it has waited long enough, by the loop's clock, and whether it was given more.
        self.due = 0.0
        self.extended = False
        self.in_lane = False

    def times(self, unix: float) -> tuple[int, bytes]:
        """Microseconds for finding calendars' windows, and the `now` the script is told."""
        micros = int((unix if self.now is None else self.now) * MICROS + 0.5)
        return micros, b"-1" if self.now is None else b"%d" % micros

    def call(self, script: Script, wire: Wire, unix: float, slack: bytes) -> Call:
        """All requests in one call, for one server. Keys are kept `slack` milliseconds beyond their meaning."""
        micros, stated = self.times(unix)
        keys: list[bytes] = []
        packed: list[bytes] = []
        known = wire.encoded.get
        for asked in self.asked:
            packed.append(_COUNTS[len(asked.charges)])
            for charge in asked.charges:
                limit, identity, cost = charge
                pair = known((limit.terms, identity, cost)) or wire.encode(charge, micros, asked.lease)
                keys.append(pair[0])
                packed.append(pair[1])
        return script, keys, (stated, b"".join(packed), slack)

    def calls(self, script: Script, wire: Wire, unix: float, slack: bytes) -> list[tuple[Call, list[Member]]]:
        """One call per slot of a cluster, with who is in it."""
        micros, stated = self.times(unix)
        slots: dict[int, tuple[list[bytes], list[bytes], list[Member]]] = {}
        for asked in self.asked:
            if not asked.groups:
                asked.group(wire)
            asked.pending = 0
            for number in range(asked.stage, len(asked.groups) if asked.stage == 0 else asked.stage + 1):
                indexes = asked.groups[number]
                question = number > asked.stage
                slot = slot_of(asked.keys[indexes[0]])
                if (place := slots.get(slot)) is None:
                    place = slots[slot] = ([], [], [])
                place[1].append(bytes((len(indexes),)))
                for index in indexes:
                    charge = asked.charges[index]
                    place[0].append(asked.keys[index])
                    place[1].append(wire.pack(charge._replace(cost=0) if question else charge, micros, asked.lease))
                place[2].append((asked, indexes, question))
                asked.pending += 1
        return [
            ((script, keys, (stated, b"".join(packed), slack)), members) for keys, packed, members in slots.values()
        ]


def note_answers(answer: bytes, members: Sequence[Member]) -> None:
    """Give everyone in a call their part of its answer."""
    at = time_of(answer)
    count = sum(len(indexes) for _, indexes, _ in members)
    rows = unpack_answers(memoryview(answer)[-ANSWER_BYTES * count :])
    for asked, indexes, question in members:
        for index in indexes:
            asked.answers[index] = cast(Answer, next(rows))
        if not question:
            asked.taken = [*asked.taken, (indexes, at)]


def note_failure(members: Sequence[Member]) -> None:
    for asked, indexes, _ in members:
        for index in indexes:
            asked.answers[index] = None
