"""The response cache of real gateway processes: hits, purges in the API, the command and across a fleet, Redis that dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from tests.servers import GatewayProcess, gateway_process, redis_process
from tests.system.test_commands import spork
from tests.targets import Target

ROUTES = """edge: {drain_delay: 0s, grace: 1s}
upstreams:
  shop: {targets: [%s]}
routes:
  - {name: shop, match: /shop/*, upstream: shop, cache: {ttl: 1m}}
"""


@contextlib.asynccontextmanager
async def client(connections: int = 10) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    async with httpx.AsyncClient(timeout=30, trust_env=False, limits=limits) as made:
        yield made


def admin(gateway: GatewayProcess) -> dict[str, str]:
    return {"authorization": f"Bearer {gateway.admin_token}"}


async def test_a_hit_and_a_purge_by_url(tmp_path: Path) -> None:
    async with Target(lambda path: (200, 0.0)).up() as target, client() as caller:
        with gateway_process(ROUTES % target.url, tmp_path) as gateway:
            url = f"{gateway.url}/shop/1?page=2"
            assert (await caller.get(url)).headers["cache-status"].startswith("spork; fwd=uri-miss; stored")
            hit = await caller.get(url)
            assert hit.headers["cache-status"].startswith("spork; hit")
            assert target.requests == 1
            entries = await caller.get(
                f"{gateway.admin_url}/admin/v1/cache/entry", params={"url": url}, headers=admin(gateway)
            )
            assert [(row["route"], row["state"]) for row in entries.json()["items"]] == [("shop", "fresh")]
            done = await caller.post(
                f"{gateway.admin_url}/admin/v1/cache/purge",
                json={"urls": [url], "reason": "INC-1"},
                headers=admin(gateway),
            )
            assert done.status_code == 200, done.text
            assert done.json()["after"] == "purged"
            assert "fwd=uri-miss" in (await caller.get(url)).headers["cache-status"]
            view = (await caller.get(f"{gateway.admin_url}/admin/v1/cache", headers=admin(gateway))).json()
            row = view["item"]["routes"][0] if "item" in view else view["routes"][0]
            assert row["requests"] == {"miss": 2, "hit": 1}


async def test_the_command_purges_a_route_and_shows_what_is_stored(tmp_path: Path) -> None:
    async with Target(lambda path: (200, 0.0)).up() as target, client() as caller:
        with gateway_process(ROUTES % target.url, tmp_path) as gateway:
            url = f"{gateway.url}/shop/1"
            await caller.get(url)
            at = ["--admin-url", gateway.admin_url, "--token", gateway.admin_token]
            shown = await asyncio.to_thread(spork, "cache", "show", url, *at)
            assert shown.stdout.startswith("shop: 200, fresh, age 0 s"), shown.stdout + shown.stderr
            purged = await asyncio.to_thread(spork, "cache", "purge", "--route", "shop", *at)
            assert (purged.returncode, "1 entries here -> purged" in purged.stdout) == (0, True), purged.stderr
            nothing = await asyncio.to_thread(spork, "cache", "show", url, *at)
            assert (nothing.returncode, nothing.stdout.strip()) == (1, "nothing is stored of it")
            wrong = await asyncio.to_thread(spork, "cache", "purge", "--url", "not a url", *at)
            assert wrong.returncode == 1
            assert "Traceback" not in wrong.stderr


async def test_two_processes_ask_once_for_a_cold_key_purge_together_and_outlive_redis(tmp_path: Path) -> None:
    with redis_process() as store:
        async with Target(lambda path: (200, 0.5 if path == "/shop/1" else 0.0)).up() as target, client(200) as caller:
            # One request is promised while Redis answers in time; on a machine with other work it is given two seconds for that.
            config = ROUTES % target.url + f"shared: {store.url}?timeout=2\n"
            with gateway_process(config, tmp_path / "a") as one, gateway_process(config, tmp_path / "b") as two:
                shop = {"host": "shop.example"}

                async def ask(number: int, path: str = "/shop/1") -> httpx.Response:
                    return await caller.get(f"{(one, two)[number % 2].url}{path}", headers=shop)

                answers = await asyncio.gather(*(ask(number) for number in range(200)))
                assert {answer.status_code for answer in answers} == {200}
                assert target.requests == 1
                done = await caller.post(
                    f"{one.admin_url}/admin/v1/cache/purge", json={"routes": ["shop"]}, headers=admin(one)
                )
                assert done.json()["after"] == "purged", "every node has confirmed it"
                assert "fwd=uri-miss" in (await ask(1)).headers["cache-status"]
                store.kill()
                answers = [await ask(number, f"/shop/{number % 7}") for number in range(60)]
                assert {answer.status_code for answer in answers} == {200}


async def test_hits_cost_nothing_where_they_are_not_counted_and_the_log_says_what_the_cache_did(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with Target(lambda path: (200, 0.0)).up() as target, client() as caller:
        config = f"""access_log: {log}
edge: {{drain_delay: 0s, grace: 1s}}
upstreams: {{shop: {{targets: [{target.url}]}}}}
routes:
  - {{name: free, match: /free/*, upstream: shop, cache: {{ttl: 1m, count_hits: false}}, limits: [{{quota: 2, per: 1h}}]}}
  - {{name: counted, match: /counted/*, upstream: shop, cache: {{ttl: 1m}}, limits: [{{quota: 2, per: 1h}}]}}
"""
        with gateway_process(config, tmp_path / "state") as gateway:
            free = [await caller.get(f"{gateway.url}/free/1") for _ in range(6)]
            assert [answer.status_code for answer in free] == [200] * 6
            counted = [(await caller.get(f"{gateway.url}/counted/1")).status_code for _ in range(3)]
            assert counted == [200, 200, 429]
            explained = await caller.post(
                f"{gateway.admin_url}/admin/v1/explain",
                json={"method": "GET", "url": f"{gateway.url}/free/1", "client": "127.0.0.1"},
                headers=admin(gateway),
            )
            notes = " ".join(explained.json().get("notes") or explained.json()["item"]["notes"])
            assert "cache key: http://" in notes
            assert "200 stored, varies on nothing" in notes
            assert "fresh: it is given" in notes
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        said = [(line["route"], line.get("cache")) for line in lines if line.get("route") in ("free", "counted")]
    assert said[:6] == [("free", "miss"), *[("free", "hit")] * 5]
    assert said[6:] == [("counted", "miss"), ("counted", "hit"), ("counted", None)]


WARNED = """upstreams: {u: {targets: ["http://127.0.0.1:1"]}}
issuers: {i: {issuer: "https://i.example", audiences: [a], jwks_url: "https://i.example/keys"}}
routes:
  - {name: all, match: /all/*, upstream: u, auth: {any_of: [jwt], roles: [clerk]}, cache: {ttl: 2d, max_ttl: 1d}}
  - {name: post, match: {path: /post, methods: [POST]}, upstream: u, cache: true}
  - {name: nobody, match: /nobody, upstream: u, cache: {by: consumer, statuses: {400: 10s}}}
"""


def test_what_would_surprise_in_a_cache_is_warned_of(tmp_path: Path) -> None:
    config = tmp_path / "spork.yaml"
    config.write_text(WARNED)
    told = spork("check", "-c", str(config))
    for sentence in (
        "reaches every caller with these rights", "is longer than max_ttl", "the route takes no GET", "consumer means nobody here",
        "400 refuses one client's odd request",
    ):  # fmt: skip
        assert sentence in told.stdout + told.stderr, (sentence, told.stdout + told.stderr)
