"""Circuits of single targets are read, tripped and reset by their names, whose slash is percent-encoded."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.servers import gateway_process
from tests.system.test_admin import admin, config, echo_service


def test_circuits_of_targets_are_operated_by_name_and_hidden_boundaries_stay_refused(tmp_path: Path) -> None:
    with echo_service() as echo:
        text = config(echo).replace("breaker: {}", "breaker: {per_target: true}")
        with gateway_process(text, tmp_path) as gateway, admin(gateway) as client:
            name = f"echo/127.0.0.1:{echo}"
            for slash in ("%2F", "%2f"):
                path = f"/admin/v1/breakers/{name.replace('/', slash)}"
                shown = client.get(path)
                assert shown.status_code == 200, shown.text
                assert name in shown.text
                assert client.post(f"{path}/trip", json={"reason": "test", "ttl": 60}).status_code == 200
                assert httpx.get(f"{gateway.url}/echo/x").status_code == 503
                assert client.post(f"{path}/reset", json={"reason": "test"}).status_code == 200
                assert httpx.get(f"{gateway.url}/echo/x").status_code == 200
            revoked = client.post("/admin/v1/subjects/a%2Fb/revoke", json={"reason": "test"})
            assert revoked.status_code == 200, revoked.text
            assert "a/b" in revoked.text
            audit = client.get("/admin/v1/audit?q=a%2Fb")
            assert audit.status_code == 200, "a query is left as it is"
            assert httpx.get(f"{gateway.url}/echo/a%2Fb").status_code == 400
