"""What ten attached consoles cost the gateway: CPU per proxied request, with and without them.

Two gateways of the same configuration run at once and take the same load in turns: watched, alone, alone, watched, and so
on. At first ten stream clients watch one of them; when they have left, and the gateway has stopped comparing for them
(it goes on for a minute), ten watch the other. So each gateway is measured both ways, each time beside its twin: neither
a process's luck nor a slow minute of the machine is taken for the consoles. CPU is user + system time of the gateway's
process tree.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.servers import GatewayProcess, free_port, gateway_process, wait_until

from bench.console.parts import percentile
from bench.measure import cpu_seconds, wrk
from bench.peers import Site, nginx_upstream

CONSOLES = 10
CONNECTIONS = 16
FORGETTING = 63.0
"""Seconds after which a gateway no longer compares for consoles that have left."""
TOPICS = "pulse,services,targets,breakers,quotas,routes,traffic,events,config"
CONFIG = """access_log: "off"
upstreams:
  users:
    targets: [{targets}]
    breaker: {{window: 10s, min_requests: 20, failure_ratio: 0.5}}
routes:
  - name: users
    match: {{path: /*}}
    upstream: users
    limits: [{{name: per-ip, quota: 100000000, per: 1m, by: ip}}]
"""


class Console:
    """A console as the gateway sees it: a snapshot, then the stream from there, read as it comes."""

    def __init__(self, gateway: GatewayProcess) -> None:
        bearer = f"Bearer {gateway.admin_token}"
        url = f"{gateway.admin_url}/admin/v1/snapshot?topics={TOPICS}"
        with urllib.request.urlopen(urllib.request.Request(url, headers={"authorization": bearer})) as answer:
            etag = answer.headers.get("etag", "").strip('"')
            answer.read()
        self.read = 0
        self._socket = socket.create_connection(("127.0.0.1", gateway.admin_port))
        since = f"&since={etag}" if etag.isdigit() else ""
        head = f"GET /admin/v1/stream?topics={TOPICS}{since} HTTP/1.1\r\nhost: x\r\nauthorization: {bearer}\r\n\r\n"
        self._socket.sendall(head.encode())
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        try:
            while chunk := self._socket.recv(1 << 18):
                self.read += len(chunk)
        except OSError:
            pass

    def close(self) -> None:
        self._socket.close()


@contextmanager
def upstream(directory: Path) -> Iterator[int]:
    port = free_port()
    command = nginx_upstream(Site(directory, port, "", "", 0))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, 10, "the upstream")
        yield port
    finally:
        process.terminate()
        process.wait()


def per_request(gateway: GatewayProcess, seconds: float) -> float:
    """Microseconds of CPU per request under one round of load."""
    before = cpu_seconds(gateway.process.pid)
    load = wrk(f"{gateway.url}/api/v1/users/1", seconds, CONNECTIONS)
    assert not load.errors, load
    return (cpu_seconds(gateway.process.pid) - before) / load.requests * 1e6


def phase(
    watched: GatewayProcess, alone: GatewayProcess, rounds: int, seconds: float
) -> tuple[list[float], list[float], float]:
    """CPU per request watched, and alone, in their order; and bytes a second to one console."""
    consoles = [Console(watched) for _ in range(CONSOLES)]
    wait_until(lambda: all(console.read > 500 for console in consoles), 10, "ten streams")
    for gateway in (watched, alone):
        per_request(gateway, 1)
    began, before = time.monotonic(), consoles[0].read
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for side in (0, 1, 1, 0):
            found[side].append(per_request((watched, alone)[side], seconds))
    taken = (consoles[0].read - before) / (time.monotonic() - began)
    for console in consoles:
        console.close()
    return (*found, taken)


def run(rounds: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        directory = Path(place)
        port = stack.enter_context(upstream(directory))
        config = CONFIG.format(targets=f"http://127.0.0.1:{port}")
        one, two = (stack.enter_context(gateway_process(config, directory / name)) for name in ("one", "two"))
        first = phase(one, two, rounds, seconds)
        print(f"first:  watched {text(first[0])} us, its twin alone {text(first[1])} us", flush=True)
        time.sleep(FORGETTING)
        second = phase(two, one, rounds, seconds)
        print(f"second: watched {text(second[0])} us, its twin alone {text(second[1])} us", flush=True)
    report(first, second)


def text(values: list[float]) -> str:
    return " ".join(f"{value:.1f}" for value in values)


def report(first: tuple[list[float], list[float], float], second: tuple[list[float], list[float], float]) -> None:
    for name, values in (("ten consoles", first[0] + second[0]), ("none", first[1] + second[1])):
        print(
            f"{name:<14}{statistics.median(values):7.1f} us of CPU per request, median; "
            f"{min(values):.1f} least, {percentile(values, 0.9):.1f} p90   ({len(values)} rounds)"
        )
    # Each quadruple beside its like of the other phase: in the product of both ratios the two processes cancel out.
    ratios = [ratio(first, at) * ratio(second, at) for at in range(0, len(first[0]), 2)]
    extra = sorted(product**0.5 - 1 for product in ratios)
    error = statistics.stdev(extra) / len(extra) ** 0.5 if len(extra) > 1 else float("nan")
    print(
        f"{'difference':<14}{statistics.mean(extra) * 100:+.2f} % mean, {statistics.median(extra) * 100:+.2f} % median "
        f"({extra[0] * 100:+.2f} to {extra[-1] * 100:+.2f}, standard error {error * 100:.2f})"
    )
    print(f"{'stream':<14}{(first[2] + second[2]) / 2048:.1f} KiB/s to each console")


def ratio(found: tuple[list[float], list[float], float], at: int) -> float:
    return sum(found[0][at : at + 2]) / sum(found[1][at : at + 2])
