"""The RateLimiter of one process: states in dictionaries, rulings by the pure functions, answers at once.

One event loop calls it and no call suspends, so reading, deciding and writing are one step without a lock. Memory is
bounded: a new identity first makes a clock hand look at the oldest ones, which drops what no longer means anything; at
`max_entries` the hand drops the one of a few that would have been forgotten soonest. Forgetting is forgiving: an
identity that is dropped starts anew, which is the price of a bound and is counted in `stats()["evicted"]`.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final

from spork.domain.limits.limit import (
    ALGORITHMS,
    SETTLERS,
    Admitted,
    Algorithm,
    Charge,
    Decision,
    Limit,
    LimitState,
    Throttled,
)
from spork.domain.limits.terms import MICROS, Terms

#: How many old entries a new one makes the hand look at, and among how many a victim is chosen at the bound.
_LOOK: Final = 2
_CHOICE: Final = 8

#: A named tuple made without its Python constructor: half the cost, and two or three are made per request.
_new: Final[Any] = tuple.__new__


class _Book:
    """The states of one bucket, oldest first, by identity."""

    __slots__ = ("algorithm", "entries", "permits", "terms")

    def __init__(self, terms: Terms, algorithm: Algorithm) -> None:
        self.terms = terms
        self.algorithm = algorithm
        self.entries: OrderedDict[str, Any] = OrderedDict()
        self.permits = terms.algorithm == "concurrency"


class MemoryRateLimiter:
    """Keeps at most `max_entries` identities over all limits. `clock` gives Unix seconds where a caller leaves `now`
    out."""

    keeps_time = False

    def __init__(self, max_entries: int = 200_000, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._max = max(max_entries, 1)
        self._books: dict[str, _Book] = {}
        self._by_terms: dict[Terms, _Book] = {}
        self._size = 0
        self._evicted = 0

    def acquire(self, charges: Sequence[Charge], now: float | None = None) -> Decision:
        seconds = self._clock() if now is None else now
        at = int(seconds * MICROS + 0.5)
        by_terms = self._by_terms
        befores: list[Any] = []
        fresh: list[tuple[_Book, str, Any]] = []
        states: list[LimitState] = []
        permits = False
        for limit, identity, cost in charges:
            terms = limit.terms
            book = by_terms.get(terms)
            if book is None:
                book = self._open_book(limit)
            entries = book.entries
            before = entries.get(identity)
            admitted, state, left, reset, _ = terms.decide(terms, before, at, cost)
            if not admitted:
                self._take_back(charges, befores)
                return self._refuse(charges, at)
            befores.append(before)
            if before is not None:
                entries[identity] = state
            elif state is not None:  # makes room for itself, which a refused request must not
                fresh.append((book, identity, state))
            if book.permits:
                permits = True
            states.append(_new(LimitState, (limit, left, reset / MICROS, False, 0.0)))
        for book, identity, state in fresh:
            self._insert(book, identity, state, at)
        decision: Admitted = _new(Admitted, (tuple(states), _Lease(charges) if permits else None, seconds))
        return decision

    def _take_back(self, charges: Sequence[Charge], befores: Sequence[Any]) -> None:
        """What the first of `charges` took before a later one refused. `befores` are the states they had."""
        for (limit, identity, _), before in zip(charges, befores, strict=False):
            if before is not None:
                self._book(limit).entries[identity] = before

    def _refuse(self, charges: Sequence[Charge], at: int) -> Throttled:
        """Nothing is consumed; a limit that would have admitted reports what it still has."""
        states = []
        longest = 0.0
        for limit, identity, cost in charges:
            entries = self._book(limit).entries
            before = entries.get(identity)
            admitted, state, left, reset, wait = limit.terms.decide(limit.terms, before, at, cost)
            if admitted:
                _, _, left, reset, _ = limit.terms.decide(limit.terms, before, at, 0)
                states.append(LimitState(limit, left, reset / MICROS))
                continue
            if state is not before:  # it lay in the future and was moved to now, and must stay moved
                entries[identity] = state
            longest = max(longest, wait / MICROS)
            states.append(LimitState(limit, left, reset / MICROS, True, wait / MICROS))
        return Throttled(tuple(states), longest)

    def peek(self, charges: Sequence[Charge], now: float | None = None) -> tuple[LimitState, ...]:
        at = int((self._clock() if now is None else now) * MICROS + 0.5)
        states = []
        for limit, identity, _ in charges:
            book = self._book(limit)
            admitted, _, left, reset, wait = limit.terms.decide(limit.terms, book.entries.get(identity), at, 0)
            states.append(LimitState(limit, left, reset / MICROS, not admitted, wait / MICROS))
        return tuple(states)

    def release(self, lease: object) -> None:
        if isinstance(lease, _Lease) and lease.held:
            lease.held = False
            permits = [charge for charge in lease.charges if charge.limit.algorithm == "concurrency"]
            self._give_back(permits, 0, 0)

    def refund(self, charges: Sequence[Charge], at: float, now: float | None = None) -> None:
        units = [charge for charge in charges if charge.limit.algorithm != "concurrency"]
        self._give_back(units, int(at * MICROS + 0.5), int((self._clock() if now is None else now) * MICROS + 0.5))

    def settle(self, charges: Sequence[Charge], at: float, now: float | None = None) -> None:
        micros = int((self._clock() if now is None else now) * MICROS + 0.5)
        for charge in charges:
            limit, identity, cost = charge
            if cost < 0:
                self.refund([Charge(limit, identity, -cost)], at, now)
            elif cost > 0 and limit.algorithm in SETTLERS:
                book = self._book(limit)
                known = book.entries.get(identity)
                state = SETTLERS[limit.algorithm](limit.terms, known, micros, cost)
                if known is None:
                    self._insert(book, identity, state, micros)
                else:
                    book.entries[identity] = state

    def _give_back(self, charges: Sequence[Charge], at: int, now: int) -> None:
        for limit, identity, cost in charges:
            book = self._book(limit)
            state = book.entries.get(identity)
            if state is None:
                continue
            state = book.algorithm.refund(limit.terms, state, at, now, cost)
            if state is None:
                self._drop(book, identity)
            else:
                book.entries[identity] = state

    def reset(self, limit: Limit, identity: str) -> None:
        book = self._book(limit)
        if identity in book.entries:
            self._drop(book, identity)

    def sweep(self, now: float | None = None, most: int = 1_000_000) -> int:
        """Look at about `most` entries, the same number in every bucket, and drop those that no longer mean anything;
        how many were dropped."""
        at = int((self._clock() if now is None else now) * MICROS)
        before = self._size
        share = most // max(len(self._books), 1) + 1
        for book in list(self._books.values()):
            self._turn_hand(book, at, share)
            if not book.entries:
                self._books = {name: other for name, other in self._books.items() if other is not book}
                self._by_terms = {terms: other for terms, other in self._by_terms.items() if other is not book}
        return before - self._size

    def stats(self) -> dict[str, int]:
        return {"entries": self._size, "buckets": len(self._books), "evicted": self._evicted}

    def __repr__(self) -> str:
        return f"<MemoryRateLimiter {self._size} of {self._max} entries in {len(self._books)} buckets>"

    # ---------------------------------------------------------------------------------------------------------- books

    def _book(self, limit: Limit) -> _Book:
        return self._by_terms.get(limit.terms) or self._open_book(limit)

    def _open_book(self, limit: Limit) -> _Book:
        """The bucket's book, also when the limit was compiled anew (a reload keeps what was used)."""
        if len(self._by_terms) > 4096:
            self._by_terms.clear()
        book = self._books.get(limit.bucket)
        if book is None:
            book = self._books[limit.bucket] = _Book(limit.terms, ALGORITHMS[limit.algorithm])
        book.terms = limit.terms
        self._by_terms[limit.terms] = book
        return book

    def _insert(self, book: _Book, identity: str, state: Any, at: int) -> None:
        self._turn_hand(book, at, _LOOK)
        if self._size >= self._max:
            self._evict(at)
        book.entries[identity] = state
        self._size += 1

    def _drop(self, book: _Book, identity: str) -> None:
        del book.entries[identity]
        self._size -= 1

    def _turn_hand(self, book: _Book, at: int, looks: int) -> None:
        entries = book.entries
        expires = book.algorithm.expires
        for _ in range(min(looks, len(entries))):
            identity, state = entries.popitem(last=False)
            if expires(book.terms, state) > at:
                entries[identity] = state
            else:
                self._size -= 1

    def _evict(self, at: int) -> None:
        """Drop the one of a few oldest entries of the fullest book that would be forgotten soonest. Never a permit."""
        books = [book for book in self._books.values() if book.entries and not book.permits]
        if not books:
            return
        book = max(books, key=lambda each: len(each.entries))
        taken = [book.entries.popitem(last=False) for _ in range(min(_CHOICE, len(book.entries)))]
        victim = min(taken, key=lambda item: book.algorithm.expires(book.terms, item[1]))[0]
        for identity, state in taken:
            if identity != victim:  # by name: a tuple has no identity of its own once it is compiled
                book.entries[identity] = state
        self._size -= 1
        self._evicted += 1


class _Lease:
    """Permits of one admission, until they are given back once."""

    __slots__ = ("charges", "held")

    def __init__(self, charges: Sequence[Charge]) -> None:
        self.charges = charges
        self.held = True
