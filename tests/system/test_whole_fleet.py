"""What operators read and do is about the whole fleet: two gateways, one of two workers, over one Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers import GatewayProcess, gateway_process, redis_process, wait_until
from tests.system.test_admin import echo_service

CONFIG = """
shared: {redis}
edge: {{drain_delay: 0s, grace: 1s}}
upstreams:
  echo: {{targets: ['http://127.0.0.1:{echo}']}}
routes:
  - {{name: echo, match: /echo/*, upstream: echo, limits: [{{name: visits, quota: 5, per: 1h, by: "header:x-team"}}]}}
  - {{name: ip, match: /ip/*, upstream: echo, limits: [{{name: addresses, quota: 10, per: 1d}}]}}
"""


class Fleet:
    """Two gateways, and every process of them by connections that are each their own."""

    def __init__(self, gateways: list[GatewayProcess]) -> None:
        self.gateways = gateways

    def read(self, gateway: GatewayProcess, path: str) -> Any:
        answer = httpx.get(f"{gateway.admin_url}/admin/v1/{path}", headers=auth(gateway), timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def act(self, gateway: GatewayProcess, path: str, body: dict[str, Any]) -> httpx.Response:
        return httpx.post(f"{gateway.admin_url}/admin/v1/{path}", headers=auth(gateway), json=body, timeout=10)

    def everywhere(self, path: str) -> list[Any]:
        """The answers of eight connections to each gateway, so that each worker is among those who answer."""
        return [self.read(gateway, path) for gateway in self.gateways for _ in range(8)]


def auth(gateway: GatewayProcess) -> dict[str, str]:
    return {"authorization": f"Bearer {gateway.admin_token}"}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with ExitStack() as stack:
        echo, redis = stack.enter_context(echo_service()), stack.enter_context(redis_process())
        text = CONFIG.format(redis=redis.url, echo=echo)
        one = stack.enter_context(gateway_process(text, tmp_path / "one", "--workers", "2", SPORK_NODE="one"))
        two = stack.enter_context(gateway_process(text, tmp_path / "two", SPORK_NODE="two"))
        made = Fleet([one, two])
        wait_until(lambda: all(len(row["items"]) == 3 for row in made.everywhere("nodes")), 20, "three processes")
        yield made


def ask(gateway: GatewayProcess, team: str, path: str = "/echo/x") -> int:
    return httpx.get(f"{gateway.url}{path}", headers={"x-team": team}, timeout=10).status_code


def test_windows_raises_and_logs_are_the_fleets_at_every_process(fleet: Fleet) -> None:
    one, two = fleet.gateways
    assert [ask(one, "blue") for _ in range(7)] == [200] * 5 + [429] * 2
    assert [ask(two, "blue", "/ip/x") for _ in range(3)] == [200] * 3

    def rows(answer: Any) -> list[tuple[Any, ...]]:
        keys = ("id", "limit", "subject", "used", "quota", "admitted_5m", "refused_5m")
        return sorted(tuple(row[key] for key in keys) for row in answer["items"])

    def agreed() -> list[tuple[Any, ...]] | None:
        found = [rows(answer) for answer in fleet.everywhere("quotas")]
        return found[0] if len(found[0]) == 2 and all(each == found[0] for each in found) else None

    wait_until(agreed, 15, "the same windows at every process")
    ip, team = sorted(agreed() or [], key=lambda row: row[1])
    assert ip[1:] == ("addresses", "127.0.0.1", 3, 10, 3, 0)
    assert (team[1], team[3:]) == ("visits", (5, 5, 5, 2))
    assert "blue" not in team[2], "the value of a header may be a secret"
    limits = [
        {row["name"]: (row["admitted"], row["refused"]) for row in each["items"]} for each in fleet.everywhere("limits")
    ]
    assert all(each == limits[0] for each in limits)
    assert sorted(limits[0].values()) == [(3, 0), (5, 2)]

    for turn, gateway in enumerate([two, *[one] * 6]):
        done = fleet.act(gateway, f"quotas/{team[0]}/raise", {"quota": 10 + turn, "ttl": 600, "reason": "INC-1"})
        assert done.status_code == 200, done.text
    wait_until(lambda: all(ask(each, "blue") == 200 for each in (one, two)), 15, "the raise holds")
    for gateway in (two, *[one] * 4):
        assert fleet.act(gateway, f"quotas/{team[0]}/reset", {}).status_code == 200
    wait_until(
        lambda: all(
            row["override"] for each in fleet.everywhere("quotas") for row in each["items"] if row["id"] == team[0]
        ),
        15,
        "said",
    )

    base = fleet.read(two, "logging")
    assert (
        fleet.act(one, "logging", {"level": "debug", "fields": ["status", "path"], "reason": "INC-1"}).status_code
        == 200
    )
    wait_until(
        lambda: all(
            row["level"] == "debug" and row["fields"] == ["status", "path"] for row in fleet.everywhere("logging")
        ),
        15,
        "every process logs so",
    )
    assert {row["changed_by"] for row in fleet.everywhere("logging")} == {"generated"}
    assert {row["node"].partition(":")[0] for row in fleet.everywhere("logging")} == {"one", "two"}
    refused = fleet.act(two, "logging", {"fields": ["nonsense"]})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["path"] == "fields"
    assert fleet.act(two, "logging", {"reset": True}).status_code == 200
    wait_until(
        lambda: all(
            row["level"] == base["level"] and row["fields"] == base["fields"] for row in fleet.everywhere("logging")
        ),
        15,
        "as at the start",
    )
