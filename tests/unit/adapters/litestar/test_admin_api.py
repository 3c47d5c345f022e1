"""The admin API over ASGI: reading, acting, access. The parts behind it are the real ones."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from spork.adapters.litestar.admin.access import Authenticated
from spork.adapters.litestar.admin.application import admin_application
from spork.adapters.litestar.admin.monitoring import monitoring_handlers
from spork.adapters.prometheus.exposition import expose
from spork.application.fleet.nodes import NodeReport, NodeState, RouteReport, SingleNodeRegistry
from spork.application.views import ConsumerView
from tests.admin_rig import AdminRig
from tests.closed_exchanges import closed_exchange


@pytest.fixture
def rig() -> AdminRig:
    return AdminRig()


READS = ("whoami", "snapshot", "services", "upstreams", "targets", "breakers", "breakers/users", "routes", "limits",
         "quotas", "consumers", "keys", "sessions", "events", "traffic")  # fmt: skip


@pytest.mark.parametrize("path", READS)
async def test_every_read_needs_a_token_and_takes_a_viewers(rig: AdminRig, path: str) -> None:
    async with rig.client(None) as anonymous, rig.client("viewer") as viewer:
        refused = await anonymous.get(f"/admin/v1/{path}")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert refused.headers["content-type"] == "application/problem+json"
        assert (await viewer.get(f"/admin/v1/{path}")).status_code == 200


async def test_lists_say_when_they_were_true_and_whom_they_cover(rig: AdminRig) -> None:
    async with rig.client() as client:
        body = (await client.get("/admin/v1/targets")).json()
    assert body["as_of"] == rig.clock.unix()
    assert body["nodes"] == {"seen": 1, "total": 1, "silent": []}
    assert [t["name"] for t in body["items"]] == ["127.0.0.1:7003", "127.0.0.1:7001", "127.0.0.1:7002"]


async def test_configured_probe_breaker_and_traffic_state_are_separate_facts(rig: AdminRig) -> None:
    rig.tally.closed(closed_exchange(status=502, reason="connection_refused", unix=rig.clock.unix()))
    rig.clock.at += 1
    rig.tally.tick(rig.clock.unix())
    async with rig.client() as client:
        rows = {t["name"]: t for t in (await client.get("/admin/v1/targets")).json()["items"]}
    broken = rows["127.0.0.1:7001"]
    assert (broken["config"], broken["probe"], broken["breaker"], broken["traffic"]) == (
        "active",
        "off",
        "off",
        "failing",
    )
    assert rows["127.0.0.1:7003"]["breaker"] == "closed"
    assert rows["127.0.0.1:7002"]["traffic"] == "idle"


async def test_a_trip_says_its_blast_and_is_seen_at_once(rig: AdminRig) -> None:
    for _ in range(20):
        rig.tally.closed(closed_exchange(unix=rig.clock.unix()))
    rig.clock.at += 1
    rig.tally.tick(rig.clock.unix())
    async with rig.client("operator") as client:
        dry = await client.post("/admin/v1/breakers/users/trip?dry_run=true", json={"reason": "test", "ttl": 60})
        assert dry.json()["applied"] is False
        assert dry.json()["blast"] == "Refuses 2.0 requests/s on 1 route(s): users."
        assert (await client.get("/admin/v1/breakers/users")).json()["item"]["state"] == "closed"
        done = await client.post("/admin/v1/breakers/users/trip", json={"reason": "INC-1", "ttl": 60})
        assert done.status_code == 200
        assert (done.json()["before"], done.json()["after"], done.json()["applied"]) == ("closed", "forced_open", True)
        seen = (await client.get("/admin/v1/breakers/users")).json()["item"]
    assert (seen["state"], seen["forced_by"], seen["forced_reason"]) == ("forced_open", "the-operator", "INC-1")
    assert seen["expires_at"] == rig.clock.unix() + 60


async def test_a_name_with_a_slash_is_one_segment(rig: AdminRig) -> None:
    async with rig.client("operator") as client:
        assert (await client.get("/admin/v1/breakers/echo%2F127.0.0.1:7003")).json()["item"][
            "name"
        ] == "echo/127.0.0.1:7003"
        done = await client.post("/admin/v1/breakers/echo%2F127.0.0.1%3A7003/trip", json={"reason": "x"})
        assert done.json()["object"] == "breaker echo/127.0.0.1:7003"
        assert done.json()["warnings"] == ["No ttl: the circuit stays open until somebody resets it."]


async def test_if_match_refuses_when_the_object_changed_and_only_then(rig: AdminRig) -> None:
    async with rig.client("operator") as client:
        rev = (await client.get("/admin/v1/breakers")).json()["rev"]
        await rig.beat()
        await client.post("/admin/v1/breakers/echo%2F127.0.0.1:7003/trip", json={"reason": "another object"})
        first = await client.post("/admin/v1/breakers/users/trip", json={}, headers={"if-match": f'"{rev}"'})
        assert first.status_code == 200, first.text
        second = await client.post("/admin/v1/breakers/users/reset", json={}, headers={"if-match": f'"{rev}"'})
        assert second.status_code == 412
        assert second.json()["rev"] > rev
        assert second.json()["current"] == "forced_open"
        rev = second.json()["rev"]
        third = await client.post("/admin/v1/breakers/users/reset", json={}, headers={"if-match": f'"{rev}"'})
        assert third.status_code == 200


async def test_an_idempotency_key_makes_a_write_happen_once(rig: AdminRig) -> None:
    headers = {"idempotency-key": "k1"}
    async with rig.client("operator") as client:
        calls = [client.post("/admin/v1/breakers/users/trip", json={"reason": "a"}, headers=headers) for _ in range(5)]
        answers = await asyncio.gather(*calls)
        assert len({a.json()["revision"] for a in answers}) == 1
        other = await client.post("/admin/v1/breakers/users/trip", json={"reason": "b"}, headers=headers)
        assert other.status_code == 409
    forced = [e for e in rig.events.latest() if e.kind == "operator.breaker.trip"]
    assert len(forced) == 1


@pytest.mark.parametrize(
    ("role", "path", "needs"),
    [
        ("viewer", "/admin/v1/breakers/users/trip", "operator"),
        ("operator", "/admin/v1/keys/k1/revoke", "admin"),
        ("operator", "/admin/v1/subjects/alice/revoke", "admin"),
    ],
)
async def test_roles(rig: AdminRig, role: str, path: str, needs: str) -> None:
    async with rig.client(role) as client:
        refused = await client.post(path, json={})
    assert refused.status_code == 403
    assert refused.json()["needs"] == needs
    assert rig.witnessed[0][0] == "admin.refused"


async def test_guessing_is_limited_and_the_right_token_waits_too(rig: AdminRig) -> None:
    async with rig.client("viewer") as client:
        for _ in range(10):
            wrong = await client.get("/admin/v1/whoami", headers={"authorization": "Bearer wrong"})
            assert wrong.status_code == 401
        locked = await client.get("/admin/v1/whoami")
        assert locked.status_code == 429
        assert int(locked.headers["retry-after"]) == 60
        rig.clock.at += 61
        assert (await client.get("/admin/v1/whoami")).status_code == 200
    assert "wrong" not in str(rig.witnessed)


async def test_an_address_that_goes_on_while_it_is_locked_out_is_told_of_once_a_minute_with_a_count(
    rig: AdminRig,
) -> None:
    guess = {"authorization": "Bearer wrong"}
    async with rig.client("viewer") as client:
        for _ in range(60):
            await client.get("/admin/v1/whoami", headers=guess)
        assert [fact[0] for fact in rig.witnessed] == ["admin.refused"] * 10 + ["admin.locked"]
        rig.clock.at += 59
        await client.get("/admin/v1/whoami", headers=guess)
        assert len(rig.witnessed) == 11
        rig.clock.at += 1.5
        for _ in range(11):
            await client.get("/admin/v1/whoami", headers=guess)
    kind, actor, client_address, detail = rig.witnessed[-1]
    assert (kind, actor, client_address) == ("admin.locked", "(unknown)", "127.0.0.1")
    assert detail == "too many failed attempts from 127.0.0.1; 50 more attempt(s) since that was last told"


async def test_what_is_wrong_with_a_body_is_said_by_member(rig: AdminRig) -> None:
    async with rig.client("operator") as client:
        bad = await client.post("/admin/v1/breakers/users/trip", json={"reason": 5, "ttl": -1})
        assert bad.status_code == 422
        assert bad.json()["errors"]
        assert (await client.post("/admin/v1/breakers/users/trip", json={"tll": 5})).status_code == 422
        assert (await client.post("/admin/v1/breakers/nope/trip", json={})).status_code == 404
        assert (await client.get("/admin/v1/snapshot?topics=nope")).status_code == 422
        assert (await client.get("/admin/v1/quotas?sort=nope")).status_code == 422
        assert (await client.get("/admin/v1/breakers", headers={"x": "y"})).status_code == 200


async def test_drain_of_the_last_target_warns(rig: AdminRig) -> None:
    async with rig.client("operator") as client:
        done = (await client.post("/admin/v1/targets/echo/127.0.0.1:7003/drain", json={"reason": "upgrade"})).json()
        assert done["warnings"] == ["No other target of echo takes requests: its routes will answer 503."]
        rows = {t["name"]: t["config"] for t in (await client.get("/admin/v1/targets")).json()["items"]}
    assert rows["127.0.0.1:7003"] == "drained"


async def test_a_silent_node_is_named_and_left_out(rig: AdminRig) -> None:
    class Two:
        alone = False

        async def announce(self, report: NodeReport, routes: RouteReport) -> None: ...

        async def nodes(self) -> list[NodeState]:
            busy = NodeReport("node-b", rig.clock.unix(), 0.0, in_flight=7)
            late = NodeReport("node-c", rig.clock.unix() - 20, 0.0, in_flight=100)
            return [NodeState(busy, 0.5), NodeState(late, 20.0)]

        async def leave(self, node: str) -> None: ...

    rig = AdminRig(nodes=Two())
    await rig.beat()
    async with rig.client() as client:
        body = (await client.get("/admin/v1/snapshot?topics=pulse")).json()
    assert body["nodes"] == {"seen": 2, "total": 3, "silent": ["node-c"]}
    assert body["topics"]["pulse"]["in_flight"] == 7
    assert [e.kind for e in rig.events.latest()] == ["node.silent"]


async def read_events(
    rig: AdminRig, query: str, wanted: int, headers: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """The first `wanted` events of a stream, beating meanwhile."""
    got: list[dict[str, Any]] = []
    sent = asyncio.Event()
    scope_headers = [(b"authorization", b"Bearer viewer-token")]
    scope_headers += [(k.encode(), v.encode()) for k, v in (headers or {}).items()]
    scope = {
        "type": "http", "method": "GET", "path": "/admin/v1/stream", "raw_path": b"/admin/v1/stream",
        "query_string": query.encode(), "headers": scope_headers, "client": ("127.0.0.1", 1), "server": ("a", 1),
        "scheme": "http", "http_version": "1.1", "asgi": {"version": "3.0"}, "root_path": "", "state": {},
    }  # fmt: skip
    buffer = b""

    async def receive() -> dict[str, Any]:
        await sent.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        nonlocal buffer
        if message["type"] == "http.response.start":
            assert message["status"] == 200
        buffer += message.get("body", b"")
        while b"\n\n" in buffer:
            block, _, buffer = buffer.partition(b"\n\n")
            fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line)
            if b"event" in fields:
                event = {
                    "event": fields[b"event"].decode(),
                    "id": int(fields[b"id"]),
                    "data": json.loads(fields[b"data"]),
                }
                got.append(event)
        if len(got) >= wanted:
            sent.set()

    task = asyncio.create_task(rig.app(scope, receive, send))
    for _ in range(200):
        if sent.is_set() or task.done():
            break
        await asyncio.sleep(0.01)
        await rig.beat()
    sent.set()
    await asyncio.wait_for(task, 5)
    return got


async def test_the_stream_tells_ticks_and_deltas(rig: AdminRig) -> None:
    async with rig.client("operator") as client:
        rev = (await client.get("/admin/v1/snapshot")).json()["rev"]
        await client.post("/admin/v1/breakers/users/trip", json={"reason": "x"})
    events = await read_events(rig, f"topics=breakers,pulse&since={rev}", 3)
    assert [e["event"] for e in events[:2]] == ["delta", "tick"]
    assert {row["name"]: row["state"] for row in events[0]["data"]["rows"]}["users"] == "forced_open"
    assert events[0]["id"] > rev
    assert events[1]["data"]["pulse"]["in_flight"] == 0
    assert rig.clock.unix() - 10 < events[1]["data"]["as_of"] <= rig.clock.unix()
    assert events[1]["data"]["nodes"]["seen"] == 1


async def test_what_one_beat_tells_is_one_write_to_each_console(rig: AdminRig) -> None:
    watcher = rig.stream.watch(frozenset({"breakers", "pulse"}), None)
    frames = rig.stream.frames(watcher)
    await anext(frames)
    await rig.beat()
    async with rig.client("operator") as client:
        await client.post("/admin/v1/breakers/users/trip", json={"reason": "x"})
    await rig.beat()
    told = await anext(frames)
    assert told.count(b"event: tick") == 2
    assert told.count(b"event: delta") == 1
    rig.stream.end()
    assert [frame async for frame in frames] == []


async def test_the_stream_resumes_by_last_event_id_and_says_gap_when_it_cannot(rig: AdminRig) -> None:
    async with rig.client("operator") as client:
        rev = (await client.get("/admin/v1/snapshot")).json()["rev"]
        await client.post("/admin/v1/breakers/users/trip", json={"reason": "x"})
        await rig.beat()
    again = await read_events(rig, "topics=breakers", 1, {"last-event-id": str(rev)})
    assert again[0]["event"] == "delta"
    old = await read_events(rig, "topics=breakers&since=5", 1)
    assert (old[0]["event"], old[0]["data"]["since"]) == ("gap", 5)


async def test_streams_are_bounded() -> None:
    rig = AdminRig(streams=0)
    async with rig.client() as client:
        refused = await client.get("/admin/v1/stream")
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "5"


async def test_a_slow_reader_gets_a_gap_and_costs_a_bounded_queue(rig: AdminRig) -> None:
    watcher = rig.stream.watch(frozenset({"pulse"}), None)
    for _ in range(600):
        await rig.beat()
    assert watcher.queue.qsize() <= 513
    first = watcher.queue.get_nowait()
    assert first is not None
    assert b"event: gap" in first.wire
    assert b'"lost":512' in first.wire


async def test_metrics_and_health_of_the_admin_listener(rig: AdminRig) -> None:
    rig.tally.closed(closed_exchange(unix=rig.clock.unix()))
    async with rig.client(None) as client:
        text = (await client.get("/metrics")).text
        assert 'gateway_requests_total{method="GET",route="users",status="200"} 1.0' in text
        assert 'circuit_breaker_state{name="users",state="closed"} 1.0' in text
        openmetrics = await client.get("/monitoring/metrics", headers={"accept": "application/openmetrics-text"})
        assert '# {trace_id="0af7651916cd43dd8448eb211c80319c"}' in openmetrics.text
        assert openmetrics.text.endswith("# EOF\n")
        names = (await client.get("/metrics/json")).json()["metrics"]
        assert names["gateway_requests_total"]["samples"][0]["value"] == 1
        performance = (await client.get("/metrics/performance")).json()["routes"]
        assert performance[0]["route"] == "users"
        assert 3 < performance[0]["p95_ms"] <= 4
        assert (await client.get("/metrics/health-score")).json()["score"] is None
        assert (await client.get("/health/services")).json()["items"][0]["name"] == "users"
        assert (await client.get("/health/detailed")).json()["status"] == "ok"


async def test_consumers_are_added_up_sorted_searched_and_paged(rig: AdminRig) -> None:
    def seen(name: str, admitted: int, refused: int) -> ConsumerView:
        return ConsumerView(name, None, None, 1.0, admitted, refused, 100.0)

    class Three(SingleNodeRegistry):
        alone = False

        async def nodes(self) -> list[NodeState]:
            at = rig.clock.unix()
            first = [seen("acme", 5, 1), seen("beta", 9, 0), seen("gamma", 0, 7)]
            return [
                NodeState(NodeReport("node-b", at, 0.0, consumers=first), 0.5),
                NodeState(NodeReport("node-c", at, 0.0, consumers=[seen("acme", 6, 2)]), 0.5),
                NodeState(NodeReport("late", at, 0.0, consumers=[seen("acme", 1000, 0)]), 30.0),
            ]

    rig = AdminRig(nodes=Three())
    await rig.beat()
    async with rig.client() as client:

        async def asked(query: str) -> tuple[list[tuple[str, int]], str | None, int]:
            body = (await client.get(f"/admin/v1/consumers?{query}")).json()
            assert body["nodes"]["silent"] == ["late"]
            return [(row["name"], row["admitted_5m"]) for row in body["items"]], body["next_cursor"], body["total"]

        assert await asked("") == ([("acme", 11), ("beta", 9), ("gamma", 0)], None, 3)
        assert await asked("sort=refusals&top=1") == ([("gamma", 0)], "1", 3)
        assert await asked("sort=refusals&top=1&cursor=1") == ([("acme", 11)], "2", 3)
        assert await asked("q=ET") == ([("beta", 9)], None, 1)
        assert (await client.get("/admin/v1/consumers?cursor=x")).status_code == 422


async def test_what_monitors_read_takes_a_token_where_others_can_reach_it(rig: AdminRig) -> None:
    closed = Authenticated(rig.operators, rig.clock.unix, lambda *facts: rig.witnessed.append(facts))
    handlers = monitoring_handlers(rig.monitoring, rig.queries, expose, closed)
    unix = rig.clock.unix
    app: Any = admin_application([], handlers, rig.operators, unix, lambda *facts: rig.witnessed.append(facts), "1")
    paths = ("/metrics", "/metrics/json", "/metrics/performance", "/metrics/health-score", "/health/detailed",
             "/health/services", "/monitoring/metrics", "/monitoring/health")  # fmt: skip
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://admin") as client:
        for path in paths:
            assert (await client.get(path)).status_code == 401, path
            good = await client.get(path, headers={"authorization": "Bearer viewer-token"})
            assert good.status_code == 200, path


async def test_a_web_page_cannot_reach_the_listener_under_a_name_of_its_own(rig: AdminRig) -> None:
    handlers = monitoring_handlers(rig.monitoring, rig.queries, expose)
    app: Any = admin_application(
        [], handlers, rig.operators, rig.clock.unix, lambda *_: None, "1", lambda: ("gw.corp",)
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:9000") as client:
        for path in ("/metrics", "/health/detailed", "/schema", "/docs", "/admin/v1/routes"):
            refused = await client.get(path, headers={"host": "evil.example:9000"})
            assert (refused.status_code, refused.json()["type"]) == (421, "urn:spork:problem:admin:unknown_host"), path
            assert "admin.hosts" in refused.json()["detail"]
        for host in ("127.0.0.1:9000", "localhost", "gw.corp", "gateway"):
            assert (await client.get("/metrics", headers={"host": host})).status_code == 200, host


async def test_the_description_is_openapi_31_and_the_docs_need_no_internet(rig: AdminRig) -> None:
    async with rig.client(None) as client:
        schema = (await client.get("/schema")).json()
        assert schema["openapi"].startswith("3.1")
        assert "/admin/v1/breakers/{name}/trip" in schema["paths"]
        for path in ("/docs", "/redoc", "/api/v1/docs"):
            page = await client.get(path)
            assert page.status_code == 200
            assert "http://" not in page.text
            assert "https://" not in page.text


async def test_every_call_behind_a_token_names_its_role(rig: AdminRig) -> None:
    async with rig.client(None) as client:
        paths = (await client.get("/schema")).json()["paths"]
    calls = {
        (name, path): operation
        for path, item in paths.items()
        if path.startswith("/admin/v1")
        for name, operation in item.items()
        if isinstance(operation, dict)
    }
    assert calls
    for operation in calls.values():
        assert f"the role {operation['x-role']}" in operation["description"]
    assert calls["get", "/admin/v1/routes"]["x-role"] == "viewer"
    assert calls["post", "/admin/v1/breakers/{name}/trip"]["x-role"] == "operator"
    assert calls["post", "/admin/v1/keys"]["x-role"] == "admin"


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"reason": "x", "a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"])
async def test_a_body_nested_without_end_is_refused(rig: AdminRig, body: bytes) -> None:
    async with rig.client("admin") as client:
        for path in ("/admin/v1/breakers/users/trip", "/admin/v1/keys"):
            answer = await client.post(path, content=body, headers={"content-type": "application/json"})
            assert answer.status_code in (400, 422)
            assert answer.json()["type"].startswith("urn:spork:problem:admin:")
