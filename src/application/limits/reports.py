"""What a process tells the others of its limits: the windows that are busiest there, and its counts by limit.

Who may be a secret (the value of a header or a claim) is told disguised: the others show it masked, ask the store about it
by its digest, and a raise by its handle holds wherever the caller is known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from spork.application.limits.heavy_hitters import HeavyHitters
from spork.domain.limits.identity import disguised, masked

#: Windows that one process tells of, by use and by refusals each.
TOLD: Final = 200
_SECRET_KINDS: Final = frozenset(("header", "claim"))


@dataclass(frozen=True, slots=True)
class WindowHits:
    """One window as one process counted it over the last five minutes. `identity` is disguised where it may be a secret;
    `shown` is what operators see of it. `seen` in Unix seconds."""

    bucket: str
    id: str
    identity: str
    shown: str
    admitted: int
    refused: int
    seen: float | None = None


@dataclass(slots=True)
class LimitReport:
    """The windows that are busiest in one process, and (bucket, admitted, refused) since its start."""

    windows: list[WindowHits] = field(default_factory=list)
    totals: list[tuple[str, int, int]] = field(default_factory=list)


@lru_cache(maxsize=65536)
def handle(bucket: str, identity: str) -> str:
    """An opaque name of a window that says nothing about whose it is."""
    return blake2b(f"{bucket}\0{identity}".encode("utf-8", "replace"), digest_size=9).hexdigest()


def secret(by: str) -> bool:
    """Whether what a limit counts by may be a secret of the caller's."""
    return by.partition(":")[0] in _SECRET_KINDS


def shown(by: str, identity: str) -> str:
    """What operators see of an identity."""
    return masked(identity) if by.partition(":")[0] == "key" or secret(by) else identity


def limit_report(insight: HeavyHitters, most: int = TOLD) -> LimitReport:
    """This process's own; the counts must have been folded."""
    chosen = {(t.limit.bucket, who): t for t, who, _ in (*insight.top(most), *insight.top(most, refused=True))}
    counted = {t.limit.bucket: (t.counts(), t.counts(refused=True)) for t in chosen.values()}
    windows = [
        WindowHits(
            bucket,
            handle(bucket, identity),
            disguised(identity) if secret(tally.limit.by) else identity,
            shown(tally.limit.by, identity),
            counted[bucket][0].get(identity, 0),
            counted[bucket][1].get(identity, 0),
            tally.last_seen(identity),
        )
        for (bucket, identity), tally in chosen.items()
    ]
    return LimitReport(windows, [(t.limit.bucket, t.total_admitted, t.total_refused) for t in insight.tallies()])


def identity_of(insight: HeavyHitters, bucket: str, id: str) -> str | None:
    """Whose window the handle `id` names, if this process has counted it."""
    for tally in insight.tallies():
        if tally.limit.bucket == bucket:
            for identity in tally.counts().keys() | tally.counts(refused=True).keys():
                if handle(bucket, identity) == id:
                    return identity
    return None
