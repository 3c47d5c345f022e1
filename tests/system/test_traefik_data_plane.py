"""Traefik forwards by this gateway's routes to the targets that are healthy, as deploy/traefik/ arranges it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import httpx
import yaml

from tests.fronts import program
from tests.servers import ROOT, free_port, gateway_process, listening, wait_until
from tests.system.raw import Visit, raw_target

ARRANGED = ROOT / "deploy" / "traefik"


def named(name: bytes) -> object:
    def script(visit: Visit) -> None:
        """Says which target this is and what it was asked."""
        while (request := visit.read_request()) is not None:
            body = name + b" " + request.split(b" HTTP", 1)[0]
            visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    return script


def test_the_document_says_routes_priorities_and_healthy_targets(tmp_path: Path) -> None:
    with raw_target(named(b"one")) as one, raw_target(named(b"two")) as two:
        written = yaml.safe_load((ARRANGED / "spork.yaml").read_text().replace("${SPORK_TOKEN}", "t" * 24))
        decide, port = free_port(), free_port()
        for key in ("listen", "admin"):
            written.pop(key)
        written["decisions"]["listen"] = f"127.0.0.1:{decide}"
        written["upstreams"]["orders"]["targets"] = [one.url, two.url]
        written["upstreams"]["orders"]["probe"].update(every="500ms", timeout="400ms")
        written["exports"]["strict"] = {"strict": True}
        written["routes"].append({"name": "cached", "match": "/cached", "upstream": "orders", "cache": True})
        with gateway_process(yaml.safe_dump(written), tmp_path / "gateway", written_at=1.0) as gateway:
            asks = {"Authorization": f"Bearer {gateway.admin_token}"}
            exports = f"{gateway.admin_url}/admin/v1/exports"

            def document() -> dict[str, dict[str, dict[str, object]]]:
                answer = httpx.get(f"{exports}/traefik", headers=asks)
                assert answer.status_code == 200, answer.text
                return answer.json()["http"]  # type: ignore[no-any-return]

            routers = {name.rpartition("-")[0]: router for name, router in document()["routers"].items()}
            assert routers["orders"]["rule"] == "(Path(`/orders`) || PathPrefix(`/orders/`))"
            assert routers["one-order"]["rule"] == "PathRegexp(`^/orders/[^/]+$`)"
            assert routers["one-order"]["priority"] > routers["orders"]["priority"]  # type: ignore[operator]
            report = httpx.get(f"{exports}/traefik/report", headers=asks).json()
            assert "cache" in report["lost"]["cached"]
            refused = httpx.get(f"{exports}/strict", headers=asks)
            assert refused.status_code == 409
            assert "cache" in refused.text
            assert httpx.get(f"{exports}/nowhere", headers=asks).status_code == 404

            binary = program("traefik")
            text = (ARRANGED / "traefik.yml").read_text()
            text = text.replace("127.0.0.1:8080", f"127.0.0.1:{port}").replace("${SPORK_TOKEN}", gateway.admin_token)
            text = text.replace("http://127.0.0.1:9000", gateway.admin_url).replace(
                "dynamic.yml", f"{ARRANGED}/dynamic.yml"
            )
            (tmp_path / "traefik.yml").write_text(text)
            with (tmp_path / "traefik.log").open("w") as log:
                process = subprocess.Popen(
                    [binary, f"--configFile={tmp_path}/traefik.yml"],
                    stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "HOME": str(tmp_path)},
                )  # fmt: skip
                try:
                    url = f"http://127.0.0.1:{port}"

                    def status(path: str) -> int:
                        return httpx.get(url + path, timeout=10).status_code

                    wait_until(lambda: listening(port), 40, "traefik")
                    wait_until(lambda: status("/orders/1/lines") == 200, 40, "traefik forwarding")
                    assert status("/orders/1") == 401  # decided here
                    assert status("/nowhere") == 404
                    assert httpx.get(url + "/v1/x/y", timeout=10).text.endswith("GET /x/y")
                    assert httpx.get(url + "/", timeout=10).headers["location"].endswith("/orders")
                    seen = {httpx.get(url + "/orders/1/lines", timeout=10).text[:3] for _ in range(8)}
                    assert seen == {"one", "two"}
                    two.close()
                    wait_until(
                        lambda: len(document()["services"]["orders"]["loadBalancer"]["servers"]) == 1, 30, "probe"
                    )  # type: ignore[index]
                    wait_until(
                        lambda: {httpx.get(url + "/orders/1/lines", timeout=10).text[:3] for _ in range(6)} == {"one"},
                        30, "traefik leaving out the target that is down",
                    )  # fmt: skip
                    gateway.process.kill()
                    gateway.process.wait()
                    assert status("/orders/1/lines") >= 500  # decisions are gone: nothing passes
                finally:
                    process.terminate()
                    process.wait(10)
