"""Attempts to have everybody served what one odd request made the target say (RFC 9111 7.1; CPDoS; fat GET; cache deception)."""

from __future__ import annotations

import pytest

from spork.adapters.memory.upstream_transport import Received, Reply
from spork.domain.http.caching.policy import CachePolicy
from spork.domain.http.head import Header
from spork.domain.identity.tokens import Principal
from tests.unit.application.pipeline.test_cached import FRESH, House, counting, said

#: What a gateway tells a target of a client, and what clients try to pass for it.
TOLD = (b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-for", b"forwarded", b"x-user-id", b"cookie")


def reflecting(*headers: Header) -> object:
    """A target that repeats every field it may have been told of a client."""

    def answer(received: Received) -> Reply:
        body = b"|".join(value for name, value in received.headers if name in TOLD)
        return Reply(200, [(b"content-length", b"%d" % len(body)), *headers], [body])

    return answer


@pytest.mark.parametrize("name", [b"x-forwarded-host", b"x-forwarded-proto", b"forwarded", b"x-user-id", b"cookie"])
async def test_what_a_client_says_of_itself_is_not_in_anybodys_answer(name: bytes) -> None:
    house = House(reflecting(FRESH), CachePolicy(cookies="ignore"))  # type: ignore[arg-type]
    value = b"for=evil.example" if name == b"forwarded" else b"evil.example"
    await house.ask("/x", (name, value))
    victim = await house.ask()
    assert said(victim).startswith("spork; hit")
    assert b"evil" not in bytes(victim.body)


async def test_who_asks_is_not_told_where_the_answer_is_for_everybody() -> None:
    house = House(reflecting((b"cache-control", b"public, max-age=60")))  # type: ignore[arg-type]
    house.caller.principal = Principal("ann", "api_key", consumer="ann")
    await house.ask()
    house.caller.principal = Principal("bob", "api_key", consumer="bob")
    second = await house.ask()
    assert said(second).startswith("spork; hit")
    assert b"ann" not in bytes(second.body)


@pytest.mark.parametrize("status", [400, 403, 405, 413, 414, 431])
async def test_the_refusal_of_an_odd_request_is_nobody_elses(status: int) -> None:
    house = House(counting(status=status), CachePolicy(ttl=60.0, statuses=((404, 10.0),)))
    await house.ask("/x", (b"x-oversize", b"x" * 5000))
    await house.ask()
    assert house.asked == 2


async def test_a_get_with_content_is_neither_answered_nor_stored() -> None:
    from spork.adapters.memory.front_door import request

    house = House(counting(FRESH))
    fat = await request(house.gateway, "GET", "/x", (), [b"callback=evil"])
    assert said(fat) == "spork; fwd=bypass; detail=content"
    assert bytes((await house.ask()).body) == b"answer 2"
    again = await request(house.gateway, "GET", "/x", (), [b"callback=evil"])
    assert bytes(again.body) == b"answer 3", "nor is it answered from what is stored"


async def test_names_of_fields_that_answers_vary_on_are_read_in_any_case() -> None:
    house = House(counting(FRESH, (b"vary", b"Accept-LANGUAGE")))
    await house.ask("/x", (b"accept-language", b"de"))
    assert bytes((await house.ask("/x", (b"accept-language", b"en"))).body) == b"answer 2"


async def test_paths_and_queries_that_only_look_alike_are_different() -> None:
    house = House(counting(FRESH))
    for path in ("/a", "/a/", "/A", "/a%2e", "/a?", "/a?x", "/a?x=", "/a;x", "/a?X"):
        await house.ask(path)
    asked = house.asked
    assert asked >= 8, "an empty query may be none"
    for path in ("/a", "/a/", "/A", "/a?x", "/a?x=", "/a;x", "/a?X"):
        assert said(await house.ask(path)).startswith("spork; hit"), path
    assert house.asked == asked


async def test_a_method_that_is_overridden_is_still_what_it_is() -> None:
    house = House(counting(FRESH))
    await house.ask("/x", (b"x-http-method-override", b"DELETE"))
    post = await house.ask(method="POST")
    assert said(post).startswith("spork; fwd=method")
    assert said(await house.ask()).startswith("spork; fwd=uri-miss"), "it was invalidated, not answered"


async def test_a_cookie_of_the_answer_never_reaches_another() -> None:
    house = House(counting(FRESH, (b"set-cookie", b"session=ann")))
    await house.ask()
    second = await house.ask()
    assert bytes(second.body) == b"answer 2"
