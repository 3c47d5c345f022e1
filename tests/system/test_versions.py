"""APIs in versions through a real gateway: every way to name one, dates, exceptions, pins, and who still calls."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from argon2 import PasswordHasher

from tests.servers import GatewayProcess, gateway_process
from tests.system.raw import Visit, raw_target


def named(name: bytes) -> object:
    def script(visit: Visit) -> None:
        """Says which target this is and what it was asked."""
        while (request := visit.read_request()) is not None:
            body = name + b" " + request
            fields = b"Vary: Origin\r\nLink: </x>; rel=next\r\n"
            visit.send(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (fields, len(body), body))

    return script


def basic(name: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{name}:secret".encode()).decode()}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    secret = PasswordHasher(1, 8, 1).hash("secret")
    with raw_target(named(b"one")) as one, raw_target(named(b"two")) as two:
        config = f"""
access_log: "off"
upstreams: {{one: {{targets: ["{one.url}"]}}, two: {{targets: ["{two.url}"]}}}}
consumers:
  acme: {{basic_password_hash: "{secret}", versions: {{pins: v2}}}}
  other: {{basic_password_hash: "{secret}"}}
apis:
  orders:
    select: [path, {{header: API-Version}}, {{accept: version}}, {{query: v}}]
    default: latest
    versions:
      v0: {{upstream: one, sunset: 2020-01-01, docs: "https://docs.example.com/m", except: {{consumers: [acme]}}}}
      v1:
        upstream: one
        deprecated: 2020-01-01
        sunset: 2100-01-01T00:00Z
        docs: https://docs.example.com/m
      v2: {{upstream: two, since: 2020-01-01}}
  pins:
    select: [{{header: V}}]
    default: pinned
    versions:
      v1: {{upstream: one}}
      v2: {{upstream: two}}
  strict:
    select: [{{header: V}}]
    versions:
      v1: {{upstream: one, brownouts: [{{every: 1d, from: 2020-01-01, at: "00:00", for: 23h59m59s}}], sunset: 2100-01-01}}
      v2: {{upstream: two}}
routes:
  - {{name: orders, match: "/api/{{version}}/orders/*", api: orders, auth: {{any_of: [basic, anonymous]}}}}
  - {{name: pins, match: /pins/*, api: pins, auth: {{any_of: [basic, anonymous]}}}}
  - {{name: strict, match: /strict/*, api: strict}}
"""
        with gateway_process(config, tmp_path_factory.mktemp("versions")) as process:
            yield process


def asked(gateway: GatewayProcess, path: str, **headers: str) -> httpx.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.get(gateway.url + path, headers=given)


@pytest.mark.parametrize(
    ("path", "headers", "target", "version"),
    [
        ("/api/v1/orders/7", {}, "one GET /api/orders/7", "v1"),
        ("/api/v2/orders/7?a=1", {}, "two GET /api/orders/7?a=1", "v2"),
        ("/api/orders/7", {}, "two GET /api/orders/7", "v2"),
        ("/api/orders/7", {"api_version": "v1"}, "one GET /api/orders/7", "v1"),
        ("/api/orders/7?v=v1&a=1", {}, "one GET /api/orders/7?a=1", "v1"),
        ("/api/orders/7", {"accept": "application/vnd.acme.v1+json"}, "one GET /api/orders/7", "v1"),
        ("/api/orders/7", {"accept": "application/json;version=2"}, "two GET /api/orders/7", "v2"),
        ("/api/v1/orders/7?v=v1", {"api_version": "v1"}, "one GET /api/orders/7", "v1"),
        ("/pins/x", {}, "one GET /pins/x", "v1"),
        ("/pins/x", basic("acme"), "two GET /pins/x", "v2"),
        ("/pins/x", {**basic("acme"), "v": "v1"}, "one GET /pins/x", "v1"),
        ("/pins/x", basic("other"), "one GET /pins/x", "v1"),
        ("/strict/x", {"v": "v2"}, "two GET /strict/x", "v2"),
    ],
)
def test_the_version_named_serves(
    gateway: GatewayProcess, path: str, headers: dict[str, str], target: str, version: str
) -> None:
    answer = asked(gateway, path, **headers)
    assert answer.status_code == 200, answer.text
    assert answer.text.startswith(target + " HTTP/1.1")
    assert "api-version" not in answer.text.lower()  # the target does not see what named it
    assert answer.headers.get_list("api-version") == [version]
    assert len(answer.headers.get_list("vary")) == 1
    assert answer.headers["vary"].startswith("Origin, ")


@pytest.mark.parametrize(
    ("path", "headers", "status", "reason"),
    [
        ("/api/v9/orders/7", {}, 404, "no_route"),
        ("/api/orders/7", {"api_version": "v9"}, 400, "unknown_version"),
        ("/api/orders/7?v=v9", {}, 400, "unknown_version"),
        ("/api/v1/orders/7", {"api_version": "v2"}, 400, "version_conflict"),
        ("/api/orders/7?v=v1", {"api_version": "v2"}, 400, "version_conflict"),
        ("/api/orders/7?v=v1&v=v2", {}, 400, "version_conflict"),
        ("/strict/x", {}, 400, "unknown_version"),
        ("/api/v0/orders/7", {}, 410, "version_retired"),
        ("/api/v0/orders/7", basic("other"), 410, "version_retired"),
    ],
)
def test_what_is_refused(gateway: GatewayProcess, path: str, headers: dict[str, str], status: int, reason: str) -> None:
    answer = asked(gateway, path, **headers)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:spork:problem:{reason}")
    assert answer.headers["cache-control"] == "no-store"
    if reason == "unknown_version":
        assert answer.json()["versions"]


def test_after_the_sunset(gateway: GatewayProcess) -> None:
    gone = asked(gateway, "/api/v0/orders/7")
    assert gone.json()["version"] == "v0"
    assert gone.json()["successor"] == "v1"
    assert gone.json()["docs"] == "https://docs.example.com/m"
    assert gone.headers["sunset"] == "Wed, 01 Jan 2020 00:00:00 GMT"
    assert asked(gateway, "/api/v0/orders/7", **basic("acme")).status_code == 200


def test_deprecation_is_told_on_every_answer(gateway: GatewayProcess) -> None:
    for answer in (asked(gateway, "/api/v1/orders/7"), httpx.head(gateway.url + "/api/v1/orders/7")):
        assert answer.headers["deprecation"] == "@1577836800"
        assert answer.headers["sunset"] == "Fri, 01 Jan 2100 00:00:00 GMT"
        links = answer.headers.get_list("link")
        assert "</x>; rel=next" in links
        assert '<https://docs.example.com/m>; rel="deprecation"; type="text/html"' in links
        assert '</api/v2/orders/7>; rel="successor-version"' in links
    refused = httpx.post(gateway.url + "/api/v1/orders/7", headers=basic("nobody"))
    assert refused.status_code == 401
    assert refused.headers["deprecation"] == "@1577836800"


def test_a_brownout_is_no_overload(gateway: GatewayProcess) -> None:
    answer = asked(gateway, "/strict/x", v="v1")
    if answer.status_code == 200:  # the one second of the day in which it is not on
        answer = asked(gateway, "/strict/x", v="v1")
    assert (answer.status_code, answer.json()["type"]) == (410, "urn:spork:problem:version_brownout")
    assert 0 < int(answer.headers["retry-after"]) <= 86400


def test_who_still_calls(gateway: GatewayProcess) -> None:
    assert asked(gateway, "/api/v1/orders/7", **basic("acme")).status_code == 200
    assert asked(gateway, "/api/v1/orders/7", user_agent="curl/8").status_code == 200
    client = httpx.Client(base_url=gateway.admin_url, headers={"authorization": f"Bearer {gateway.admin_token}"})
    with client:
        rows = {row["version"]: row for row in client.get("/admin/v1/versions?api=orders").json()["items"]}
        assert list(rows) == ["v0", "v1", "v2"]
        old = rows["v1"]
        assert (old["state"], old["successor"], rows["v0"]["state"], rows["v2"]["state"]) == (
            "deprecated", "v2", "retired", "current",
        )  # fmt: skip
        assert old["requests_1d"] == old["requests_30d"] >= 2
        assert [caller["name"] for caller in old["consumers"]] == ["acme"]
        assert "127.0.0.0/24 curl/8" in [caller["name"] for caller in old["anonymous"]]
        assert client.get("/admin/v1/versions?api=none").json()["items"] == []
        kinds = [event["kind"] for event in client.get("/admin/v1/events?limit=200").json()["items"]]
        assert kinds.count("version.still_used") >= 1
        metrics = client.get("/metrics").text
    assert 'gateway_version_requests_total{api="orders",state="deprecated",version="v1"}' in metrics
    program = [sys.executable, "-m", "spork.cli", "versions", "-c", str(Path(gateway.directory) / "spork.yaml")]
    done = subprocess.run([*program, "--api", "orders"], capture_output=True, text=True, timeout=60, check=True)
    assert "orders v1  deprecated  sunset 2100-01-01" in done.stdout
    assert "    acme  " in done.stdout
    found = json.loads(subprocess.run([*program, "--json"], capture_output=True, timeout=60, check=True).stdout)
    assert {row["api"] for row in found} == {"orders", "pins", "strict"}
