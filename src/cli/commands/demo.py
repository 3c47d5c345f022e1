"""`spork demo`: the gateway, three small services, consumers, and a screen that says what to try."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import click

from spork.cli.demo.screen import welcome

SERVICES = ("users", "products", "echo")


@click.command()
@click.option("--port", type=int, default=8000, show_default=True, help="Port of the gateway.")
@click.option("--admin-port", type=int, default=9000, show_default=True, help="Port of the admin API.")
@click.option("--traffic", is_flag=True, help="Send a gentle load, so that the console has something to show.")
def demo(port: int, admin_port: int, traffic: bool) -> None:
    """Run the gateway on 127.0.0.1 with three small services. Ctrl-C ends everything and leaves nothing behind."""
    for ending in (signal.SIGTERM, signal.SIGHUP):  # a stopped container, a closed terminal
        signal.signal(ending, signal.default_int_handler)
    for wanted, option in ((port, "--port"), (admin_port, "--admin-port")):
        if not _free(wanted):
            raise click.ClickException(
                f"127.0.0.1:{wanted} is in use. Choose another port: spork demo {option} {wanted + 100}"
            )
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spork-demo-")))
        ports = {name: _free_port() for name in SERVICES}
        stack.enter_context(_services(ports))
        environment = _environment(directory, port, admin_port, ports)
        config = demo_config()
        keys, token = asyncio.run(_credentials(str(directory)))
        command = [sys.executable, "-P", "-m", "spork.cli", "serve", "-c", str(config)]
        gateway = stack.enter_context(_child(command, environment))
        _wait_for(gateway, port)
        _wait_until_ready(gateway, port)
        click.echo(welcome(port, admin_port, ports, environment, config, keys, token))
        if traffic:
            load = [sys.executable, "-P", "-m", "spork.cli.demo.traffic", str(port)]
            stack.enter_context(_child(load, environment | {"DEMO_KEYS": ",".join(keys.values())}))
        with contextlib.suppress(KeyboardInterrupt):
            if (code := gateway.wait()) != 0:
                raise click.ClickException(f"the gateway ended with exit code {code}; its message is above")
        click.echo("\nstopping ...")


async def _credentials(state_dir: str) -> tuple[dict[str, str], str]:
    """An API key for each of the demo's consumers, and a token of one, in a state directory made for the demo."""
    from spork.adapters.jwt.signer import JwtIdentitySigner
    from spork.application.callers.keys import KeyRequest
    from spork.application.configuration.model import Configuration
    from spork.cli.commands.keys import opened_keys
    from spork.composition.secrets import signing_key

    now = time.time()
    texts: dict[str, str] = {}
    async with opened_keys(Configuration(state_dir=state_dir)) as keys:
        for name in ("bob", "ada", "carol"):
            texts[name] = str((await keys.issue(KeyRequest(name, owner="the demo"), now)).text)
    signer = JwtIdentitySigner(signing_key("", state_dir), "https://demo.invalid")
    claims = {"sub": "ada", "aud": "demo", "jti": "demo-token", "sid": "demo-session", "scope": "users:read"}
    return texts, signer.issue(claims, now, 8 * 3600.0).decode()


def demo_config() -> Path:
    """The demo's configuration: beside this package when installed, in `config/` in a checkout."""
    packaged = Path(__file__).parent.parent / "demo" / "demo.yaml"
    return packaged if packaged.exists() else Path(__file__).parents[3] / "config" / "demo.yaml"


def _environment(directory: Path, port: int, admin_port: int, ports: dict[str, int]) -> dict[str, str]:
    urls = {f"DEMO_{name.upper()}_URL": f"http://127.0.0.1:{ports[name]}" for name in SERVICES}
    urls["DEMO_JWKS_URL"] = f"http://127.0.0.1:{port}/.well-known/jwks.json"
    return {
        **os.environ,
        "SPORK_LISTEN": f"127.0.0.1:{port}",
        "SPORK_ADMIN__LISTEN": f"127.0.0.1:{admin_port}",
        "SPORK_STATE_DIR": str(directory),
        "SPORK_ACCESS_LOG": str(directory / "access.log"),
        **urls,
    }


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _services(ports: dict[str, int]) -> Iterator[None]:
    specs = [f"{name}:{port}" for name, port in ports.items()]
    process = subprocess.Popen([sys.executable, "-P", "-m", "spork.cli.demo.services", *specs], stdin=subprocess.PIPE)
    try:
        for port in ports.values():
            _wait_for(process, port)
        yield
    finally:
        assert process.stdin is not None
        process.stdin.close()
        _end(process)


@contextlib.contextmanager
def _child(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(8)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    """The screen promises curl lines that work: print it only when they do."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=1):
                return
        time.sleep(0.05)


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise click.ClickException(
                f"a demo process ended with exit code {process.returncode}; its message is above"
            )
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.2):
            return
        time.sleep(0.05)
    raise click.ClickException(f"nothing listens on 127.0.0.1:{port} after 20 s")
