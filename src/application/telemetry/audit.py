"""The audit trail's words: what a record holds, and how records are chained so that none can be changed or removed.

The chain is over the *commitments* of personal fields (a salted hash), not over the fields: erasing a person's data
forgets field and salt and leaves the commitment, so the chain still holds and the value cannot be guessed back.
Each erasure makes a record of its own that names the records and fields it cleared; fields that are gone without one
were tampered with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from spork.application.views import AuditView

GENESIS = "0" * 64
#: Fields that may say something about a person.
PERSONAL = ("actor", "client", "subject", "object", "detail", "reason")
#: What of a record is about its actor, and what is about its subject.
OF_ACTOR = ("actor", "client")
OF_SUBJECT = ("subject", "object", "detail", "reason")
#: The action of the record that an erasure makes.
ERASURE = "audit.erase"
#: Records that one such record names at most.
NAMED = 500


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something worth a record, before it has its place in the chain. `at` in Unix seconds. Never holds a secret.

    `action` is a dotted word (breaker.trip, key.revoke, config.apply, admin.refused). `subject` is whom the
    action was about, when that is a person or a consumer.
    """

    at: float
    action: str
    actor: str
    role: str = ""
    object: str = ""
    outcome: str = "done"
    reason: str = ""
    before: str = ""
    after: str = ""
    detail: str = ""
    client: str = ""
    subject: str = ""
    node: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """An entry in its place: `number` counts from 1 without holes, `hash` covers all of it and `previous`.

    Erased personal fields are empty and have no salt any more; `commitments` stay.
    """

    number: int
    id: str
    entry: AuditEntry
    previous: str
    hash: str
    commitments: dict[str, str] = field(default_factory=dict)
    salts: dict[str, str] = field(default_factory=dict)
    erased: bool = False


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where a chain begins after retention removed its oldest part: the last removed number and hash."""

    number: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with the trail. `kind`: changed, missing, reordered, forged, truncated."""

    number: int
    kind: str
    detail: str


class AuditTrail(Protocol):
    """Append-only. What is there is found, verified, thinned out by age and cleared of persons, never changed."""

    def append(self, entry: AuditEntry, id: str = "") -> Awaitable[str]:
        """The record's id, once it is durable. With an `id` that is there already nothing is added."""

    def find(
        self,
        after: int = 0,
        action: str = "",
        actor: str = "",
        text: str = "",
        since: float = 0.0,
        until: float = 0.0,
        limit: int = 200,
        before: int = 0,
        newest: bool = False,
    ) -> Awaitable[Sequence[AuditRecord]]:
        """Records that fit with a number above `after`, and below `before` unless that is 0; oldest first, or `newest`."""

    def every(self) -> AsyncIterator[AuditRecord]:
        """All records in order."""

    def verify(self, known_head: Anchor | None = None) -> Awaitable[list[Finding]]:
        """Everything wrong with the trail."""

    def head(self) -> Awaitable[Anchor]:
        """The last record's number and hash."""

    def drop_before(self, at: float) -> Awaitable[int]:
        """Remove the oldest records; how many."""

    def erase_subject(self, subject: str, at: float, by: str) -> Awaitable[int]:
        """Forget a person's data; in how many records. The erasure itself is recorded as done by `by`."""


def commit(name: str, value: str, salt: str) -> str:
    """The commitment that stands in the chain for a personal field."""
    return hashlib.sha256(f"{name}\0{salt}\0{value}".encode()).hexdigest()


def chain_hash(number: int, id: str, entry: AuditEntry, commitments: dict[str, str], previous: str) -> str:
    """SHA-256 over the record's canonical JSON: everything but personal values, which count by commitment."""
    canonical = json.dumps(
        [number, id, f"{entry.at:.6f}", entry.action, entry.role, entry.outcome,
         entry.before, entry.after, entry.node, entry.request_id, sorted(commitments.items()), previous],
        separators=(",", ":"), ensure_ascii=True,
    )  # fmt: skip
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def seal(entry: AuditEntry, number: int, id: str, previous: str, salts: dict[str, str]) -> AuditRecord:
    """Give `entry` its place after `previous`. `salts` are fresh random texts, one per personal field."""
    commitments = {name: commit(name, getattr(entry, name), salts[name]) for name in PERSONAL}
    digest = chain_hash(number, id, entry, commitments, previous)
    return AuditRecord(number, id, entry, previous, digest, commitments, salts)


def erased(record: AuditRecord, person: str) -> AuditRecord:
    """The record with what it says of `person` and the salts of that forgotten; its place in the chain still holds."""
    names = fields_of(record, person)
    entry = replace(record.entry, **dict.fromkeys(names, ""))  # type: ignore[arg-type]
    salts = {name: salt for name, salt in record.salts.items() if name not in names}
    return replace(record, entry=entry, salts=salts, erased=True)


def fields_of(record: AuditRecord, person: str) -> tuple[str, ...]:
    """The personal fields of a record that are about `person`."""
    names: tuple[str, ...] = ()
    if record.entry.actor == person:
        names += OF_ACTOR
    if record.entry.subject == person:
        names += OF_SUBJECT
    return names


def erasures(cleared: Sequence[tuple[int, tuple[str, ...]]], at: float, by: str) -> list[AuditEntry]:
    """The records of an erasure that `cleared` (number, fields): they name no person."""
    entries: list[AuditEntry] = []
    for start in range(0, len(cleared), NAMED):
        part = [[number, list(names)] for number, names in cleared[start : start + NAMED]]
        told = json.dumps(part, separators=(",", ":"))
        entries.append(AuditEntry(at, ERASURE, actor=by, object="audit", after=told))
    return entries


class ErasureCheck:
    """Tells erased fields from blanked ones while records are looked at in order: `note` each, then ask `findings`."""

    def __init__(self) -> None:
        self._gone: dict[int, set[str]] = {}
        #: By erased record, the number of the record of its erasure.
        self.accounted: dict[int, int] = {}

    def note(self, record: AuditRecord) -> None:
        gone = {name for name in PERSONAL if name not in record.salts}
        if gone or record.erased:
            self._gone[record.number] = gone
        if record.entry.action == ERASURE and not gone:
            self._account(record)

    def _account(self, record: AuditRecord) -> None:
        try:
            cleared = [(int(number), set(names)) for number, names in json.loads(record.entry.after)]
        except (TypeError, ValueError):
            return
        for number, names in cleared:
            if number in self._gone and number < record.number:
                self._gone[number] -= names
                self.accounted[number] = record.number

    def findings(self) -> list[Finding]:
        found: list[Finding] = []
        for number, gone in self._gone.items():
            if gone:
                names = ", ".join(sorted(gone))
                detail = f"its {names} were blanked: no record of an erasure names them"
                found.append(Finding(number, "changed", detail))
            elif number not in self.accounted:
                found.append(Finding(number, "changed", "it is marked as erased, and no record of an erasure names it"))
        return found


def verify(records: Iterable[AuditRecord], anchor: Anchor = Anchor(), head: Anchor | None = None) -> list[Finding]:
    """Everything wrong with `records`, which are in the order they are kept. Empty when the chain is whole.

    `head` is the number and hash the trail is known to have reached; without it, records cut from the end are not seen.
    """
    findings: list[Finding] = []
    number, previous = anchor.number, anchor.hash
    erasures = ErasureCheck()
    for record in records:
        findings += check_record(record, number, previous)
        erasures.note(record)
        number, previous = max(number, record.number), record.hash
    findings += erasures.findings()
    return findings + (check_end(number, previous, head) if head is not None else [])


def check_end(number: int, previous: str, head: Anchor) -> list[Finding]:
    """Whether the last record is the one the trail is known to have reached."""
    if head.number > number or (head.number == number and head.hash != previous):
        return [Finding(head.number, "truncated", f"the trail reached record {head.number}, the last one is {number}")]
    return []


def check_record(record: AuditRecord, number: int, previous: str) -> list[Finding]:
    """What is wrong with one record that follows record `number` with hash `previous`."""
    findings: list[Finding] = []
    if record.number <= number:
        findings.append(Finding(record.number, "reordered", f"stands after record {number}"))
    elif record.number > number + 1:
        findings.append(Finding(number + 1, "missing", f"records {number + 1} to {record.number - 1} are not there"))
    elif record.previous != previous:
        findings.append(Finding(record.number, "forged", "does not continue the record before it"))
    if chain_hash(record.number, record.id, record.entry, record.commitments, record.previous) != record.hash:
        findings.append(Finding(record.number, "changed", "its content does not have its hash"))
    else:
        findings += [
            Finding(record.number, "changed", f"its {name} is not what was committed to")
            for name in PERSONAL
            if not _committed(record, name)
        ]
    return findings


def _committed(record: AuditRecord, name: str) -> bool:
    """Whether a personal field is what it was when the record was made, or was erased wholly."""
    value = getattr(record.entry, name)
    salt = record.salts.get(name)
    if salt is None:
        return record.erased and not value
    return commit(name, value, salt) == record.commitments.get(name)


def view_of(record: AuditRecord) -> AuditView:
    entry = record.entry
    return AuditView(
        record.number, record.id, entry.at, entry.action, entry.actor, entry.role, entry.object, entry.outcome,
        entry.reason, entry.before, entry.after, entry.detail, entry.client, entry.subject, entry.node, record.hash,
        record.erased,
    )  # fmt: skip
