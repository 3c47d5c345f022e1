"""The shipped production files as one set: Dockerfile, docker-compose.yml, .env.example, config/production.yaml, HAProxy, systemd.

Without a container engine the set's processes are started as the files say: same commands, environment and configuration; only
addresses are this machine's, since every service has a host of its own there.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from spork.cli.commands.options import variables_of
from tests.servers import ROOT, free_port, listening, missing, postgres_url, python_env, redis_process, wait_until

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
EXAMPLE = dict(variables_of(ROOT / ".env.example"))
PRODUCTION = ROOT / "config" / "production.yaml"


def spork(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "spork.cli", *args], env=python_env(**env), capture_output=True, text=True, timeout=60
    )


def test_every_placeholder_of_the_example_is_refused_with_a_clear_word() -> None:
    done = spork("check", "-c", str(PRODUCTION), "--env-file", str(ROOT / ".env.example"))
    assert done.returncode == 1
    for name in ("SPORK_ADMIN_TOKEN", "SPORK_VIEWER_TOKEN"):
        assert f"variable {name} still holds the placeholder of an example; give {name} a value" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_filled_example_checks(tmp_path: Path) -> None:
    filled = (ROOT / ".env.example").read_text()
    filled = re.sub(r"=replace-me.*", "=" + "0f" * 24, filled)
    (tmp_path / ".env").write_text(filled.replace("STATE_DIR=/var/lib/spork", f"STATE_DIR={tmp_path}/state"))
    done = spork("check", "-c", str(PRODUCTION), "--env-file", str(tmp_path / ".env"))
    assert done.returncode == 0, done.stderr


def test_secrets_may_stand_in_files(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token-of-some-length\n")
    (tmp_path / "spork.yaml").write_text(
        "admin: {tokens: [{name: a, role: admin, token: '${ADMIN_TOKEN}'}, {name: b, role: viewer, token: '${file:"
        + str(tmp_path / "other")
        + "}'}]}\n"
        "routes: [{match: /x, redirect: /y}]\n"
    )
    done = spork("check", "-c", str(tmp_path / "spork.yaml"), ADMIN_TOKEN_FILE=str(tmp_path / "token"))
    assert done.returncode == 1
    assert (
        f"'{tmp_path}/other' cannot be read: No such file or directory; name a readable file that holds the value"
        in done.stderr
    )
    (tmp_path / "other").write_text("another-token-of-some-length")
    assert spork("check", "-c", str(tmp_path / "spork.yaml"), ADMIN_TOKEN_FILE=str(tmp_path / "token")).returncode == 0


def test_an_env_file_that_is_none_is_refused_at_its_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\nthis is nothing\n")
    done = spork("check", "-c", str(PRODUCTION), "--env-file", str(tmp_path / ".env"))
    assert (done.returncode, f"{tmp_path}/.env:2: not NAME=VALUE" in done.stderr) == (2, True)


def test_what_the_compose_file_names_is_there() -> None:
    services = COMPOSE["services"]
    for service in services.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).exists(), volume
        for needed in service.get("depends_on", {}):
            assert needed in services
        assert service.get("env_file", ".env") == ".env"
    healthy = {
        n for s in services.values() for n, c in s.get("depends_on", {}).items() if c["condition"] == "service_healthy"
    }
    for name in healthy:
        assert "healthcheck" in services[name] or services[name].get("build"), name
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for source in " ".join(copied).split():
        assert (ROOT / source).exists(), source


def test_the_systemd_unit_is_well_formed() -> None:
    if shutil.which("systemd-analyze") is None:
        text = (ROOT / "deploy" / "systemd" / "spork.service").read_text()
        assert re.findall(r"^\[(\w+)\]$", text, re.MULTILINE) == ["Unit", "Service", "Install"]
        return
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(ROOT / "deploy" / "systemd" / "spork.service")],
        capture_output=True,
        text=True,
    )
    assert "Unknown" not in done.stderr


@contextlib.contextmanager
def running(
    command: list[str], log: Path, env: dict[str, str], up: int, **more: Any
) -> Iterator[subprocess.Popen[Any]]:
    """A process of the set until the block ends; `up` is a port it must listen on."""
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=env, **more)
        try:
            try:
                wait_until(lambda: process.poll() is not None or listening(up), 60, command[0])
                assert process.poll() is None
            except AssertionError as error:
                raise AssertionError(f"{' '.join(command)}:\n{log.read_text()}") from error
            yield process
        finally:
            process.terminate()
            process.wait(45)


class Set:
    """The running set: two gateways behind the balancer."""

    def __init__(self, balancer: int, gateways: list[tuple[int, subprocess.Popen[Any]]]) -> None:
        self.balancer = balancer
        self.gateways = gateways


def ready(port: int) -> bool:
    return httpx.get(f"http://127.0.0.1:{port}/ready", trust_env=False, timeout=5).status_code == 200


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Set]:
    if shutil.which("haproxy") is None:
        missing("haproxy")
    directory = tmp_path_factory.mktemp("set")
    token = "0f" * 24
    with contextlib.ExitStack() as started:
        redis = started.enter_context(redis_process("--appendonly", "yes"))
        database = started.enter_context(postgres_url())
        env = {name: value for name, value in EXAMPLE.items() if not value.startswith("replace-me")}
        env |= {name: token for name, value in EXAMPLE.items() if value.startswith("replace-me")}
        env |= {"REDIS_URL": redis.url, "DATABASE_URL": database}
        for name, variable in (("users-1", "USERS_URL_1"), ("users-2", "USERS_URL_2"), ("products", "PRODUCTS_URL")):
            port = free_port()
            what = COMPOSE["services"][name]["entrypoint"]
            command = [sys.executable, *what[1:-1], f"{what[-1].partition(':')[0]}:{port}"]
            started.enter_context(
                running(command, directory / f"{name}.log", python_env(), port, stdin=subprocess.PIPE)
            )
            env[variable] = f"http://127.0.0.1:{port}"
        upgraded = spork(*COMPOSE["services"]["records"]["command"], SPORK_CONFIG=str(PRODUCTION), **env)
        assert upgraded.returncode == 0, upgraded.stderr
        gateways = []
        for name in ("gateway-1", "gateway-2"):
            port = free_port()
            own = env | {"SPORK_LISTEN": f"0.0.0.0:{port}", "SPORK_ADMIN__LISTEN": f"127.0.0.1:{free_port()}"}
            own |= {"STATE_DIR": str(directory / name), "SPORK_CONFIG": str(PRODUCTION)}
            command = [sys.executable, "-m", "spork.cli", "serve"]
            gateways.append(
                (port, started.enter_context(running(command, directory / f"{name}.log", python_env(**own), port)))
            )
        for port, _ in gateways:  # they listen before they are ready; a balancer would call them down for that while
            wait_until(lambda port=port: ready(port), 30, f"gateway {port} is ready")
        balancer = free_port()
        text = (
            (ROOT / "deploy" / "haproxy" / "haproxy.cfg")
            .read_text()
            .replace("bind :8000", f"bind 127.0.0.1:{balancer}")
        )
        for (port, _), name in zip(gateways, ("gateway-1", "gateway-2"), strict=True):
            text = text.replace(f"{name}:8000", f"127.0.0.1:{port}")
        (directory / "haproxy.cfg").write_text(text)
        started.enter_context(
            running(
                ["haproxy", "-db", "-f", str(directory / "haproxy.cfg")],
                directory / "haproxy.log",
                python_env(),
                balancer,
            )
        )
        yield Set(balancer, gateways)


@pytest.mark.xdist_group("production set")
def test_each_container_is_healthy_as_its_image_asks(stack: Set) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert 'CMD ["python", "/opt/spork/healthcheck.py"]' in dockerfile
    assert "SPORK_LISTEN=0.0.0.0:8000" in dockerfile
    script = str(ROOT / "deploy" / "healthcheck.py")
    for port, _ in stack.gateways:
        assert subprocess.run([sys.executable, script], env=python_env(SPORK_LISTEN=f"0.0.0.0:{port}")).returncode == 0
    assert subprocess.run([sys.executable, script, f"127.0.0.1:{free_port()}"]).returncode == 1


@pytest.mark.xdist_group("production set")
def test_the_set_answers_behind_its_balancer(stack: Set) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{stack.balancer}", headers={"host": "api.example.com"}) as client:
        wait_until(lambda: client.get("/ready").status_code == 200, 30, "the balancer finds the gateways")
        assert client.get("/api/v1/products/1").status_code == 200
        assert client.get("/api/v1/users/1").status_code in (401, 403)
        assert client.get("/api/v1/products/1", headers={"host": "other.example.com"}).status_code == 421


@pytest.mark.xdist_group("production set")
def test_a_gateway_is_replaced_without_a_lost_request(stack: Set) -> None:
    """Last in this file: it ends one gateway."""
    port, process = stack.gateways[0]
    with httpx.Client(base_url=f"http://127.0.0.1:{stack.balancer}", headers={"host": "api.example.com"}) as client:
        process.terminate()
        statuses: list[int] = []
        wait_until(
            lambda: statuses.append(client.get("/api/v1/products/1").status_code) or process.poll() is not None,
            45,
            "the drained gateway's end",
        )
        statuses += [client.get("/api/v1/products/1").status_code for _ in range(20)]
    assert process.returncode == 0
    assert set(statuses) <= {200, 429}, f"{len(statuses)} requests while {port} drained"
