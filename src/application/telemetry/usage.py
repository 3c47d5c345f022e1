"""Who used what: requests, bytes and cost units per consumer, route and hour, kept in records, fit for billing.

The request path adds to a dictionary. Every few seconds what was added goes to the store in one transaction; what the
store does not take is kept and added again, so that a restarted database loses nothing. A gateway that is killed loses
what it had not handed over yet, at most `FLUSH_EVERY` seconds.

Cost units: a route's `metadata.cost_units` (default 1) for every request that was admitted. What was refused for its
credentials, its access or its allowance counts as refused and costs nothing; a target's own refusal was admitted.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from spork.application.views import ConsumerView
from spork.domain.outcomes import SERVER_ERRORS, DenialCategory, Denied, Outcome

if TYPE_CHECKING:
    from spork.application.exchange.exchange import Exchange

log = logging.getLogger("spork.usage")

FLUSH_EVERY: Final = 5.0
OTHERS: Final = "(others)"
_SLICE: Final = 10
_SLICES: Final = 30


@dataclass(frozen=True, slots=True)
class UsageRow:
    """`hour` is Unix time divided by 3600. `errors` are 5xx as clients saw them, `refused` what `units` (cost units) leave
    out, `seconds` the sum of response times."""

    hour: int
    consumer: str
    route: str
    requests: int = 0
    errors: int = 0
    refused: int = 0
    units: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0


class UsageStore(Protocol):
    """Usage in records."""

    def add(self, rows: Sequence[UsageRow]) -> Awaitable[None]:
        """Add to what is there, all or nothing. Raises when the records cannot be reached."""

    def rows(
        self, since: int, until: int, consumer: str = "", route: str = "", limit: int = 100_000
    ) -> Awaitable[Sequence[UsageRow]]:
        """Hours `since` (included) to `until` (not included), in order of hour, consumer and route."""


class _Recent:
    """One consumer's last five minutes, in slices of ten seconds."""

    __slots__ = ("last_seen", "slices")

    def __init__(self) -> None:
        self.last_seen = 0.0
        self.slices: deque[tuple[int, int, int]] = deque(maxlen=_SLICES)

    def add(self, at: int, admitted: int, refused: int) -> None:
        if self.slices and self.slices[-1][0] == at:
            _, had, had_refused = self.slices.pop()
            admitted, refused = admitted + had, refused + had_refused
        self.slices.append((at, admitted, refused))


class UsageMeter:
    """Adds up usage (`application.ports.Observer`). Callers without identity count as consumer ""."""

    def __init__(
        self,
        unix: Callable[[], float],
        store: UsageStore | None = None,
        most: int = 20_000,
        consumers: int = 5_000,
        plan_of: Callable[[str], tuple[str | None, str | None]] = lambda consumer: (None, None),
    ) -> None:
        self._unix = unix
        self._store = store
        self._most = most
        self._most_consumers = consumers
        self._fresh: dict[tuple[str, str], list[float]] = {}
        self._waiting: dict[tuple[int, str, str], list[float]] = {}
        self._recent: dict[str, _Recent] = {}
        self._units: dict[str, int] = {}
        self._flushed_at = unix()
        self._plan_of = plan_of
        #: Flushes that failed, and rows folded into `(others)`.
        self.failures = 0
        self.folded = 0

    def closed(self, exchange: Exchange) -> None:
        plan = exchange.plan
        if plan is None:
            return
        principal = exchange.principal
        consumer = (principal.consumer or principal.subject) if principal is not None else ""
        key = (consumer, plan.name)
        sums = self._fresh.get(key)
        if sums is None:
            sums = self._open(key)
        sums[0] += 1
        if exchange.reason and _refused(exchange.outcome):
            sums[2] += 1
        else:
            units = self._units.get(plan.name)
            if exchange.costed:
                units = exchange.cost_units
            sums[3] += units if units is not None else self._read_units(plan.name, plan.config.metadata)
            if exchange.status >= SERVER_ERRORS:
                sums[1] += 1
        sums[4] += exchange.body.received
        sums[5] += exchange.sink.sent
        sums[6] += exchange.seconds

    def _open(self, key: tuple[str, str]) -> list[float]:
        if len(self._fresh) >= self._most:
            self.folded += 1
            key = (OTHERS, key[1])
        return self._fresh.setdefault(key, [0, 0, 0, 0, 0, 0, 0.0])

    def _read_units(self, route: str, metadata: dict[str, str]) -> int:
        text = metadata.get("cost_units", "1")
        units = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 1
        self._units[route] = units
        return units

    def forget_units(self) -> None:
        """A new configuration is in force: read the routes' cost units again."""
        self._units.clear()

    # ----------------------------------------------------------------------------------------- off the request path

    async def tick(self) -> None:
        """About once a second: fold what is fresh, and hand over what waits when it is time."""
        unix = self._unix()
        self._fold(unix)
        if self._store is not None and unix - self._flushed_at >= FLUSH_EVERY:
            self._flushed_at = unix
            await self.flush()

    def _fold(self, unix: float) -> None:
        fresh, self._fresh = self._fresh, {}
        hour, at = int(unix // 3600), int(unix // _SLICE)
        for (consumer, route), sums in fresh.items():
            if self._store is not None:
                self._wait((hour, consumer, route), sums)
            if consumer:
                recent = self._recent.get(consumer) or self._remember(consumer)
                recent.add(at, int(sums[0] - sums[2]), int(sums[2]))
                recent.last_seen = unix

    def _wait(self, key: tuple[int, str, str], sums: list[float]) -> None:
        if key not in self._waiting and len(self._waiting) >= self._most:
            self.folded += 1
            key = (key[0], OTHERS, key[2])
        waiting = self._waiting.setdefault(key, [0, 0, 0, 0, 0, 0, 0.0])
        for index, value in enumerate(sums):
            waiting[index] += value

    def _remember(self, consumer: str) -> _Recent:
        if len(self._recent) >= self._most_consumers:
            oldest = min(self._recent, key=lambda name: self._recent[name].last_seen)
            del self._recent[oldest]
        recent = self._recent[consumer] = _Recent()
        return recent

    async def flush(self) -> None:
        """Hand over what waits; what is not taken waits on."""
        self._fold(self._unix())
        if self._store is None or not self._waiting:
            return
        handed, self._waiting = self._waiting, {}
        rows = [_row(key, sums) for key, sums in handed.items()]
        try:
            await self._store.add(rows)
        except Exception as error:
            self.failures += 1
            log.warning("usage cannot be recorded and waits: %s", type(error).__name__)
            for key, sums in handed.items():
                self._wait(key, sums)

    def consumers(self) -> list[ConsumerView]:
        """Who was seen in the last five minutes."""
        at = int(self._unix() // _SLICE)
        found: list[ConsumerView] = []
        for name, recent in list(self._recent.items()):
            slices = [s for s in recent.slices if s[0] > at - _SLICES]
            if not slices:
                del self._recent[name]
                continue
            last = next((s for s in reversed(slices) if s[0] in (at - 1, at)), None)
            plan, owner = self._plan_of(name)
            found.append(
                ConsumerView(
                    name=name,
                    plan=plan,
                    owner=owner,
                    rps=(last[1] + last[2]) / _SLICE if last is not None else 0.0,
                    admitted_5m=sum(s[1] for s in slices),
                    refused_5m=sum(s[2] for s in slices),
                    last_seen=recent.last_seen,
                )
            )
        return found

    def samples(self) -> list[tuple[str, tuple[str, ...], float]]:
        return [("gateway_store_failures_total", ("usage",), float(self.failures))]


def _refused(outcome: Outcome | None) -> bool:
    """Whether the caller was refused by what it is or may, rather than by what it asked for."""
    return isinstance(outcome, Denied) and outcome.denial.ground is not DenialCategory.OTHER


def _row(key: tuple[int, str, str], sums: list[float]) -> UsageRow:
    requests, errors, refused, units, bytes_in, bytes_out = (int(value) for value in sums[:6])
    return UsageRow(*key, requests, errors, refused, units, bytes_in, bytes_out, sums[6])


def totals(rows: Sequence[UsageRow]) -> dict[tuple[str, str], UsageRow]:
    """Sums over the hours, per consumer and route, and of all of them last as `("total", "")`."""
    sums: dict[tuple[str, str], UsageRow] = {}
    for row in rows:
        key = (row.consumer, row.route)
        sums[key] = _added(sums.get(key), row, *key)
    found = {key: sums[key] for key in sorted(sums)}
    everything: UsageRow | None = None
    for row in sums.values():
        everything = _added(everything, row, "total", "")
    return found | ({("total", ""): everything} if everything is not None else {})


def _added(one: UsageRow | None, other: UsageRow, consumer: str, route: str) -> UsageRow:
    if one is None:
        one = UsageRow(other.hour, consumer, route)
    return UsageRow(
        min(one.hour, other.hour),
        consumer,
        route,
        one.requests + other.requests,
        one.errors + other.errors,
        one.refused + other.refused,
        one.units + other.units,
        one.bytes_in + other.bytes_in,
        one.bytes_out + other.bytes_out,
        one.seconds + other.seconds,
    )
