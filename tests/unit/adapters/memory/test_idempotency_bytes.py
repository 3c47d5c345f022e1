"""Kept answers are bounded in bytes: the oldest go first, and one that is larger than all of it is not kept."""

from __future__ import annotations

from spork.adapters.memory.idempotency import MemoryIdempotency
from spork.application.guards.idempotency import Begun, KeptAnswer

ANSWER = 10_000
MOST = 100_000


async def keep(store: MemoryIdempotency, key: str, size: int = ANSWER) -> None:
    begun = await store.begin(key, "f", 30.0)
    assert isinstance(begun, Begun)
    await store.settle(key, begun.token, KeptAnswer(200, (), b"x" * size), 3600.0)


async def test_the_oldest_answers_go_when_all_of_them_are_too_many_bytes() -> None:
    store = MemoryIdempotency(lambda: 1.0, most_bytes=MOST)
    for number in range(50):
        await keep(store, str(number))
        assert store.kept_bytes <= MOST
    assert isinstance(await store.begin("49", "f", 30.0), KeptAnswer)
    assert isinstance(await store.begin("0", "f", 30.0), Begun), "forgotten"


async def test_an_answer_larger_than_all_of_it_pushes_nothing_out() -> None:
    store = MemoryIdempotency(lambda: 1.0, most_bytes=MOST)
    await keep(store, "small")
    await keep(store, "large", 2 * MOST)
    assert isinstance(await store.begin("small", "f", 30.0), KeptAnswer)


async def test_what_is_forgotten_gives_its_bytes_back() -> None:
    now = [1.0]
    store = MemoryIdempotency(lambda: now[0], most=3, most_bytes=MOST)
    for number in range(10):
        await keep(store, str(number))
    assert store.kept_bytes < 3 * ANSWER + 3_000
    now[0] = 9999.0
    await keep(store, "9")  # its answer's time is over: begun anew
    assert store.kept_bytes < 3 * ANSWER + 3_000
