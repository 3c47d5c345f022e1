"""One service has one state: in the admin API, in discovery and in events, whatever is wrong with it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.servers import gateway_process, wait_until
from tests.system.test_admin import admin, config, echo_service


@pytest.mark.parametrize("status", [500, 503])
def test_an_upstream_that_fails_everything_has_one_state_everywhere(status: int, tmp_path: Path) -> None:
    with echo_service() as echo:
        text = config(echo).replace(", breaker: {}", "")
        with gateway_process(text, tmp_path) as gateway, admin(gateway) as client:
            fail = {"status": status, "seconds": 60}
            assert httpx.post(f"http://127.0.0.1:{echo}/misbehave", json=fail).is_success

            def states() -> tuple[str, str, str]:
                for _ in range(5):
                    assert httpx.get(f"{gateway.url}/echo/x").status_code == status
                api = client.get("/admin/v1/services").json()["items"][0]["state"]
                listed = client.get("/discovery/services").json()["items"][0]["status"]
                health = client.get("/discovery/health").json()["services"]["echo"]["status"]
                return api, listed, health

            wait_until(lambda: states() == ("down", "down", "down"), 15, "one state in three places")
            kinds = lambda: [e["kind"] for e in client.get("/admin/v1/events?kind=upstream").json()["items"]]  # noqa: E731
            wait_until(lambda: "upstream.down" in kinds(), 10, "the event of it")
