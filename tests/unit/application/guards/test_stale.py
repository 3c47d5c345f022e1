"""The last good answers, given again while an upstream fails, and only what anybody may have."""

from __future__ import annotations

from typing import Any

import pytest

from spork.adapters.memory.upstream_transport import Received, Reply
from spork.application.exchange.exchange import NO_FIELDS
from spork.application.guards.stale import StaleAnswers
from spork.application.kernel.faults import FaultError
from spork.domain.http.head import Header
from spork.domain.identity.tokens import Principal
from spork.domain.outcomes import Fault, FaultKind, Side
from spork.domain.upstreams.model import Fallback, Upstream
from tests.unit.application.pipeline.test_forwarder import ONE, House

REFUSED = FaultError(Fault(FaultKind.CONNECTION_REFUSED, Side.UPSTREAM, retry_safe=True))


class Service:
    """A target that answers until it is `down`."""

    def __init__(self, *headers: Header) -> None:
        self.headers = list(headers)
        self.down = False
        self.number = 0

    def __call__(self, _: Received) -> Reply:
        if self.down:
            raise REFUSED
        self.number += 1
        return Reply(200, [*self.headers, (b"content-type", b"text/plain")], [b"answer ", b"%d" % self.number])


def house_of(service: Service, stale: float = 60.0, answers: StaleAnswers | None = None) -> House:
    answers = StaleAnswers() if answers is None else answers
    return House(
        service,
        upstreams=(Upstream("u", (ONE,), fallback=Fallback(status=503, body=b"static", stale=stale)),),
        makers=[answers.guard],
        stale=answers,
    )


async def test_the_last_good_answer_comes_again_while_the_upstream_fails() -> None:
    service = Service((b"x-kind", b"good"))
    house = house_of(service)
    assert bytes((await house.get("/x?q=1")).body) == b"answer 1"
    assert bytes((await house.get("/x?q=1")).body) == b"answer 2"  # no cache: a target that answers is asked
    service.down = True
    sink = await house.get("/x?q=1")
    assert (sink.status, bytes(sink.body), sink.header(b"x-kind")) == (200, b"answer 2", b"good")
    assert sink.header(b"age") == b"0"
    assert (sink.header(b"cache-status") or b"").startswith(b"spork; hit; ttl=-0; detail=stale-if-error")
    assert len(sink.all(b"x-request-id")) == len(sink.all(b"content-type")) == 1
    service.down = False
    assert bytes((await house.get("/x?q=1")).body) == b"answer 3"


async def test_another_target_or_too_old_an_answer_falls_to_the_static_one() -> None:
    service = Service()
    house = house_of(service)
    await house.get("/x")
    service.down = True
    assert bytes((await house.get("/y")).body) == b"static"
    old = house_of(service := Service(), stale=1e-9)
    await old.get("/x")
    service.down = True
    assert bytes((await old.get("/x")).body) == b"static"


@pytest.mark.parametrize(
    "asked",
    [(b"authorization", b"Bearer x"), (b"cookie", b"a=b"), (b"range", b"bytes=0-1"), (b"x-api-key", b"k")],
)
async def test_what_one_caller_asked_for_is_nobody_elses(asked: Header) -> None:
    service = Service()
    house = house_of(service)
    await house.get("/x", asked)
    service.down = True
    assert bytes((await house.get("/x")).body) == b"static"
    service.down = False
    await house.get("/x")
    service.down = True
    assert bytes((await house.get("/x", asked)).body) == b"static"


async def test_a_verified_caller_gets_and_leaves_nothing() -> None:
    service = Service()
    answers = StaleAnswers()

    class Verifies:
        phase = "credentials"
        response_fields = NO_FIELDS

        def admit(self, exchange: Any) -> None:
            exchange.principal = Principal("ada", "mtls")

    house = House(
        service,
        upstreams=(Upstream("u", (ONE,), fallback=Fallback(stale=60)),),
        makers=[lambda _r, _c: Verifies(), answers.guard],
        stale=answers,
    )
    await house.get("/x")
    assert len(answers) == 0


@pytest.mark.parametrize(
    "said",
    [
        (b"set-cookie", b"a=b"),
        (b"vary", b"accept"),
        (b"cache-control", b"no-store"),
        (b"cache-control", b"max-age=1, Private"),
        (b"cache-control", b"must-revalidate"),
    ],
)
async def test_what_a_target_forbids_is_not_kept(said: Header) -> None:
    service = Service(said)
    house = house_of(service)
    await house.get("/x")
    service.down = True
    assert bytes((await house.get("/x")).body) == b"static"


async def test_post_is_never_given_again() -> None:
    service = Service()
    house = house_of(service)
    await house.get("/x", method="POST")
    service.down = True
    assert bytes((await house.get("/x", method="POST")).body) == b"static"
    assert bytes((await house.get("/x")).body) == b"static"


async def test_memory_is_bounded_and_the_oldest_goes_first() -> None:
    service = Service()
    answers = StaleAnswers(most=20, most_of_one=15)
    house = house_of(service, answers=answers)
    for path in ("/1", "/2", "/3", "/4"):
        await house.get(path)
    assert len(answers) == 2
    service.down = True
    assert bytes((await house.get("/1")).body) == b"static"
    assert bytes((await house.get("/4")).body) == b"answer 4"


async def test_a_body_too_large_or_cut_is_not_kept() -> None:
    service = Service()
    answers = StaleAnswers(most_of_one=3)
    house = house_of(service, answers=answers)
    await house.get("/x")
    assert len(answers) == 0
