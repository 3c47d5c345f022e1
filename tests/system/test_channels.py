"""Channels through two real gateways over one Redis: Mercure, Pusher and personal sockets."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests import tokens
from tests.servers import GatewayProcess, gateway_process, redis_process
from tests.system.test_admin import admin

SECRET = "a secret that is shared with nobody else at all"
PUSHER = "a secret of the pusher application"
JWK = json.dumps({"kty": "oct", "k": tokens.b64(SECRET.encode()).decode(), "alg": "HS256"})
HUB = "/.well-known/mercure"
DETAIL = "https://mercure.rocks/authorization-detail"

CONFIG = f"""
access_log: off
edge: {{drain_delay: 0s, grace: 3s}}
issuers:
  idp: {{issuer: "https://idp.example.com", audiences: [api], algorithms: [HS256], keys: ['{JWK}'], leeway: 0s}}
channels:
  pusher: {{key: spork, secret: "{PUSHER}"}}
  personal: {{path: "/ws/{{client_id}}", topic: "clients/{{client_id}}"}}
  origins: [https://app.example.com]
  event_bytes: 4KiB
  heartbeat: 1s
  rules:
    - {{match: "public/*", subscribe: anonymous, presence: true}}
    - {{match: "room-*", subscribe: anonymous}}
    - {{match: "orders/{{tenant}}/*", subscribe: {{roles: [clerk]}}, publish: {{scopes: ["orders:write"]}}, tenant: tenant}}
    - {{match: "private-{{tenant}}.chat", subscribe: {{}}, publish: {{}}, tenant: tenant}}
    - {{match: "presence-{{name}}", subscribe: {{}}}}
    - {{match: "clients/{{client_id}}", subscribe: {{}}, owner: client_id, presence: true}}
routes: []
"""


@dataclass
class World:
    one: GatewayProcess
    two: GatewayProcess
    redis: Any


def token(*grants: tuple[str, str], **changes: object) -> str:
    now = time.time()
    given: dict[str, object] = {"exp": now + 300, "iat": now - 1, "jti": f"t-{time.monotonic_ns()}"}
    if grants:
        given["authorization_details"] = [
            {"type": DETAIL, "actions": [action], "topics": [{"match": topic}]} for action, topic in grants
        ]
    return tokens.hmac_token(SECRET.encode(), **{**given, **changes}).decode()


def bearer(raw: str) -> dict[str, str]:
    return {"authorization": f"Bearer {raw}"}


ALL = (("publish", "*"), ("subscribe", "*"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("channels")
    with ExitStack() as stack:
        redis = stack.enter_context(redis_process())
        text = CONFIG + f"shared: {redis.url}\n"
        one, two = (stack.enter_context(gateway_process(text, directory / name)) for name in ("one", "two"))
        for gateway in (one, two):
            admin(gateway).close()
        yield World(one, two, redis)


class Events:
    """An event stream, read event by event; comments are left out."""

    def __init__(self, response: httpx.Response) -> None:
        self.headers = response.headers
        self._lines = response.aiter_lines()

    async def next(self, seconds: float = 20.0) -> dict[str, str]:
        async with asyncio.timeout(seconds):
            fields: dict[str, str] = {}
            async for line in self._lines:
                if not line and fields:
                    return fields
                name, _, value = line.partition(": ")
                if name and not line.startswith(":"):
                    fields[name] = f"{fields[name]}\n{value}" if name in fields else value
        raise EOFError


@contextlib.asynccontextmanager
async def subscribed(gateway: GatewayProcess, query: str, **headers: str) -> AsyncIterator[Events]:
    async with (
        httpx.AsyncClient(timeout=30, trust_env=False) as client,
        client.stream("GET", f"{gateway.url}{HUB}?{query}", headers=headers) as response,
    ):
        assert response.status_code == 200, await response.aread()
        yield Events(response)


async def publish(gateway: GatewayProcess, raw: str, **fields: Any) -> httpx.Response:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        return await client.post(f"{gateway.url}{HUB}", data=fields, headers=bearer(raw) if raw else {})


async def get(gateway: GatewayProcess, path: str, raw: str = "", **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        return await client.get(gateway.url + path, headers={**headers, **(bearer(raw) if raw else {})})


# ------------------------------------------------------------------------------------------------------------- Mercure


async def test_an_event_reaches_subscribers_of_every_node_with_all_its_fields(world: World) -> None:
    async with (
        subscribed(world.one, "match=public%2Fa") as here,
        subscribed(world.two, "match_urlpattern=public%2F%3Ax&match=other") as there,
    ):
        assert here.headers["content-type"] == "text/event-stream"
        assert here.headers["x-accel-buffering"] == "no"
        done = await publish(
            world.one,
            token(*ALL),
            topic=["public/a", "public/b"],
            data="one\r\ntwo",
            id="my-id",
            type="made",
            retry="250",
        )
        assert (done.status_code, done.text, done.headers["content-type"]) == (
            200,
            "my-id",
            "text/plain; charset=utf-8",
        )
        wanted = {"event": "made", "retry": "250", "id": "my-id", "data": "one\ntwo"}
        assert await here.next() == wanted
        assert await there.next() == wanted
        made = await publish(world.two, token(*ALL), topic="public/a", data="next")
        assert made.text.startswith("urn:uuid:")
        assert (await here.next())["id"] == made.text


async def test_who_comes_back_gets_what_it_missed_and_is_told_of_a_gap(world: World) -> None:
    first = (await publish(world.one, token(*ALL), topic="public/resume", data="1")).text
    await publish(world.one, token(*ALL), topic="public/elsewhere", data="no")
    await publish(world.one, token(*ALL), topic="public/resume", data="2")
    for gateway in (world.one, world.two):
        async with subscribed(
            gateway, "match=public%2Fresume&last_event_id=unknown", **{"Last-Event-ID": first}
        ) as again:
            assert again.headers["mercure-last-event-id"] == first
            assert (await again.next())["data"] == "2"
    async with subscribed(world.one, "match=public%2Fresume&last_event_id=never") as lost:
        assert lost.headers["mercure-last-event-id"] == "earliest"
        assert (await lost.next())["data"] == "1"


async def test_private_updates_go_to_who_may_read_one_of_their_topics(world: World) -> None:
    reads = token(("subscribe", "public/mine"))
    async with (
        subscribed(world.one, "match=public%2Fmine", **bearer(reads)) as granted,
        subscribed(world.one, "match=public%2Fmine") as anonymous,
    ):
        await publish(world.one, token(*ALL), topic="public/mine", data="secret", private="on")
        await publish(world.one, token(*ALL), topic="public/mine", data="open")
        assert (await granted.next())["data"] == "secret"
        assert (await anonymous.next())["data"] == "open"
    async with subscribed(world.two, "match=public%2Fmine&last_event_id=earliest") as replayed:
        assert (await replayed.next())["data"] == "open", "replay asks again who may read"


async def test_a_channel_of_a_tenant_is_the_tenants(world: World) -> None:
    topic = "match=orders%2Facme%2F7"
    assert (await get(world.one, f"{HUB}?{topic}")).status_code == 401
    assert (await get(world.one, f"{HUB}?{topic}", token(roles=["clerk"], tenant="other"))).status_code == 403
    assert (await get(world.one, f"{HUB}?{topic}", token(roles=["guest"], tenant="acme"))).status_code == 403
    stranger = token(*ALL, tenant="other")
    assert (await get(world.one, f"{HUB}?{topic}", stranger)).status_code == 403, (
        "no grant opens another tenant's channel"
    )
    assert (await publish(world.one, stranger, topic="orders/acme/7", data="x")).status_code == 403
    async with subscribed(world.two, topic, **bearer(token(roles=["clerk"], tenant="acme"))) as clerk:
        assert (
            await publish(world.one, token(scope="orders:read", tenant="acme"), topic="orders/acme/7")
        ).status_code == 403
        writes = token(scope="orders:write", tenant="acme")
        assert (await publish(world.one, writes, topic="orders/acme/7", data="new", private="")).status_code == 200
        assert (await clerk.next())["data"] == "new"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"data": "no topic"}, 400),
        ({"topic": "*"}, 400),
        ({"topic": "/.well-known/%6Dercure/subscriptions/x"}, 400),
        ({"topic": "https://hub.example.com/a/../.well-known/mercure/x"}, 400),
        ({"topic": "public/\u200b"}, 400),
        ({"topic": "public/a", "id": "#1"}, 400),
        ({"topic": "public/a", "id": "earliest"}, 400),
        ({"topic": "public/a", "id": "a\nevent: x"}, 400),
        ({"topic": "public/a", "type": "mercure"}, 400),
        ({"topic": "public/a", "type": "x\ndata: forged"}, 400),
        ({"topic": "public/a", "retry": "soon"}, 400),
        ({"topic": "public/a", "data": "x" * 5000}, 413),
        ({"topic": "public/a", "data": "x" * 500_000}, 413),
    ],
)  # fmt: skip
async def test_what_may_not_be_published(world: World, fields: dict[str, str], status: int) -> None:
    answer = await publish(world.one, token(*ALL), **fields)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text


async def test_requests_that_make_no_sense_and_callers_who_may_not(world: World) -> None:
    for query in (
        "",
        "match_regex=x",
        "Match=x",
        "matchURLPattern=x",
        "match=%00",
        "match_urlpattern=(x)",
        "match=%E2%80%8B",
    ):
        assert (await get(world.one, f"{HUB}?{query}")).status_code == 400, query
    assert (await publish(world.one, "", topic="public/a")).status_code == 401
    missing = token(("subscribe", "public/a"))
    refused = await publish(world.one, missing, topic=["public/a", "public/b"])
    assert refused.status_code == 403
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    half = token(("publish", "public/a"))
    assert (await publish(world.one, half, topic=["public/a", "public/b"])).status_code == 403, "every topic is needed"
    broken = token(
        authorization_details=[{"type": DETAIL, "actions": ["publish"], "topics": [{"match": "a", "match_type": "x"}]}]
    )
    answer = await publish(world.one, broken, topic="a")
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    late = token(*ALL, exp=time.time() - 5)
    assert (await publish(world.one, late, topic="public/a")).status_code == 401
    async with httpx.AsyncClient(trust_env=False) as client:
        wrong = await client.post(f"{world.one.url}{HUB}", json={"topic": "a"}, headers=bearer(token(*ALL)))
        assert wrong.status_code == 415
        in_url = await client.post(f"{world.one.url}{HUB}?access_token={token(*ALL)}", data={"topic": "public/a"})
        assert in_url.status_code == 401, "no token in the URL"


async def test_a_browsers_cookie_and_its_origin(world: World) -> None:
    cookie = {"cookie": f"a=1; __Secure-mercure_access_token={token(*ALL)}"}
    page = {"origin": "https://app.example.com"}
    async with subscribed(world.one, "match=secret", **cookie, **page) as stream:
        assert stream.headers["access-control-allow-origin"] == "https://app.example.com"
        assert stream.headers["access-control-allow-credentials"] == "true"
        async with httpx.AsyncClient(trust_env=False) as client:
            url = f"{world.one.url}{HUB}"
            foreign = await client.post(
                url, data={"topic": "secret"}, headers={**cookie, "origin": "https://evil.example"}
            )
            none = await client.post(url, data={"topic": "secret"}, headers=cookie)
            assert (foreign.status_code, none.status_code) == (403, 403)
            own = await client.post(url, data={"topic": "secret", "data": "x"}, headers={**cookie, **page})
            assert own.status_code == 200
        assert (await stream.next())["data"] == "x"


async def test_a_stream_ends_with_its_token_and_is_kept_alive_until_then(world: World) -> None:
    raw = token(exp=time.time() + 3)
    async with (
        httpx.AsyncClient(timeout=30, trust_env=False) as client,
        client.stream("GET", f"{world.one.url}{HUB}?match=public%2Fquiet", headers=bearer(raw)) as response,
    ):
        seen = b""
        with pytest.raises(httpx.RemoteProtocolError):
            async for piece in response.aiter_raw():
                seen += piece
    assert b": \n\n" in seen


async def test_subscriptions_are_told_and_listed(world: World) -> None:
    watching = token(*ALL, sub="watcher")
    pattern = "match_urlpattern=%2F.well-known%2Fmercure%2Fsubscriptions%2F*"
    payload = {"type": DETAIL, "actions": ["subscribe"], "topics": [{"match": "*"}], "payload": {"name": "Ann"}}
    async with subscribed(world.two, pattern, **bearer(watching)) as news:
        async with subscribed(world.one, "match=public%2Fseen", **bearer(token(authorization_details=[payload]))):
            begun = await news.next()
            assert begun["event"] == "mercure"
            document = json.loads(begun["data"])
            assert (document["type"], document["match"], document["active"]) == ("subscription", "public/seen", True)
            assert document["payload"] == {"name": "Ann"}
            listed = await get(world.two, f"{HUB}/subscriptions", watching)
            assert document in listed.json()["subscriptions"]
            assert 'rel="mercure"; last-event-id="urn:uuid:' in listed.headers["link"]
            of_matcher = await get(world.two, f"{HUB}/subscriptions/exact/public%2Fseen", watching)
            assert of_matcher.json()["subscriptions"] == [document]
            one = await get(world.two, document["id"], watching)
            assert one.json() == document
            assert (await get(world.two, document["id"] + "x", watching)).status_code == 404
            assert (await get(world.two, f"{HUB}/subscriptions")).status_code == 401
            assert (await get(world.two, f"{HUB}/subscriptions", token(("subscribe", "x")))).status_code == 403
        ended = json.loads((await news.next())["data"])
        assert (ended["id"], ended["active"]) == (document["id"], False)


# -------------------------------------------------------------------------------------------------------------- Pusher


@contextlib.asynccontextmanager
async def socket(
    gateway: GatewayProcess, path: str = "/app/spork?protocol=7", **headers: str
) -> AsyncIterator[ClientConnection]:
    async with connect(
        f"ws://127.0.0.1:{gateway.port}{path}", additional_headers=headers, compression=None, proxy=None
    ) as made:
        yield made


async def heard(made: ClientConnection, seconds: float = 20.0) -> dict[str, Any]:
    async with asyncio.timeout(seconds):
        message: dict[str, Any] = json.loads(await made.recv())
        if isinstance(message.get("data"), str):
            with contextlib.suppress(ValueError):
                message["data"] = json.loads(message["data"])
        return message


async def say(made: ClientConnection, event: str, data: Any, **more: Any) -> None:
    await made.send(json.dumps({"event": event, "data": data, **more}))


def signed(text: str) -> str:
    return hmac.new(PUSHER.encode(), text.encode(), hashlib.sha256).hexdigest()


async def trigger(gateway: GatewayProcess, method: str, path: str, body: Any = None, **changes: str) -> httpx.Response:
    """A request as the official server libraries sign it."""
    content = b"" if body is None else json.dumps(body).encode()
    query = {"auth_key": "spork", "auth_timestamp": str(int(time.time())), "auth_version": "1.0"}
    if body is not None:
        query["body_md5"] = hashlib.md5(content).hexdigest()
    query |= changes
    text = "&".join(f"{name}={query[name]}" for name in sorted(query))
    query["auth_signature"] = signed(f"{method}\n{path}\n{text}")
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        return await client.request(method, f"{gateway.url}{path}?{urlencode(query)}", content=content)


async def hello(made: ClientConnection) -> str:
    first = await heard(made)
    assert first["event"] == "pusher:connection_established"
    assert first["data"]["activity_timeout"] == 120
    return str(first["data"]["socket_id"])


async def test_a_pusher_client_hears_what_a_server_triggers(world: World) -> None:
    async with socket(world.two) as client:
        mine = await hello(client)
        await say(client, "pusher:subscribe", {"auth": "", "channel": "room-1"})  # as pusher-js does
        assert await heard(client) == {
            "event": "pusher_internal:subscription_succeeded",
            "channel": "room-1",
            "data": {},
        }
        done = await trigger(
            world.one, "POST", "/apps/spork/events", {"name": "sold", "channels": ["room-1"], "data": '{"n":1}'}
        )
        assert (done.status_code, done.json()) == (200, {}), done.text
        assert await heard(client) == {"event": "sold", "channel": "room-1", "data": {"n": 1}}
        batch = [
            {"name": "a", "channel": "room-1", "data": "1", "socket_id": mine},
            {"name": "b", "channel": "room-1", "data": "2"},
        ]
        assert (await trigger(world.one, "POST", "/apps/spork/batch_events", {"batch": batch})).status_code == 200
        assert (await heard(client))["event"] == "b", "who sent it does not hear it"
        await say(client, "pusher:ping", {})
        assert (await heard(client))["event"] == "pusher:pong"
        channels = (await trigger(world.two, "GET", "/apps/spork/channels")).json()["channels"]
        assert "room-1" in channels
        await publish(world.one, token(*ALL), topic="room-1", data="by mercure", type="note")
        assert await heard(client) == {"event": "note", "channel": "room-1", "data": "by mercure"}
        for name in ("not listed", "unlisted"):
            await say(client, "pusher:subscribe", {"channel": name})
            assert (await heard(client))["event"] in ("pusher:error", "pusher:subscription_error")


async def test_requests_of_servers_that_are_not_good(world: World) -> None:
    event = {"name": "x", "channel": "room-1", "data": ""}
    path = "/apps/spork/events"
    assert (
        await trigger(world.one, "POST", path, event, auth_timestamp=str(int(time.time()) - 700))
    ).status_code == 401
    assert (await trigger(world.one, "POST", path, event, body_md5="0" * 32)).status_code == 401
    assert (await trigger(world.one, "POST", path, event, auth_key="other")).status_code == 401
    assert (await trigger(world.one, "POST", "/apps/other/events", event)).status_code == 404
    assert (await trigger(world.one, "POST", path, {**event, "name": "pusher:error"})).status_code == 400
    assert (await trigger(world.one, "POST", path, {**event, "channel": "no name"})).status_code == 400
    assert (await trigger(world.one, "POST", path, {**event, "data": "x" * 5000})).status_code == 413
    assert (await get(world.one, "/apps/spork/channels")).status_code == 401
    assert (await get(world.one, "/app/other")).status_code == 404
    assert (await get(world.one, "/app/spork")).status_code == 400


async def test_private_and_presence_channels(world: World) -> None:
    async with socket(world.one) as ann, socket(world.two) as bob:
        ids = await hello(ann), await hello(bob)
        await say(ann, "pusher:subscribe", {"channel": "private-x", "auth": f"spork:{signed(f'{ids[1]}:private-x')}"})
        refused = await heard(ann)
        assert (refused["event"], refused["data"]["status"]) == ("pusher:subscription_error", 401)
        for client, id, user in ((ann, ids[0], "ann"), (bob, ids[1], "bob")):
            data = json.dumps({"user_id": user, "user_info": {"name": user.title()}})
            auth = f"spork:{signed(f'{id}:presence-club:{data}')}"
            await say(client, "pusher:subscribe", {"channel": "presence-club", "auth": auth, "channel_data": data})
            joined = await heard(client)
            assert joined["event"] == "pusher_internal:subscription_succeeded"
            assert user in joined["data"]["presence"]["ids"]
        assert joined["data"]["presence"]["hash"] == {"ann": {"name": "Ann"}, "bob": {"name": "Bob"}}
        added = await heard(ann)
        assert (added["event"], added["data"]) == (
            "pusher_internal:member_added",
            {"user_id": "bob", "user_info": {"name": "Bob"}},
        )
        await say(bob, "client-typing", {"on": True}, channel="presence-club")
        assert await heard(ann) == {
            "event": "client-typing",
            "channel": "presence-club",
            "data": {"on": True},
            "user_id": "bob",
        }
        users = await trigger(world.one, "GET", "/apps/spork/channels/presence-club/users")
        assert sorted(each["id"] for each in users.json()["users"]) == ["ann", "bob"]
        for _ in range(12):
            await say(bob, "client-typing", {}, channel="presence-club")
        too_many = await heard(bob)
        assert (too_many["event"], too_many["data"]["code"]) == ("pusher:error", 4301)
        await bob.close()
        while (last := await heard(ann))["event"] == "client-typing":
            pass
        assert (last["event"], last["data"]) == ("pusher_internal:member_removed", {"user_id": "bob"})


async def test_the_gateways_own_token_opens_a_private_channel(world: World) -> None:
    async with socket(world.one) as anonymous, socket(world.two, **bearer(token(sub="eve", tenant="acme"))) as known:
        await hello(anonymous)
        await hello(known)
        name = "private-acme.chat"
        await say(anonymous, "pusher:subscribe", {"channel": name})
        assert (await heard(anonymous))["event"] == "pusher:subscription_error"
        await say(anonymous, "pusher:subscribe", {"channel": name, "auth": f"Bearer {token(tenant='other')}"})
        assert (await heard(anonymous))["event"] == "pusher:subscription_error"
        await say(anonymous, "pusher:subscribe", {"channel": name, "auth": f"Bearer {token(tenant='acme')}"})
        assert (await heard(anonymous))["event"] == "pusher_internal:subscription_succeeded"
        await say(known, "pusher:subscribe", {"channel": name})
        assert (await heard(known))["event"] == "pusher_internal:subscription_succeeded"
        await say(known, "client-hi", {}, channel=name)
        assert (await heard(anonymous))["event"] == "client-hi"


async def test_a_socket_that_breaks_the_rules_of_websockets(world: World) -> None:
    async with socket(world.one) as client:
        await hello(client)
        await client.send("no json")
        assert (await heard(client))["event"] == "pusher:error"
        await client.send(b"binary")
        with pytest.raises(ConnectionClosed) as caught:
            await client.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1002
    with pytest.raises(InvalidStatus) as refused:
        async with socket(world.one, origin="https://evil.example"):
            pass
    assert refused.value.response.status_code == 403


async def test_a_personal_socket_is_its_owners_and_hears_what_services_send(world: World) -> None:
    for raw, status in (("", 401), (token(sub="other"), 403)):
        with pytest.raises(InvalidStatus) as refused:
            async with socket(world.one, "/ws/42", **(bearer(raw) if raw else {})):
                pass
        assert refused.value.response.status_code == status
    async with socket(world.one, "/ws/42", **bearer(token(sub="42"))) as client:
        await hello(client)
        there = await heard(client)
        assert (there["channel"], there["data"]["presence"]["ids"]) == ("clients/42", ["42"])
        await trigger(world.two, "POST", "/apps/spork/events", {"name": "mail", "channel": "clients/42", "data": "{}"})
        assert (await heard(client))["event"] == "mail"
        with admin(world.two) as operator:
            shown = operator.get("/admin/v1/channels/presence", params={"topic": "clients/42"}).json()
            assert shown["item"]["users"] == ["42"]
        with admin(world.one) as operator:
            about = operator.get("/admin/v1/channels").json()["item"]
            assert {"match": "clients/42", "type": "exact", "subscribers": 1} in about["topics"]
            assert about["broker"] == "redis"
            live = operator.get("/admin/v1/connections", params={"kind": "channel", "consumer": "42"}).json()["items"]
            assert [row["subject"] for row in live] == ["42"]
            operator.post(f"/admin/v1/connections/{live[0]['id']}/close", json={"reason": "test"})
        with pytest.raises(ConnectionClosed) as caught:
            await client.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1001


async def test_what_is_revoked_at_one_node_ends_at_the_other_within_a_second(world: World) -> None:
    raw = token(*ALL, sid="stolen-session")
    async with (
        httpx.AsyncClient(timeout=30, trust_env=False) as client,
        client.stream("GET", f"{world.two.url}{HUB}?match=public%2Fa", headers=bearer(raw)) as stream,
        socket(world.two, **bearer(raw)) as pusher,
    ):
        await hello(pusher)
        with admin(world.one) as operator:
            done = operator.post("/admin/v1/sessions/stolen-session/revoke", json={"reason": "stolen"})
            assert done.status_code == 200, done.text
        began = time.monotonic()
        with pytest.raises(ConnectionClosed) as caught:
            await asyncio.wait_for(pusher.recv(), 20)
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4009, "session revoked")
        with pytest.raises(httpx.TransportError):  # cut, with nothing sent: reset
            async for _ in stream.aiter_raw():
                pass
        took = time.monotonic() - began
    assert (await get(world.two, f"{HUB}?match=public%2Fa", raw)).status_code == 401
    assert took < 3.0, "a second is promised; a busy machine is given two more"


async def test_without_redis_subscribers_stay_and_publishing_says_so(world: World) -> None:
    async with subscribed(world.one, "match=public%2Fa") as stream:
        world.redis.kill()
        answer = await publish(world.one, token(*ALL), topic="public/a", data="x")
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:spork:problem:channels_unavailable")
        async with subscribed(world.one, "match=public%2Fnew"):
            pass
        with admin(world.one) as operator:
            assert operator.get("/admin/v1/channels").json()["item"]["broker"] == "away"
        world.one.process.terminate()
        assert "retry" in await stream.next(), "a stream that ends in good order says when to come back"
        with pytest.raises(EOFError):
            await stream.next()
