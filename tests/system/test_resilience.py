"""Resilience as callers see it: real gateway processes, real targets that fail, hang, die and come."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers import GatewayProcess, gateway_process, redis_process
from tests.targets import Target, killable

#: Nobody is in front of these gateways who would have to hear that they are going.
QUICK_END = "edge: {drain_delay: 0s, grace: 1s}\n"


def upstream(targets: str, **policies: str) -> str:
    rows = "".join(f", {name}: {value}" for name, value in policies.items())
    return QUICK_END + (
        f"upstreams:\n  users: {{targets: [{targets}]{rows}}}\n"
        "routes:\n  - {name: users, match: {path: /users/*}, upstream: users}\n"
    )


async def until(check: Callable[[], Any], seconds: float = 10.0, what: str = "it") -> Any:
    """Poll an async or plain check until it answers something true."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        found = await found if asyncio.iscoroutine(found) else found
        if found:
            return found
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds} s"
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def client() -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    async with httpx.AsyncClient(timeout=10, trust_env=False, limits=limits) as made:
        yield made


def admin(gateway: GatewayProcess) -> dict[str, str]:
    return {"authorization": f"Bearer {gateway.admin_token}"}


async def breaker(caller: httpx.AsyncClient, gateway: GatewayProcess) -> dict[str, Any]:
    answer = await caller.get(f"{gateway.admin_url}/admin/v1/breakers", headers=admin(gateway))
    row: dict[str, Any] = answer.json()["items"][0]
    return row


async def test_a_failing_upstream_is_cut_off_and_recovers_by_itself(tmp_path: Path) -> None:
    failing = True
    policy = "{window: 10s, min_requests: 10, failure_ratio: 0.5, open_for: 1s, ramp: 3s}"
    async with Target(lambda path: (503 if failing else 200, 0.0)).up() as target, client() as caller:
        with gateway_process(upstream(target.url, breaker=policy), tmp_path) as gateway:
            url = f"{gateway.url}/users/1"
            statuses = [(await caller.get(url)).status_code for _ in range(10)]
            assert statuses == [503] * 10
            assert target.requests == 10, "open after the minimum, not before"
            for _ in range(50):
                refused = await caller.get(url)
                assert refused.status_code == 503
                assert refused.json()["type"].endswith("breaker_open")
                assert 1 <= int(refused.headers["retry-after"]) <= 2
            assert target.requests == 10, "refused without touching the target"
            took = await until(lambda: refusals(gateway, 50), 5, "the access log")
            assert sorted(took)[25] < 5.0, "milliseconds in the gateway"
            view = await breaker(caller, gateway)
            assert view["state"] == "open"
            assert view["transitions"][-1]["cause"].startswith("10 of 10 calls failed")
            failing = False
            await until(lambda: _answers(caller, url, 200), 5, "the first good answer")
            ramps = []

            async def closed_and_ramped() -> bool:
                await caller.get(url)
                view = await breaker(caller, gateway)
                if view["ramp"] is not None:
                    ramps.append(view["ramp"])
                return view["state"] == "closed" and view["ramp"] is None

            await until(closed_and_ramped, 10, "the end of the ramp")
            assert len(ramps) > 3
            assert ramps == sorted(ramps), "the admitted share grows"
            assert [(await caller.get(url)).status_code for _ in range(30)] == [200] * 30


def refusals(gateway: GatewayProcess, count: int) -> list[float]:
    """Milliseconds of each refusal by the circuit, from the access log, once there are `count`."""
    rows = [json.loads(line) for line in gateway.log().splitlines() if '"breaker_open"' in line]
    return [row["ms"] for row in rows] if len(rows) >= count else []


async def _answers(caller: httpx.AsyncClient, url: str, status: int) -> bool:
    return (await caller.get(url)).status_code == status


@pytest.mark.alone
async def test_killing_one_of_three_under_load(tmp_path: Path) -> None:
    """Clients see at most what was in flight on it; probes or its streak take it out; retries stay in their budget."""
    with killable(3) as targets:
        urls = ", ".join(f"http://127.0.0.1:{port}" for port, _ in targets)
        config = upstream(
            urls,
            balance="least_request",
            probe="{path: /health, every: 500ms, timeout: 300ms, rise: 1, fall: 2}",
            outliers="{consecutive: 5, eject_for: 30s}",
            retries="{attempts: 2, budget: 20%}",
            timeouts="{connect: 300ms, first_byte: 2s}",
        )
        with gateway_process(config, tmp_path) as gateway:
            async with client() as caller:
                statuses: Counter[int] = Counter()
                after_kill: list[tuple[float, int, str]] = []
                stop = time.monotonic() + 4.0
                killed_at = 0.0

                async def load() -> None:
                    while time.monotonic() < stop:
                        answer = await caller.get(f"{gateway.url}/users/1")
                        statuses[answer.status_code] += 1
                        if killed_at:
                            after_kill.append((time.monotonic() - killed_at, answer.status_code, answer.text))

                workers = [asyncio.ensure_future(load()) for _ in range(16)]
                await asyncio.sleep(1.0)  # the load the kill falls into, not a wait for anything
                dead_port, process = targets[0]
                process.kill()
                killed_at = time.monotonic()
                await asyncio.gather(*workers)
                errors = sum(count for status, count in statuses.items() if status >= 500)
                assert statuses[200] > 50
                assert errors <= 16, f"{statuses}: at most what was in flight"
                late = [row for row in after_kill if row[0] > 1.5]
                assert late
                assert all(status == 200 for _, status, _ in late), "ejected within two probe periods or the streak"
                assert all(text != str(dead_port) for _, _, text in late)
                views = (await caller.get(f"{gateway.admin_url}/admin/v1/targets", headers=admin(gateway))).json()
                dead = next(row for row in views["items"] if row["name"].endswith(f":{dead_port}"))
                assert dead["probe"] == "down" or dead["traffic"] == "ejected"


async def test_retries_stay_within_their_budget(tmp_path: Path) -> None:
    """Every second request fails for ten seconds, retries included: the upstream sees at most 1.2 x + 10/s."""
    numbers = iter(range(10**9))
    retries = "{attempts: 3, budget: 20%, backoff_base: 1ms}"
    async with Target(lambda path: (503 if next(numbers) % 2 else 200, 0.0)).up() as target, client() as caller:
        with gateway_process(upstream(target.url, retries=retries), tmp_path) as gateway:
            sent = 0
            seconds = 10.0
            stop = time.monotonic() + seconds

            async def load() -> None:
                nonlocal sent
                while time.monotonic() < stop:
                    sent += 1
                    await caller.get(f"{gateway.url}/users/1")

            await asyncio.gather(*(load() for _ in range(8)))
            assert sent > 100
            assert sent < target.requests <= 1.2 * sent + 10 * seconds


async def test_a_static_fallback_answers_instead(tmp_path: Path) -> None:
    config = upstream("http://127.0.0.1:1", fallback="{status: 503, body: {detail: users are resting}}")
    with gateway_process(config, tmp_path) as gateway:
        async with client() as caller:
            answer = await caller.get(f"{gateway.url}/users/1")
            assert (answer.status_code, answer.json()) == (503, {"detail": "users are resting"})


async def test_the_last_good_answer_stands_in_while_the_target_is_gone(tmp_path: Path) -> None:
    with killable(1) as [(port, process)]:
        config = upstream(f"http://127.0.0.1:{port}", fallback="{stale: 10m}")
        with gateway_process(config, tmp_path) as gateway:
            async with client() as caller:
                url = f"{gateway.url}/users/1"
                fresh = await caller.get(url)
                assert (fresh.status_code, fresh.text) == (200, f"{port}")
                assert "age" not in fresh.headers
                assert "cache-status" not in fresh.headers
                process.kill()
                process.wait()
                for _ in range(3):
                    stale = await caller.get(url)
                    assert (stale.status_code, stale.text) == (200, f"{port}")
                    age = int(stale.headers["age"])
                    assert stale.headers["cache-status"] == f"spork; hit; ttl=-{age}; detail=stale-if-error"
                    assert stale.headers["x-request-id"] != fresh.headers["x-request-id"]
                for refused in (
                    await caller.get(url, headers={"authorization": "Bearer mine"}),
                    await caller.get(f"{gateway.url}/users/2"),
                    await caller.post(url),
                ):
                    assert refused.status_code in (502, 503)
                    assert "cache-status" not in refused.headers


# -------------------------------------------------------------------------------------------------------- a small fleet


@contextlib.contextmanager
def two_gateways(config: str, tmp_path: Path) -> Any:
    with gateway_process(config, tmp_path / "one") as one, gateway_process(config, tmp_path / "two") as two:
        yield one, two


async def test_a_fleet_opens_together_and_sends_exactly_one_probe(tmp_path: Path) -> None:
    mode = {"status": 503, "seconds": 0.0}
    policy = "{window: 10s, min_requests: 10, open_for: 1s, probe_lease: 3s, ramp: 0s}"
    async with Target(lambda path: (int(mode["status"]), mode["seconds"])).up() as target, client() as caller:
        with redis_process() as store:
            config = f"shared: {store.url}\n" + upstream(target.url, breaker=policy, timeouts="{first_byte: 20s}")
            with two_gateways(config, tmp_path) as gateways:
                urls = [f"{gateway.url}/users/1" for gateway in gateways]
                for _ in range(10):
                    await caller.get(urls[0])
                at_opening = target.requests
                await until(lambda: _refused(caller, urls[1]), 3, "the other gateway refuses too")
                mode["seconds"] = 8.0  # the probe hangs
                before = target.requests
                assert before - at_opening <= 3
                hanging: list[asyncio.Future[Any]] = []

                async def ask_all() -> int:
                    hanging.extend(asyncio.ensure_future(caller.get(url)) for url in urls)
                    return target.requests - before

                await until(ask_all, 5, "a probe")
                stop = time.monotonic() + 1.0
                while time.monotonic() < stop:
                    await ask_all()
                    await asyncio.sleep(0.01)
                assert target.requests - before == 1, "one probe for the whole fleet"
                store.kill()
                mode["status"], mode["seconds"] = 200, 0.0
                store.start()
                for url in urls:
                    await until(lambda url=url: _answers(caller, url, 200), 15, "recovery after hang and restart")
                for future in hanging:
                    future.cancel()
                await asyncio.gather(*hanging, return_exceptions=True)


async def _refused(caller: httpx.AsyncClient, url: str) -> bool:
    answer = await caller.get(url)
    return answer.status_code == 503 and b"breaker_open" in answer.content


REGISTRATION = f"""{QUICK_END}
registration: {{mode: token, allow: [127.0.0.0/8]}}
upstreams:
  later: {{}}
routes:
  - {{name: later, match: {{path: /later}}, upstream: later}}
  - {{name: services, match: {{path: "/services/{{service}}/*"}}, upstream: "{{service}}"}}
"""


@pytest.mark.alone
async def test_a_service_registers_and_every_replica_routes_to_it_within_a_second(tmp_path: Path) -> None:
    async with Target().up() as target, client() as caller:
        with redis_process() as store, two_gateways(f"shared: {store.url}\n{REGISTRATION}", tmp_path) as gateways:
            one, two = gateways
            wanted = {"service": "orders", "url": target.url, "ttl": 1.5}
            assert (await caller.get(f"{two.url}/services/orders/1")).status_code == 404
            began = time.monotonic()
            answer = await caller.post(f"{one.admin_url}/discovery/register", json=wanted, headers=admin(one))
            assert answer.status_code == 201
            assert (await caller.get(f"{one.url}/services/orders/1")).text == str(target.port)
            await until(lambda: _answers(caller, f"{two.url}/services/orders/1", 200), 2, "the other replica")
            assert time.monotonic() - began < 1.0
            renewal = f"{two.admin_url}{answer.json()['heartbeat']}"
            stop = time.monotonic() + 2.5
            while time.monotonic() < stop:
                assert (await caller.put(renewal, headers=admin(two))).status_code == 200
                assert (await caller.get(f"{two.url}/services/orders/1")).status_code == 200
                await asyncio.sleep(0.3)
            silent_since = time.monotonic()
            for gateway in gateways:
                gone = f"{gateway.url}/services/orders/1"
                await until(lambda gone=gone: _answers(caller, gone, 404), 5, "the end of the lease")
            assert 0.9 < time.monotonic() - silent_since < 3.5


async def test_what_may_not_be_registered_is_refused_with_a_clear_problem(tmp_path: Path) -> None:
    with gateway_process(REGISTRATION, tmp_path) as gateway:
        async with client() as caller:
            register = f"{gateway.admin_url}/discovery/register"
            for url, reason in [
                ("http://169.254.169.254/latest/meta-data", "metadata"),
                ("http://[fe80::1]/", "link_local"),
                ("http://10.1.2.3:80", "private"),
                ("file:///etc/passwd", "scheme"),
            ]:
                answer = await caller.post(register, json={"service": "evil", "url": url}, headers=admin(gateway))
                assert answer.status_code == 422
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.json()["errors"][0]["reason"] == reason
            assert (await caller.post(register, json={"service": "x", "url": "http://127.0.0.1:1"})).status_code == 401
            assert (await caller.get(f"{gateway.url}/services/evil/1")).status_code == 404
            assert (await caller.get(f"{gateway.url}/later")).status_code == 503, "declared, nobody has registered yet"


async def test_a_registration_of_wrong_types_is_refused_with_the_place(tmp_path: Path) -> None:
    good = {"service": "later", "url": "http://127.0.0.1:1"}
    with gateway_process(REGISTRATION, tmp_path) as gateway:
        async with client() as caller:
            register = f"{gateway.admin_url}/discovery/register"
            for body, place in [
                (good | {"ttl": "5"}, "ttl"),
                (good | {"weight": "2"}, "weight"),
                (good | {"weight": 1.5}, "weight"),
                (good | {"metadata": {"a": 1}}, "metadata[...]"),
                (good | {"metadata": []}, "metadata"),
                (good | {"service": 7}, "service"),
                (good | {"service": None}, "service"),
                (good | {"more": 1}, ""),
                ([], ""),
                (None, ""),
                (5, ""),
            ]:
                answer = await caller.post(register, content=json.dumps(body), headers=admin(gateway))
                assert answer.status_code == 422, (body, answer.text)
                assert answer.json()["errors"][0]["path"] == place, (body, answer.text)
            for text in ("{", "", "\xff", '{"service": "later", "url": "http://127.0.0.1:1", "ttl": 1e999}'):
                answer = await caller.post(register, content=text.encode("latin-1"), headers=admin(gateway))
                assert answer.status_code in (400, 422), (text, answer.text)
            drain = f"{gateway.admin_url}/admin/v1/targets/later/x/drain"
            answer = await caller.post(drain, json={"ttl": "600"}, headers=admin(gateway))
            assert answer.json()["errors"][0]["path"] == "ttl"
            assert (await caller.get(f"{gateway.url}/later")).status_code == 503


async def test_what_happens_is_told_to_the_message_hub(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                told.append(json.loads(await reader.readexactly(length)))
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    hub = await asyncio.start_server(receive, "127.0.0.1", 0)
    port = hub.sockets[0].getsockname()[1]
    async with Target(lambda path: (503, 0.0)).up() as target, client() as caller:
        config = upstream(target.url, breaker="{min_requests: 5, open_for: 30s}")
        with gateway_process(config, tmp_path, MESSAGE_HUB_URL=f"http://127.0.0.1:{port}/hook") as gateway:
            for _ in range(5):
                await caller.get(f"{gateway.url}/users/1")
            await until(lambda: any(e["type"] == "spork.breaker.opened" for e in told), 5, "the event")
            event = next(e for e in told if e["type"] == "spork.breaker.opened")
            assert (event["specversion"], event["subject"]) == ("1.0", "users")
            assert "5 of 5 calls failed" in event["data"]["detail"]

            async def counted() -> bool:
                metrics = (await caller.get(f"{gateway.admin_url}/metrics", headers=admin(gateway))).text
                rows = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line.startswith("gateway_events_"))
                return float(rows["gateway_events_delivered_total"]) >= 1 and rows["gateway_events_lost_total"] == "0.0"

            await until(counted, 5, "the metrics")
    hub.close()


@pytest.mark.parametrize("by", ["weight", "header"])
async def test_a_canary_takes_its_share(tmp_path: Path, by: str) -> None:
    rule = "{upstream: canary, weight: 30%}" if by == "weight" else "{upstream: canary, header: {x-canary: '1'}}"
    async with Target().up() as stable, Target().up() as canary, client() as caller:
        config = QUICK_END + (
            f"upstreams:\n  users: {{targets: [{stable.url}]}}\n  canary: {{targets: [{canary.url}]}}\n"
            f"routes:\n  - {{name: users, match: {{path: /users/*}}, upstream: users, splits: [{rule}]}}\n"
        )
        with gateway_process(config, tmp_path) as gateway:
            for number in range(200):
                headers = {"x-canary": "1"} if by == "header" and number < 20 else {}
                await caller.get(f"{gateway.url}/users/1", headers=headers)
            if by == "header":
                assert canary.requests == 20
            else:
                assert canary.requests == pytest.approx(60, abs=25)


async def test_health_of_the_system_and_history_of_a_service(tmp_path: Path) -> None:
    well = True
    async with Target(lambda path: (200 if well else 500, 0.0)).up() as target, client() as caller:
        config = upstream(target.url, probe="{path: /health, every: 200ms, timeout: 100ms, rise: 1, fall: 1}")
        with gateway_process(config, tmp_path) as gateway:
            health = f"{gateway.admin_url}/discovery/health"
            token = admin(gateway)

            async def status(word: str) -> bool:
                return (await caller.get(health, headers=token)).json()["status"] == word

            await until(lambda: status("healthy"), 5)
            well = False
            await until(lambda: status("down"), 5)
            one = (await caller.get(f"{health}/users", headers=token)).json()
            assert one["status"] == "down"
            assert 0 < one["availability"] < 1
            assert one["history"][-1]["response_ms"] > 0
            assert abs(one["history"][-1]["at"] - time.time()) < 120
            assert (await caller.get(f"{health}/nobody", headers=token)).status_code == 404
            listed = (await caller.get(f"{gateway.admin_url}/api/v1/services", headers=token)).json()
            assert listed["services"][0]["routes"] == [{"name": "users", "path": "/users/*", "methods": []}]
            assert (await caller.get(f"{gateway.url}/ready")).status_code in (200, 404), "readiness asks no upstream"


async def test_a_request_with_an_idempotency_key_is_done_once(tmp_path: Path) -> None:
    mode = {"seconds": 0.0}
    async with Target(lambda path: (201, mode["seconds"])).up() as target, client() as caller:
        with redis_process() as store:
            config = f"shared: {store.url}\n" + upstream(target.url, retries="{idempotency_key: true}")
            with two_gateways(config, tmp_path) as gateways:
                urls = [f"{gateway.url}/users/orders" for gateway in gateways]
                key = {"idempotency-key": "order-1"}
                first = await caller.post(urls[0], content=b"{}", headers=key)
                again = await caller.post(urls[1], content=b"{}", headers=key)
                assert (first.status_code, again.status_code, again.text) == (201, 201, first.text)
                assert again.headers["idempotency-replayed"] == "true"
                assert target.requests == 1, "once in the whole fleet"
                assert (await caller.post(urls[1], content=b"[]", headers=key)).status_code == 422
                mode["seconds"] = 1.0
                slow = {"idempotency-key": "order-2"}
                pending = asyncio.ensure_future(caller.post(urls[0], content=b"{}", headers=slow))
                await until(lambda: target.requests == 2, 5)
                busy = await caller.post(urls[1], content=b"{}", headers=slow)
                assert (busy.status_code, busy.headers["retry-after"]) == (409, "1")
                assert (await pending).status_code == 201


async def test_a_shadow_gets_copies_and_may_hang(tmp_path: Path) -> None:
    async with Target().up() as target, Target(lambda path: (500, 60.0)).up() as shadow, client() as caller:
        config = QUICK_END + (
            f"upstreams:\n  users: {{targets: [{target.url}]}}\n  shadow: {{targets: [{shadow.url}]}}\n"
            "routes:\n  - {name: users, match: {path: /users/*}, upstream: users, mirror: shadow}\n"
        )
        with gateway_process(config, tmp_path) as gateway:
            began = time.monotonic()
            for number in range(10):
                assert (await caller.post(f"{gateway.url}/users/{number}", content=b"x" * 1000)).status_code == 200
            assert time.monotonic() - began < 30.0, "nobody waits for the shadow"
            await until(lambda: sorted(shadow.paths) == [f"/users/{n}" for n in range(10)], 5, "the copies")
