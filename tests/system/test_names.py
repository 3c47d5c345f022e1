"""Targets found by DNS: a real gateway process, a real name server, records that change and a server that falls silent."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.name_server import NameServer, name_server
from tests.servers import GatewayProcess, gateway_process, wait_until
from tests.targets import killable

SERVICE = "_http._tcp.users.test"


def config(server: NameServer, target: str) -> str:
    return (
        f"name_servers: ['127.0.0.1:{server.port}']\nupstreams: {{users: {{targets: ['{target}']}}}}\n"
        "routes: [{name: users, match: /users/*, upstream: users}]\n"
    )


def says(gateway: GatewayProcess) -> tuple[int, str]:
    answer = httpx.get(f"{gateway.url}/users/1", timeout=10, trust_env=False)
    return answer.status_code, answer.text


def test_service_records_are_followed_and_outlive_their_name_server(tmp_path: Path) -> None:
    with killable(2) as [(first, _), (second, _)], name_server() as server:
        server.records["a.users.test", "A"] = ["127.0.0.1"]
        server.records[SERVICE, "SRV"] = [f"10 1 {first} a.users.test.", f"20 1 {second} a.users.test."]
        with gateway_process(config(server, f"srv://{SERVICE}"), tmp_path) as gateway:
            wait_until(lambda: says(gateway) == (200, f"{first}"), 15, "the target that the records name")
            assert {says(gateway) for _ in range(10)} == {(200, f"{first}")}, "the second is a spare"
            server.records[SERVICE, "SRV"] = [f"10 1 {second} a.users.test."]
            wait_until(lambda: says(gateway) == (200, f"{second}"), 20, "the target that the records name now")
            assert {says(gateway) for _ in range(10)} == {(200, f"{second}")}, "the first is gone"
            server.silent = True
            asked = server.asked
            wait_until(lambda: server.asked > asked, 20, "a look-up that nobody answers")
            wait_until(lambda: "keeps its last targets" in gateway.log(), 20, "the look-up's failure in the log")
            assert says(gateway) == (200, f"{second}"), "the last good answer stays"


def test_a_name_with_addresses_is_its_targets(tmp_path: Path) -> None:
    with killable(1) as [(port, _)], name_server() as server:
        with gateway_process(config(server, f"dns://users.test:{port}"), tmp_path) as gateway:
            assert says(gateway)[0] == 503, "nobody knows the name yet"
            server.records["users.test", "A"] = ["127.0.0.1"]
            wait_until(lambda: says(gateway) == (200, f"{port}"), 20, "the target behind the name")
