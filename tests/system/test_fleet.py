"""What gateways of one Redis know together: failed attempts, idempotency keys, signatures, and what was applied."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from spork.domain.http.head import RequestHead
from spork.domain.identity.signatures import sign_request
from tests.servers import GatewayProcess, RedisProcess, gateway_process, python_env, redis_process, wait_until
from tests.system.test_admin import admin, config, echo_service

SECRET = "a shared secret of some length"
SIGNED = f"""  - {{name: signed, match: /signed/*, upstream: echo, auth: {{any_of: [signature]}}}}
consumers: {{sigrid: {{signature_secret: "{SECRET}"}}}}
"""


@dataclass
class Fleet:
    """Two gateways, their Redis, and what they forward to."""

    one: GatewayProcess
    two: GatewayProcess
    redis: RedisProcess
    echo: int


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    directory = tmp_path_factory.mktemp("fleet")
    with ExitStack() as stack:
        echo, redis = stack.enter_context(echo_service()), stack.enter_context(redis_process())
        text = config(echo, more=SIGNED + f"shared: {redis.url}\n")
        one, two = (stack.enter_context(gateway_process(text, directory / name)) for name in ("one", "two"))
        for gateway in (one, two):
            admin(gateway).close()
        yield Fleet(one, two, redis, echo)


def test_a_write_with_one_idempotency_key_happens_once_in_the_fleet(fleet: Fleet) -> None:
    key = {"idempotency-key": "trip-once"}
    with admin(fleet.one) as one, admin(fleet.two) as two:
        first = one.post("/admin/v1/breakers/echo/trip", json={"reason": "a", "ttl": 60}, headers=key)
        assert first.status_code == 200, first.text
        again = two.post("/admin/v1/breakers/echo/trip", json={"reason": "a", "ttl": 60}, headers=key)
        assert again.json() == first.json()
        other = two.post("/admin/v1/breakers/echo/trip", json={"reason": "b", "ttl": 60}, headers=key)
        assert other.status_code == 409
        assert two.get("/admin/v1/audit?action=breaker.trip").json()["items"] == [], "the second did nothing"
        assert one.post("/admin/v1/breakers/echo/reset", json={}).status_code == 200


def test_a_signed_write_is_taken_once_in_the_fleet(fleet: Fleet) -> None:
    now = int(time.time())
    head = RequestHead("POST", b"/signed/x", None, ((b"host", b"api.example.com"),), "http", b"api.example.com")
    covered = ("@method", "@authority", "@path")
    given, signature = sign_request(head, SECRET.encode(), "sigrid", now, covered)
    headers = {"host": "api.example.com", "signature-input": given.decode(), "signature": signature.decode()}
    echo_circuit_closed = lambda: httpx.get(f"{fleet.two.url}/echo/x").status_code == 200  # noqa: E731
    wait_until(echo_circuit_closed, 10, "the circuit that another test opened")
    assert httpx.post(f"{fleet.one.url}/signed/x", headers=headers).status_code == 200
    for gateway in (fleet.two, fleet.one):
        replayed = httpx.post(f"{gateway.url}/signed/x", headers=headers)
        assert replayed.status_code == 401, replayed.text


def test_a_gateway_that_starts_late_serves_what_was_applied_not_its_old_file(fleet: Fleet, tmp_path: Path) -> None:
    shared = f"shared: {fleet.redis.url}\n"
    applied = tmp_path / "new.yaml"
    head = (fleet.one.directory / "spork.yaml").read_text().split("upstreams:")[0]
    applied.write_text(head + config(fleet.echo, "echo fresh", shared))
    done = subprocess.run(
        [sys.executable, "-m", "spork.cli", "apply", "-c", str(applied), "--url", fleet.one.admin_url],
        env=python_env(SPORK_ADMIN_TOKEN=fleet.one.admin_token),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, ""), (
        "no warning about what the gateway itself put into its environment"
    )
    with admin(fleet.one) as client:
        revision = client.get("/admin/v1/config").json()["revision"]
    old = config(fleet.echo, more=shared)
    with gateway_process(old, tmp_path / "late", written_at=time.time() - 3600) as late:
        assert httpx.get(f"{late.url}/fresh/x").status_code == 200, "from its first answer on"
        with admin(late) as client:
            shown = client.get("/admin/v1/config").json()
        assert shown["revision"] == revision
        assert [entry["source"] for entry in shown["history"]][:2] == ["fleet", "file"]
    with gateway_process(old, tmp_path / "deployed") as deployed:
        assert httpx.get(f"{deployed.url}/fresh/x").status_code == 404, (
            "a file that is newer than the act is a deployment"
        )


def test_guesses_at_two_gateways_lock_the_address_at_both(fleet: Fleet) -> None:
    """Last: afterwards this address may not operate for a minute."""
    answers = []
    for turn in range(12):
        gateway = (fleet.one, fleet.two)[turn % 2]
        guess = httpx.get(f"{gateway.admin_url}/admin/v1/whoami", headers={"authorization": "Bearer guess"})
        answers.append(guess.status_code)
    assert answers == [401] * 10 + [429] * 2
    for gateway in (fleet.one, fleet.two):
        good = {"authorization": f"Bearer {gateway.admin_token}"}
        locked = httpx.get(f"{gateway.admin_url}/admin/v1/whoami", headers=good)
        assert (locked.status_code, 50 < int(locked.headers["retry-after"]) <= 60) == (429, True)
