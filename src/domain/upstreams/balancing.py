"""Which of the available targets takes the next request.

A balancer is told the available targets with `arrange` whenever they or their weights change, and `pick`s one per
request in constant or logarithmic time. `key` matters to the hash ring only; chance is injected. With `exclude`
(targets this request has tried) another target is picked while there is one.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from typing import Final, Generic, Protocol, TypeVar

#: Points of a target on the hash ring per unit of weight.
POINTS: Final = 320
#: Points on a whole ring beyond which fewer per weight are used, down to one.
MOST_POINTS: Final = 1 << 17
#: Longest weighted sequence kept; finer weights are rounded to it.
LONGEST_SEQUENCE: Final = 2048
#: Keys of which a ring remembers the target.
MOST_FOUND: Final = 4096


class Choosable(Protocol):
    """What balancing reads of a target. `weight` includes slow start; `active` requests are in flight to it."""

    name: str
    weight: float
    active: int
    ewma: float
    ewma_at: float


C = TypeVar("C", bound=Choosable)


class Balancer(Protocol[C]):
    def arrange(self, available: Sequence[C], everyone: Sequence[C]) -> None:
        """The targets to pick from; `everyone` also has those that are not available now, for stable rings."""

    def pick(self, key: bytes | None, now: float, exclude: Collection[C]) -> C | None: ...


def smooth_weighted(weights: Sequence[int]) -> list[int]:
    """One period of nginx's smooth weighted round robin, as indexes: (5, 1, 1) gives 0 0 1 0 2 0 0."""
    if not weights:
        return []
    divisor = math.gcd(*weights)
    weights = [w // divisor for w in weights]
    total = sum(weights)
    current = [0] * len(weights)
    sequence = []
    for _ in range(total):
        for index, weight in enumerate(weights):
            current[index] += weight
        best = max(range(len(weights)), key=lambda i: (current[i], -i))
        current[best] -= total
        sequence.append(best)
    return sequence


def whole_weights(weights: Sequence[float]) -> list[int]:
    """Small positive integers in the proportion of `weights`, exact when those are integers of a small sum."""
    if all(w == int(w) and w >= 1 for w in weights):
        exact = [int(w) for w in weights]
        if sum(exact) // math.gcd(*exact) <= LONGEST_SEQUENCE:
            return exact
    unit = sum(weights) / 256
    return [max(1, round(w / unit)) for w in weights]


class WeightedRotation(Generic[C]):
    """Round robin; with unequal weights the smooth weighted sequence. The sequence is laid out when targets change.

    `turn` is where in it the next pick begins; who only looks puts it back.
    """

    def __init__(self) -> None:
        self._sequence: list[C] = []
        self.turn = 0

    def arrange(self, available: Sequence[C], everyone: Sequence[C]) -> None:
        if available:
            indexes = smooth_weighted(whole_weights([t.weight for t in available]))
            self._sequence = [available[i] for i in indexes]
        else:
            self._sequence = []
        if self.turn >= len(self._sequence):
            self.turn = 0

    def pick(self, key: bytes | None, now: float, exclude: Collection[C]) -> C | None:
        sequence = self._sequence
        if not sequence:
            return None
        at = self.turn
        chosen = sequence[at]
        at += 1
        self.turn = at if at < len(sequence) else 0
        if exclude and chosen in exclude:
            for step in range(len(sequence) - 1):
                other = sequence[(at + step) % len(sequence)]
                if other not in exclude:
                    self.turn = (at + step + 1) % len(sequence)
                    return other
        return chosen


class LeastRequest(Generic[C]):
    """The better of two at random by (in flight + 1) / weight (Mitzenmacher's two choices)."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._available: Sequence[C] = ()

    def arrange(self, available: Sequence[C], everyone: Sequence[C]) -> None:
        self._available = tuple(available)

    def two(self, available: Sequence[C], count: int) -> tuple[C, C]:
        """Two different ones of at least two, every ordered pair as likely as another; one random number for both."""
        first, second = divmod(int(self._chance() * (count * (count - 1))), count - 1)
        return available[first], available[second if second < first else second + 1]

    def pick(self, key: bytes | None, now: float, exclude: Collection[C]) -> C | None:
        available = self._available
        if exclude:
            available = [t for t in available if t not in exclude] or available
        count = len(available)
        if count < 2:
            return available[0] if count else None
        one, other = self.two(available, count)
        return one if (one.active + 1) * other.weight <= (other.active + 1) * one.weight else other


class PeakEwma(LeastRequest[C]):
    """The better of two by (latency that peaks at once and decays) x (in flight + 1) / weight (Finagle's Peak EWMA).

    A target without a sample yet costs nothing when idle, so that it gets one; the cost of an old sample decays, so
    that a target that was slow is tried again.
    """

    def pick(self, key: bytes | None, now: float, exclude: Collection[C]) -> C | None:
        available = self._available
        if exclude:
            available = [t for t in available if t not in exclude] or available
        count = len(available)
        if count < 2:
            return available[0] if count else None
        one, other = self.two(available, count)
        return one if self.cost(one, now) <= self.cost(other, now) else other

    def cost(self, target: C, now: float) -> float:
        latency = target.ewma
        passed = now - target.ewma_at
        if passed > FRESH:
            latency *= decay(passed)
        return (latency if latency > 1e-6 else 1e-6 + target.active) * (target.active + 1) / target.weight


#: Time constant of the latency average, and the age up to which a sample counts whole, seconds.
TAU: Final = 10.0
FRESH: Final = 0.1


def decay(passed: float) -> float:
    """The weight that is left of a sample after `passed` seconds."""
    return math.exp(-passed / TAU) if passed > 0 else 1.0


def peak_average(average: float, sample: float, passed: float) -> float:
    """The new average: a higher sample is taken whole, a lower one pulls it down over time."""
    if sample >= average:
        return sample
    # exp(-x) is 1 - x to within a part in ten thousand for the short times between samples under load
    left = 1.0 - passed / TAU if 0 <= passed <= FRESH else decay(passed)
    return average * left + sample * (1.0 - left)


def ring_position(key: bytes) -> int:
    """Where a key or a point stands on the ring: 64 bits, the same in every process."""
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")


class HashRing(Generic[C]):
    """Consistent hashing: a key stays on its target while that is available, and only its keys move when it is not.

    The ring holds all targets; unavailable ones are walked past. Without a key requests rotate.
    """

    def __init__(self) -> None:
        self.rotation: WeightedRotation[C] = WeightedRotation()
        self._laid: tuple[tuple[str, float], ...] = ()
        self._positions: list[int] = []
        self._owners: list[int] = []
        self._everyone: tuple[C, ...] = ()
        self._available: list[bool] = []
        self._found: dict[bytes, C] = {}

    def arrange(self, available: Sequence[C], everyone: Sequence[C]) -> None:
        self.rotation.arrange(available, everyone)
        self._found.clear()
        chosen = {id(t) for t in available}
        self._everyone = tuple(everyone)
        self._available = [id(t) in chosen for t in everyone]
        layout = tuple((t.name, t.weight) for t in everyone)
        if layout != self._laid:
            self._laid = layout
            self._lay_out()

    def _lay_out(self) -> None:
        weights = [max(1, round(weight)) for _, weight in self._laid]
        divisor = math.gcd(*weights) if weights else 1
        total = sum(weights) // divisor
        each = max(1, min(POINTS, MOST_POINTS // total)) if total else 0
        points = []
        for index, (name, _) in enumerate(self._laid):
            points += [(ring_position(f"{name}#{n}".encode()), index) for n in range(each * weights[index] // divisor)]
        points.sort()
        self._positions = [position for position, _ in points]
        self._owners = [owner for _, owner in points]

    def pick(self, key: bytes | None, now: float, exclude: Collection[C]) -> C | None:
        if key is None or not self._owners:
            return self.rotation.pick(key, now, exclude)
        found = self._found.get(key)
        if found is None or exclude:
            found = self._walk(key, exclude)
            if found is not None and not exclude:
                if len(self._found) >= MOST_FOUND:
                    self._found.clear()
                self._found[key] = found
        return found

    def _walk(self, key: bytes, exclude: Collection[C]) -> C | None:
        owners, available, everyone = self._owners, self._available, self._everyone
        start = bisect_right(self._positions, ring_position(key))
        count = len(owners)
        passed_over: C | None = None
        for step in range(count):
            owner = owners[(start + step) % count]
            if available[owner]:
                target = everyone[owner]
                if not exclude or target not in exclude:
                    return target
                passed_over = passed_over or target
        return passed_over


def first_level(levels: Sequence[tuple[Sequence[C], Sequence[C]]], panic: float) -> tuple[list[C], bool]:
    """The targets to use, and whether that is a panic. `levels` are (allowed, healthy) per priority, first used first.

    The first level of which at least the share `panic` is healthy serves; spares serve when it is not. When no level
    has that many, health checks are more likely wrong than everything down: all that is allowed of the first level
    serves.
    """
    for allowed, healthy in levels:
        if healthy and len(healthy) >= panic * len(allowed):
            return list(healthy), False
    for allowed, _ in levels:
        if allowed:
            return list(allowed), True
    return [], False


def token_of(name: str) -> bytes:
    """What stands for a target in a cookie: not its address, and the same in every process."""
    return hashlib.sha256(b"spork target\0" + name.encode()).hexdigest()[:16].encode()


class Sticky(Generic[C]):
    """Keeps whoever shows a target's token on it while it is available; else `rotation` picks."""

    def __init__(self, rotation: Balancer[C]) -> None:
        self.rotation = rotation
        self._by_token: dict[bytes, C] = {}

    def arrange(self, available: Sequence[C], everyone: Sequence[C]) -> None:
        self._by_token = {token_of(target.name): target for target in available}
        self.rotation.arrange(available, everyone)

    def pick(self, key: bytes | None, now: float, exclude: Collection[C]) -> C | None:
        if key is not None:
            target = self._by_token.get(key)
            if target is not None and target not in exclude:
                return target
        return self.rotation.pick(None, now, exclude)


def balancer_for(algorithm: str, chance: Callable[[], float]) -> Balancer[C]:
    """The balancer of that name in `Balance.algorithm`. Raises ValueError for an unknown one."""
    if algorithm in ("round_robin", "weighted"):
        return WeightedRotation()
    if algorithm == "least_request":
        return LeastRequest(chance)
    if algorithm == "peak_ewma":
        return PeakEwma(chance)
    if algorithm == "hash":
        return HashRing()
    raise ValueError(f"unknown balancing algorithm {algorithm!r}")
