"""Charges as acquire.lua reads them, and its answers as it writes them."""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import Final

from redis.crc import key_slot

from spork.domain.limits.identity import store_name
from spork.domain.limits.limit import Charge
from spork.domain.limits.terms import Terms

_CHARGE: Final = struct.Struct(">Bddddddd")
_ANSWER: Final = struct.Struct(">Bddd")
_NOW: Final = struct.Struct(">d")
_CODES: Final = {"gcra": 1, "sliding_window": 2, "sliding_log": 3, "fixed_window": 4, "calendar": 5, "concurrency": 6}

#: Packed with something that changes: the windows of now, the id of permits.
_TIMED: Final = frozenset(("calendar", "concurrency"))
#: A cost is cut to this: above every quota, and exact in a double.
MAX_COST: Final = 1 << 40

unpack_answers = _ANSWER.iter_unpack
ANSWER_BYTES: Final = _ANSWER.size


def time_of(answer: bytes) -> int:
    """The server's time in an answer, microseconds."""
    return int(_NOW.unpack_from(answer)[0])


class Wire:
    """Packs charges, remembering what does not change: the numbers of a limit, the key of an identity."""

    def __init__(self, prefix: bytes, permit_lease: float = 30.0) -> None:
        self._prefix = prefix
        #: Microseconds a concurrency permit outlives a holder that vanished.
        self.permit_lease = int(permit_lease * 1_000_000)
        self._packed: dict[tuple[Terms, int], bytes] = {}
        self._keys: dict[tuple[str, str], bytes] = {}
        self._buckets: dict[Terms, str] = {}
        self._edges: dict[Terms, tuple[int, int, int, int]] = {}
        #: What `encode` remembers, open to whoever encodes very many: (terms, identity, cost) to (key, packed).
        self.encoded: dict[tuple[Terms, str, int], tuple[bytes, bytes]] = {}

    def encode(self, charge: Charge, now: int, lease: int) -> tuple[bytes, bytes]:
        """Key and packed charge; remembered where neither time nor lease is in it."""
        pair = (self.key(charge), self.pack(charge, now, lease))
        if charge.limit.algorithm not in _TIMED:
            if len(self.encoded) >= 16384:
                self.encoded.clear()
            self.encoded[(charge.limit.terms, charge.identity, charge.cost)] = pair
        return pair

    def pack(self, charge: Charge, now: int, lease: int = 0) -> bytes:
        """One charge. `now` only finds a calendar's windows; `lease` is the id of concurrency permits."""
        terms = charge.limit.terms
        known = self._packed.get((terms, charge.cost))
        if known is not None:
            return known
        packed = _CHARGE.pack(
            _CODES[terms.algorithm],
            max(min(charge.cost, MAX_COST), -1),
            terms.quota,
            *self._numbers(terms, now, lease),
        )
        if terms.algorithm not in _TIMED:
            if len(self._packed) >= 4096:
                self._packed.clear()
            self._packed[(terms, charge.cost)] = packed
        return packed

    def key(self, charge: Charge) -> bytes:
        """Where the state of one identity under one limit is kept.

        The hash tag is the identity's digest, so that in a cluster all limits of one caller share a slot and are
        decided in one step; what counts everyone is spread by limit instead. Texts of clients never reach a key.
        """
        terms = charge.limit.terms
        bucket = self._buckets.get(terms)
        if bucket is None:
            if len(self._buckets) >= 4096:
                self._buckets.clear()
            bucket = self._buckets[terms] = charge.limit.bucket
        known = self._keys.get((bucket, charge.identity))
        if known is None:
            if len(self._keys) >= 16384:
                self._keys.clear()
            known = self._keys[(bucket, charge.identity)] = self._make_key(bucket, charge.identity)
        return known

    def _make_key(self, bucket: str, identity: str) -> bytes:
        place = blake2b(bucket.encode(), digest_size=8).hexdigest()
        tag = place if identity == "*" else store_name(identity)
        return b"%b:limit:{%b}:%b" % (self._prefix, tag.encode(), place.encode())

    def _numbers(self, terms: Terms, now: int, lease: int) -> tuple[int, int, int, int, int]:
        if terms.algorithm == "gcra":
            return terms.period, terms.interval, terms.span, terms.burst, terms.debt
        if terms.algorithm == "sliding_window":
            return terms.period, terms.slice, terms.slices, 0, 0
        if terms.calendar is not None:
            edges = self._edges.get(terms)
            if edges is None or not edges[1] <= now < edges[2]:
                if len(self._edges) >= 4096:
                    self._edges.clear()
                second, third = terms.calendar.window(now)
                first, fourth = terms.calendar.window(second - 1)[0], terms.calendar.window(third)[1]
                edges = self._edges[terms] = (first, second, third, fourth)
            return (*edges, 0)
        if terms.algorithm == "concurrency":
            return self.permit_lease, lease, 0, 0, 0
        return terms.period, 0, 0, 0, 0


def slot_of(key: bytes) -> int:
    """The cluster slot of a key."""
    return int(key_slot(key))
