"""Racing addresses: the first that answers wins, the others are ended."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest

from spork.adapters.http1.dial import interleave, race


class Made:
    """A connection as far as a race cares."""

    def __init__(self) -> None:
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


class Attempts:
    """Attempts that end when the test says so."""

    def __init__(self, count: int) -> None:
        self.results = [asyncio.get_running_loop().create_future() for _ in range(count)]
        self.started: list[int] = []
        self.cancelled: list[int] = []

    def calls(self):
        return [self._call(number) for number in range(len(self.results))]

    def _call(self, number: int):
        async def attempt():
            self.started.append(number)
            try:
                return await asyncio.shield(self.results[number])
            except asyncio.CancelledError:
                self.cancelled.append(number)
                raise

        return attempt


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_the_next_starts_when_the_first_fails():
    attempts = Attempts(2)
    racing = asyncio.ensure_future(race(attempts.calls(), 60))
    await turns()
    assert attempts.started == [0]
    attempts.results[0].set_exception(ConnectionRefusedError())
    await turns()
    assert attempts.started == [0, 1]
    made = Made()
    attempts.results[1].set_result(made)
    assert await racing is made


async def test_the_next_starts_beside_a_silent_one_and_the_loser_is_ended():
    attempts = Attempts(2)
    racing = asyncio.ensure_future(race(attempts.calls(), 0.01))
    made = Made()
    attempts.results[1].set_result(made)
    assert await racing is made
    await turns()
    assert attempts.started == [0, 1]
    assert attempts.cancelled == [0]


async def test_two_that_succeed_at_once():
    attempts = Attempts(2)
    racing = asyncio.ensure_future(race(attempts.calls(), 0.0))
    while attempts.started != [0, 1]:
        await asyncio.sleep(0)
    one, two = Made(), Made()
    attempts.results[0].set_result(one)
    attempts.results[1].set_result(two)
    winner = await racing
    await turns()
    assert sorted(made.aborted for made in (one, two)) == [False, True] or attempts.cancelled
    assert not winner.aborted


async def test_all_fail_with_the_first_failure():
    attempts = Attempts(2)
    racing = asyncio.ensure_future(race(attempts.calls(), 60))
    attempts.results[0].set_exception(ConnectionRefusedError())
    attempts.results[1].set_exception(OSError(113, "unreachable"))
    with pytest.raises(ConnectionRefusedError):
        await racing


async def test_a_certificate_that_is_refused_ends_the_race():
    attempts = Attempts(2)
    racing = asyncio.ensure_future(race(attempts.calls(), 60))
    attempts.results[0].set_exception(ssl.SSLCertVerificationError())
    with pytest.raises(ssl.SSLCertVerificationError):
        await racing
    assert attempts.started == [0]


async def test_leaving_ends_every_attempt():
    attempts = Attempts(3)
    racing = asyncio.ensure_future(race(attempts.calls(), 0.0))
    while attempts.started != [0, 1, 2]:
        await asyncio.sleep(0)
    racing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await racing
    await turns()
    assert sorted(attempts.cancelled) == [0, 1, 2]


def test_families_take_turns():
    six, four = socket.AF_INET6, socket.AF_INET
    found = [(six, "a"), (six, "b"), (four, "1"), (four, "1"), (six, "c"), (four, "2")]
    assert interleave(found) == ["a", "1", "b", "2", "c"]
    assert interleave([]) == []
