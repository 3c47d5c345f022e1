"""What operators drained stays drained: on every replica, over a store that comes back empty, over a restart."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

from tests.servers import GatewayProcess, gateway_process, redis_process, wait_until
from tests.system.test_admin import admin, config, echo_service


def target_state(gateway: GatewayProcess) -> str:
    with admin(gateway) as client:
        return str(client.get("/admin/v1/targets").json()["items"][0]["config"])


def drain_events(gateway: GatewayProcess) -> list[str]:
    """Kinds of the fleet's events of drains, oldest first."""
    with admin(gateway) as client:
        items = client.get("/admin/v1/events").json()["items"]
    return [e["kind"] for e in reversed(items) if e["kind"].startswith(("target.drain", "target.undrain"))]


def drained(gateway: GatewayProcess) -> bool:
    return target_state(gateway) in ("drained", "draining")


def test_a_store_that_comes_back_empty_undrains_nothing_and_each_replica_says_it_once(tmp_path: Path) -> None:
    with ExitStack() as stack:
        echo, redis = stack.enter_context(echo_service()), stack.enter_context(redis_process())
        text = config(echo, more=f"shared: {redis.url}\n")
        both = [stack.enter_context(gateway_process(text, tmp_path / name)) for name in ("one", "two")]
        name = f"127.0.0.1:{echo}"
        with admin(both[0]) as client:
            assert client.post(f"/admin/v1/targets/echo/{name}/drain", json={"reason": "upgrade"}).is_success
        for gateway in both:
            wait_until(lambda gateway=gateway: drained(gateway), 10, "the drain everywhere")
        redis.kill()
        redis.start()
        until = time.monotonic() + 4.0
        while time.monotonic() < until:
            assert all(drained(gateway) for gateway in both)
            time.sleep(0.2)  # between two looks while the fleet writes what it knows
        assert drain_events(both[0]) == ["target.draining"] * 2, "each replica says it once"
        late = stack.enter_context(gateway_process(text, tmp_path / "late"))
        assert drained(late), "who comes after the loss learns of it"
        with admin(both[1]) as client:
            assert client.post(f"/admin/v1/targets/echo/{name}/undrain", json={"reason": "done"}).is_success
        for gateway in (*both, late):
            wait_until(lambda gateway=gateway: not drained(gateway), 10, "the end of the drain everywhere")
        wait_until(lambda: drain_events(both[0])[3:] == ["target.undrained"] * 3, 10, "one event of each replica")


def test_a_drain_outlasts_a_restart_of_a_gateway_that_shares_nothing(tmp_path: Path) -> None:
    with echo_service() as echo:
        text, name = config(echo), f"127.0.0.1:{echo}"
        with gateway_process(text, tmp_path) as gateway:
            with admin(gateway) as client:
                answer = client.post(f"/admin/v1/targets/echo/{name}/drain", json={"reason": "upgrade"})
                assert answer.is_success, answer.text
        with gateway_process(text, tmp_path) as gateway:
            assert drained(gateway)
            with admin(gateway) as client:
                client.post(f"/admin/v1/targets/echo/{name}/undrain", json={"reason": "done"})
        with gateway_process(text, tmp_path) as gateway:
            assert not drained(gateway)
