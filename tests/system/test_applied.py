"""What an operator applied stays in force: over a restart, and over a shared store that comes back empty."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path

import httpx

from tests.servers import GatewayProcess, gateway_process, redis_process, wait_until
from tests.system.test_admin import admin, config, echo_service, whole

OLD = time.time() - 3600


def apply(gateway: GatewayProcess, text: str) -> str:
    with admin(gateway) as client:
        answer = client.put("/admin/v1/config", content=text, headers={"content-type": "application/yaml"})
        assert answer.is_success, answer.text
        return str(client.get("/admin/v1/config").json()["revision"])


def status(gateway: GatewayProcess) -> int:
    return httpx.get(f"{gateway.url}/fresh/x").status_code


def test_what_was_applied_outlasts_a_restart_of_a_single_node_and_a_newer_file_replaces_it(tmp_path: Path) -> None:
    with echo_service() as echo:
        with gateway_process(config(echo), tmp_path, written_at=OLD) as gateway:
            revision = apply(gateway, whole(gateway, echo, "echo fresh"))
            assert status(gateway) == 200
            port, admin_port = gateway.port, gateway.admin_port
        with gateway_process(config(echo), tmp_path, port=port, admin_port=admin_port, written_at=OLD) as gateway:
            assert status(gateway) == 200, "from its first answer on"
            with admin(gateway) as client:
                assert client.get("/admin/v1/config").json()["revision"] == revision
            assert "the file is older" in gateway.log()
        with gateway_process(config(echo), tmp_path) as gateway:
            assert status(gateway) == 404, "a file that is newer than the act is a deployment"


def test_all_workers_of_a_gateway_serve_what_was_applied(tmp_path: Path) -> None:
    alone = lambda text: text.replace(", breaker: {}", "")  # noqa: E731 - circuits of several workers need a store
    with (
        echo_service() as echo,
        gateway_process(alone(config(echo)), tmp_path, "--workers", "2", written_at=OLD) as gateway,
    ):
        apply(gateway, alone(whole(gateway, echo, "echo fresh")))
        wait_until(lambda: all(status(gateway) == 200 for _ in range(30)), 15, "every worker")


def test_a_fleet_agrees_by_revision_after_its_store_came_back_empty(tmp_path: Path) -> None:
    with ExitStack() as stack:
        echo, redis = stack.enter_context(echo_service()), stack.enter_context(redis_process())
        text = config(echo, more=f"shared: {redis.url}\n")
        one = stack.enter_context(gateway_process(text, tmp_path / "one", written_at=OLD))
        with gateway_process(text, tmp_path / "two", written_at=OLD) as two:
            apply(one, whole(one, echo, "echo fresh", f"shared: {redis.url}\n"))
            wait_until(lambda: status(two) == 200, 10, "the other replica")
        redis.kill()
        with gateway_process(text, tmp_path / "two", written_at=OLD) as two:
            assert status(two) == 200, "restarted without the store"
            redis.start()
            late = stack.enter_context(gateway_process(text, tmp_path / "late", written_at=OLD))
            wait_until(lambda: [status(each) for each in (one, two, late)] == [200] * 3, 15, "one revision")


def race(gateways: list[GatewayProcess], texts: list[str]) -> list[int]:
    """The statuses of one apply per text, all with the revision that was shown before, all at once."""
    shown = [httpx.get(f"{g.admin_url}/admin/v1/config/history", headers=auth(g)).json()["rev"] for g in gateways]

    async def run() -> list[int]:
        async with httpx.AsyncClient(timeout=30) as client:
            asked = (
                client.put(
                    f"{gateway.admin_url}/admin/v1/config",
                    content=text,
                    headers=auth(gateway) | {"if-match": f'"{max(shown)}"'},
                )
                for gateway, text in zip(gateways, texts, strict=True)
            )
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    return sorted(asyncio.run(run()))


def auth(gateway: GatewayProcess) -> dict[str, str]:
    return {"authorization": f"Bearer {gateway.admin_token}"}


def test_of_several_applies_with_one_if_match_one_is_taken_by_the_fleet(tmp_path: Path) -> None:
    with ExitStack() as stack:
        echo, redis = stack.enter_context(echo_service()), stack.enter_context(redis_process())
        more = f"shared: {redis.url}\n"
        text = config(echo, more=more)
        pair = [stack.enter_context(gateway_process(text, tmp_path / name, written_at=OLD)) for name in ("one", "two")]
        for round in range(2):
            gateways = pair * 3
            texts = [whole(gateway, echo, f"echo r{round}x{number}", more) for number, gateway in enumerate(gateways)]
            assert race(gateways, texts) == [200, *[412] * 5]


def test_of_several_applies_with_one_if_match_one_is_taken_by_the_workers_of_a_gateway(tmp_path: Path) -> None:
    alone = lambda text: text.replace(", breaker: {}", "")  # noqa: E731 - circuits of several workers need a store
    with (
        echo_service() as echo,
        gateway_process(alone(config(echo)), tmp_path, "--workers", "2", written_at=OLD) as gateway,
    ):
        for round in range(2):
            texts = [alone(whole(gateway, echo, f"echo r{round}x{number}")) for number in range(6)]
            assert race([gateway] * 6, texts) == [200, *[412] * 5]
