"""Operators' writes: every one is prepared (found, measured, described), then carried out once, audited and told.

Preparing changes nothing, so a dry run is a prepared action that is not carried out. A write that names the revision its
author saw (`If-Match`) is refused when the object has changed in substance since, at any gateway of the fleet: writes to
one object take turns (`turns`). One that carries an idempotency key is carried out once however often it is sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from spork.application.admin.access import Operator
from spork.application.admin.stream import Revisions
from spork.application.admin.turns import Busy, ProcessTurns, Turn, Turns, turn_of
from spork.application.admin.turns import StoreGone as TurnsGone
from spork.application.guards.idempotency import Begun, IdempotencyStore, InFlight, KeptAnswer, Mismatch, StoreGone
from spork.application.telemetry.audit import AuditEntry, AuditTrail
from spork.application.telemetry.event_log import EventLog
from spork.application.telemetry.waiting_audit import WaitingAuditTrail
from spork.application.views import ActionResult

log = logging.getLogger("spork.operations")


#: For how long a process that is gone keeps a key taken, seconds: longer than any action takes.
_LEASE = 60.0


class OperationRefused(Exception):
    """A write that cannot be done. `word`: not_found, conflict, precondition_failed, invalid, unavailable."""

    def __init__(self, word: str, detail: str, **members: object) -> None:
        super().__init__(detail)
        self.word = word
        self.detail = detail
        self.members = members


@dataclass(frozen=True, slots=True)
class Write:
    """Who wants a write, and under which conditions. `fingerprint` tells one request body from another."""

    operator: Operator
    client: str = ""
    request_id: str = ""
    reason: str = ""
    if_match: int | None = None
    idempotency_key: str = ""
    dry_run: bool = False
    fingerprint: str = ""


@dataclass(slots=True)
class Prepared:
    """An action ready to be carried out. `substance` is what If-Match protects: it changes when the object really does.

    `perform` answers what the object is afterwards (or None for `after` as foretold).
    """

    action: str
    object: str
    before: str
    after: str
    blast: str
    perform: Callable[[], Awaitable[str | None]]
    substance: Any = None
    since: float = 0.0
    warnings: tuple[str, ...] = ()
    subject: str = ""
    #: Set by `perform` when a credential was made: shown in the answer, never in audit or log.
    secrets: list[str] = field(default_factory=list)


#: Seconds after which what one gateway changed is seen on every other.
SHOWN_LATE = 5.0
#: Seconds within which what was written here shows in what is prepared.
SEEN_LATE = 1.0
#: First words of actions on what the records hold.
_OF_RECORDS = frozenset(("key", "consumer", "session", "subject", "token", "revocation"))


class ObjectVersions:
    """When each object last changed in substance, as revisions."""

    def __init__(self, revisions: Revisions, kept: int = 20_000) -> None:
        self._revisions = revisions
        self._known: OrderedDict[str, tuple[object, int]] = OrderedDict()
        self._noticed: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._written: dict[str, int] = {}
        self._kept = kept

    def changed(self, name: str, substance: object, since: float = 0.0) -> int:
        """The revision at which `name` became `substance`. `since` (Unix seconds) is used when it was not seen before."""
        known = self._known.get(name)
        if known is not None and known[0] == substance:
            return known[1]
        rev = int(since * 1_000_000) if known is None else self._revisions.next()
        written = self._written.pop(name, 0)
        if rev - written < SEEN_LATE * 1_000_000:  # it is what was written here a moment ago
            rev = written
        self._known[name] = (substance, rev)
        if len(self._known) > self._kept:
            self._known.popitem(last=False)
        return rev

    def notice(self, name: str, version: int, age: float) -> bool:
        """The fleet's version of `name` is this, since `age` seconds; whether that is news here.

        Revisions that were given out here while it changed elsewhere may have shown what was before: they count as
        older than the change.
        """
        known = self._noticed.get(name)
        if known is None and not version:
            return False
        if known is not None and known[0] == version:
            return False
        fresh = known is not None or age < SHOWN_LATE
        rev = self._revisions.ahead() if fresh else self._revisions.next() - int(age * 1_000_000)
        self._noticed[name] = (version, rev)
        if len(self._noticed) > self._kept:
            self._noticed.popitem(last=False)
        return True

    def wrote(self, name: str, version: int) -> None:
        """`name` was written to here, and `version` is the fleet's of it now. What is given out from now on is later."""
        rev = self._revisions.ahead()
        self._noticed[name] = (version, rev)
        if len(self._written) > 1000:
            self._written.clear()
        self._written[name] = rev

    def noticed(self, name: str) -> int:
        """The revision at which another version of `name` was noticed; 0 for none."""
        known = self._noticed.get(name)
        return 0 if known is None else known[1]


class Operations:
    """Carries out prepared actions."""

    def __init__(
        self,
        versions: ObjectVersions,
        revisions: Revisions,
        events: EventLog,
        unix: Callable[[], float],
        node: str,
        audit: AuditTrail | None = None,
        remember: int = 1000,
        remember_for: float = 86400.0,
        kept: IdempotencyStore | None = None,
        own_records: str = "",
        turns: Turns | None = None,
        on_done: Callable[[], None] = lambda: None,
        sync: Sequence[Callable[[], Awaitable[object]]] = (),
    ) -> None:
        """`kept` is where a fleet keeps idempotency keys; without it, or while it is gone, each process has its own.
        `turns` are where those who may write at once take turns; left out: this process alone. `on_done` is called after
        each write that was carried out; `sync` bring what others did into this process, before a write that would
        otherwise be made from an old picture."""
        self._own_turns = ProcessTurns(unix)
        self._turns: Turns = turns or self._own_turns
        self._sync = tuple(sync)
        #: Said in the answer of each act on records when they are this node's own while others serve, too.
        self._own_records = own_records
        self._revisions = revisions
        self._versions = versions
        self._events = events
        self._unix = unix
        self._node = node
        self._audit = audit
        self._on_done = on_done
        self._remember = remember
        self._remember_for = remember_for
        self._kept = kept
        self._done: OrderedDict[tuple[str, str], tuple[str, float, asyncio.Future[ActionResult]]] = OrderedDict()

    async def carry_out(self, write: Write, prepare: Callable[[], Awaitable[Prepared]]) -> ActionResult:
        """Do it, or answer what was done for the same idempotency key. Raises OperationRefused."""
        if not write.idempotency_key or write.dry_run:
            return await self._carry_out(write, prepare)
        key = (write.operator.name, write.idempotency_key)
        self._forget()
        known = self._done.get(key)
        if known is not None:
            if known[0] != write.fingerprint:
                raise _used_otherwise()
            return await asyncio.shield(known[2])
        future: asyncio.Future[ActionResult] = asyncio.get_running_loop().create_future()
        self._done[key] = (write.fingerprint, self._unix(), future)
        try:
            result = await self._once_in_the_fleet(write, prepare)
        except BaseException as error:
            # A refused write may be tried again with the same key; who waits with us hears the same.
            del self._done[key]
            heard = error if isinstance(error, OperationRefused) else OperationRefused("unavailable", "It failed.")
            future.set_exception(heard)
            future.exception()
            raise
        future.set_result(replace(result, secret=None))
        return result

    async def _once_in_the_fleet(self, write: Write, prepare: Callable[[], Awaitable[Prepared]]) -> ActionResult:
        """Carry it out, unless another process has done so or is doing it."""
        name = "admin:" + hashlib.sha256(f"{write.operator.name}\0{write.idempotency_key}".encode()).hexdigest()
        begun = await self._begin(name, write.fingerprint)
        if isinstance(begun, KeptAnswer):
            members = json.loads(begun.body)
            return ActionResult(**(members | {"warnings": tuple(members["warnings"])}))
        try:
            result = await self._carry_out(write, prepare)
        except BaseException:
            await self._settle(name, begun, None)
            raise
        told = json.dumps(asdict(replace(result, secret=None))).encode()
        await self._settle(name, begun, KeptAnswer(200, (), told))
        return result

    async def _begin(self, name: str, fingerprint: str) -> Begun | KeptAnswer | None:
        """None when there is no store to ask. Raises OperationRefused."""
        if self._kept is None:
            return None
        try:
            begun = await self._kept.begin(name, fingerprint, _LEASE)
        except StoreGone as error:
            log.warning("idempotency keys are this process's own for now: %s", error)
            return None
        if isinstance(begun, Mismatch):
            raise _used_otherwise()
        if isinstance(begun, InFlight):
            raise OperationRefused(
                "conflict", "Another gateway is carrying this request out; ask again.", current="in_flight"
            )
        return begun

    async def _settle(self, name: str, begun: Begun | None, answer: KeptAnswer | None) -> None:
        if self._kept is None or begun is None:
            return
        try:
            await self._kept.settle(name, begun.token, answer, self._remember_for)
        except StoreGone as error:
            log.warning("an idempotency key is not kept: %s", error)

    async def _carry_out(self, write: Write, prepare: Callable[[], Awaitable[Prepared]]) -> ActionResult:
        prepared = await prepare()
        if write.dry_run:
            self._matching(write, prepared)
            return self._result(prepared, prepared.after, False, None, prepared.warnings)
        async with AsyncExitStack() as stack:
            turn = await self._turn(stack, prepared.object, write.if_match is not None)
            # What was read before the turn came may be of the past.
            if self._versions.notice(prepared.object, turn.version, turn.age):
                for bring in self._sync:
                    await bring()
            prepared = await prepare()
            self._matching(write, prepared)
            result = await self._act(write, prepared, turn)
        if turn.changed:
            self._versions.wrote(prepared.object, turn.version)
        return replace(result, revision=self._revisions.next())

    async def _turn(self, stack: AsyncExitStack, object: str, compared: bool) -> Turn:
        """The right to write to `object`; while the store of turns is gone, this process's alone, unless the write is
        `compared` with what the fleet did. Raises OperationRefused."""
        try:
            return await stack.enter_async_context(turn_of(self._turns, object))
        except Busy:
            raise OperationRefused("conflict", f"Somebody else is changing {object}; ask again.", current="") from None
        except TurnsGone as error:
            if compared:
                raise OperationRefused(
                    "unavailable",
                    f"If-Match cannot be compared over the fleet: {error}. Nothing was done; leave If-Match out to act "
                    "on this gateway's word alone.",
                ) from error
            log.warning("turns are this process's own for now: %s", error)
        try:
            return await stack.enter_async_context(turn_of(self._own_turns, object))
        except Busy:
            raise OperationRefused("conflict", f"Somebody else is changing {object}; ask again.", current="") from None

    def _matching(self, write: Write, prepared: Prepared) -> None:
        """Raises OperationRefused when the object has changed since its author saw it."""
        changed = self._versions.changed(prepared.object, prepared.substance, prepared.since)
        changed = max(changed, self._versions.noticed(prepared.object))
        if write.if_match is not None and changed > write.if_match:
            raise OperationRefused(
                "precondition_failed", f"{prepared.object} has changed since.", rev=changed, current=prepared.before
            )

    async def _act(self, write: Write, prepared: Prepared, turn: Turn) -> ActionResult:
        if self._audit is not None and not await self._audit_ready():
            raise OperationRefused(
                "unavailable",
                "Nothing was done: its audit record could be kept neither in the records nor in state_dir.",
            )
        try:
            turn.changed = True  # also when it fails half way
            after = await prepared.perform() or prepared.after
            turn.changed = after != prepared.before
            self._on_done()
        except OperationRefused as refused:
            turn.changed = False
            await self._record(write, prepared, prepared.before, "refused", refused.detail)
            raise
        except Exception as error:
            log.exception("%s on %s", prepared.action, prepared.object)
            await self._record(write, prepared, prepared.before, "failed", type(error).__name__)
            raise OperationRefused("unavailable", "The action could not be carried out.") from error
        audit_id = await self._record(write, prepared, after, "done", "")
        warnings = prepared.warnings
        if self._own_records and prepared.action.partition(".")[0] in _OF_RECORDS:
            warnings = (*warnings, self._own_records)
        if audit_id is None and self._audit is not None:
            warnings = (*warnings, "The audit record could not be written.")
        elif isinstance(self._audit, WaitingAuditTrail) and self._audit.waiting:
            warnings = (*warnings, "The audit record waits in state_dir until the records take it.")
        return self._result(prepared, after, True, audit_id, warnings)

    def _result(
        self, prepared: Prepared, after: str, applied: bool, audit_id: str | None, warnings: tuple[str, ...]
    ) -> ActionResult:
        return ActionResult(
            action=prepared.action,
            object=prepared.object,
            before=prepared.before,
            after=after,
            applied=applied,
            revision=self._revisions.next(),
            audit_id=audit_id,
            blast=prepared.blast,
            warnings=warnings,
            secret=prepared.secrets[0] if prepared.secrets else None,
        )

    async def _record(self, write: Write, prepared: Prepared, after: str, outcome: str, detail: str) -> str | None:
        entry = AuditEntry(
            at=self._unix(),
            action=prepared.action,
            actor=write.operator.name,
            role=write.operator.role,
            object=prepared.object,
            outcome=outcome,
            reason=write.reason,
            before=prepared.before,
            after=after,
            detail=detail,
            client=write.client,
            subject=prepared.subject,
            node=self._node,
            request_id=write.request_id,
        )
        audit_id = await self.note(entry)
        self._events.publish(
            "operator." + prepared.action,
            prepared.object,
            {
                "actor": write.operator.name,
                "outcome": outcome,
                "detail": f"{prepared.before} -> {after}" + (f": {write.reason}" if write.reason else ""),
                "audit_id": audit_id,
            },
        )
        return audit_id

    async def _audit_ready(self) -> bool:
        return not isinstance(self._audit, WaitingAuditTrail) or await self._audit.ready()

    async def note(self, entry: AuditEntry) -> str | None:
        """Append to the audit trail; None when there is none or it failed (then an event says so)."""
        if self._audit is None:
            return None
        try:
            return await self._audit.append(entry)
        except Exception as error:
            log.exception("audit record of %s", entry.action)
            self._events.publish("audit.broken", entry.action, {"detail": type(error).__name__})
            return None

    def _forget(self) -> None:
        unix = self._unix()
        while self._done:
            key, (_, at, future) = next(iter(self._done.items()))
            if future.done() and (len(self._done) > self._remember or unix - at > self._remember_for):
                del self._done[key]
            else:
                break


def _used_otherwise() -> OperationRefused:
    return OperationRefused("conflict", "This Idempotency-Key was used for another request.", current="")
