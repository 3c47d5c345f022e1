"""Objectives over a fleet and over restarts: what every gateway counted adds up, and what is missing is named."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers import GatewayProcess, gateway_process, redis_process, wait_until
from tests.system.test_admin import admin, echo_service


def config(echo: int, more: str = "") -> str:
    """A route that answers and one that cannot, under one objective."""
    return (
        f"upstreams: {{echo: {{targets: ['http://127.0.0.1:{echo}']}}, gone: {{targets: ['http://127.0.0.1:9']}}}}\n"
        "routes:\n  - {name: echo, match: /echo/*, upstream: echo}\n  - {name: gone, match: /gone, upstream: gone}\n"
        f"objectives: {{all: {{availability: 90%, period: 7d}}}}\n{more}"
    )


def send(gateway: GatewayProcess, good: int, bad: int) -> None:
    for _ in range(good):
        assert httpx.get(f"{gateway.url}/echo/x").status_code == 200
    for _ in range(bad):
        assert httpx.get(f"{gateway.url}/gone").status_code == 502


def objective(gateway: GatewayProcess) -> tuple[dict[str, Any], dict[str, Any]]:
    """The view, and the nodes of its envelope."""
    with admin(gateway) as client:
        answer = client.get("/admin/v1/objectives").json()
    return answer["items"][0], answer["nodes"]


def counts(gateway: GatewayProcess) -> tuple[int, int]:
    view = objective(gateway)[0]
    return view["requests"], view["bad"]


def test_two_gateways_and_one_redis_answer_as_one_and_a_gateway_that_is_killed_is_named(tmp_path: Path) -> None:
    with ExitStack() as stack:
        echo, redis = stack.enter_context(echo_service()), stack.enter_context(redis_process())
        text = config(echo, f"shared: {redis.url}\n")
        one, two = (stack.enter_context(gateway_process(text, tmp_path / name)) for name in ("one", "two"))
        send(one, good=5, bad=1)
        send(two, good=2, bad=2)
        for gateway in (one, two):
            wait_until(lambda gateway=gateway: counts(gateway) == (10, 3), 15, "both gateways' counts")
            view, nodes = objective(gateway)
            assert view["kept_in"] == "redis"
            assert sorted(name.rpartition(":")[2] for name in view["nodes"]) == sorted(map(str, (one.port, two.port)))
            assert view["burn"]["5m"] == view["burn"]["6h"] == pytest.approx(3.0)
            assert 0 <= view["read_at"] - view["since"] < 60
            assert (nodes["seen"], nodes["silent"]) == (2, [])
        silent = next(name for name in view["nodes"] if name.endswith(f":{two.port}"))
        two.process.kill()
        two.process.wait()
        wait_until(lambda: objective(one)[1]["silent"] == [silent], 20, "the killed gateway among the silent")
        assert counts(one) == (10, 3), "its requests were served: they stay counted, and nothing is made up for it"
        one.terminate()
        with gateway_process(text, tmp_path / "one", port=one.port, admin_port=one.admin_port) as again:
            send(again, good=1, bad=0)
            wait_until(lambda: counts(again) == (11, 3), 15, "what was counted before it started")


def test_a_gateway_alone_goes_on_after_a_restart_from_its_records(tmp_path: Path) -> None:
    with echo_service() as echo:
        text = config(echo)
        with gateway_process(text, tmp_path) as gateway:
            send(gateway, good=3, bad=1)
            wait_until(lambda: counts(gateway) == (4, 1), 15, "its own counts")
            before, _ = objective(gateway)
            assert gateway.terminate() == 0
        with gateway_process(text, tmp_path, port=gateway.port, admin_port=gateway.admin_port) as again:
            send(again, good=1, bad=0)
            wait_until(lambda: counts(again) == (5, 1), 15, "the earlier run's counts and its own")
            after, _ = objective(again)
            assert (after["kept_in"], after["since"]) == ("records", before["since"])
            assert len(after["nodes"]) == 1
            metrics = httpx.get(f"{again.admin_url}/metrics").text
            assert 'gateway_slo_requests_total{objective="all",result="all"} 1.0' in metrics, "a counter of this run"
            assert 'gateway_slo_budget_remaining{objective="all"} -1.0' in metrics, "a budget of the period"
