"""What a plain table does not show: many routes, large bodies, idle connections, the parts by themselves."""

from __future__ import annotations

import http.client
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from bench import peers, spork_rows
from bench.measure import cpu_seconds, rss_mib, wrk
from bench.peers import ROOT, Peer, Site

Running = Callable[[list[str], int, Path, dict[str, str] | None], AbstractContextManager[int]]
GIB = 1 << 30


def all_of(site: Site, running: Any) -> Iterator[tuple[str, str, Any]]:
    """(title, markdown, raw figures) of each extra measurement; one that fails says so and spares the others."""
    for measure in (many_routes, large_bodies, idle_connections, parts):
        try:
            yield measure(site, running)
        except (Exception, SystemExit) as error:
            yield measure.__name__.replace("_", " "), f"Not measured: {type(error).__name__}: {error}", None


#: What each part of the pipeline costs by itself, and the arguments that keep it short.
PARTS = (("bench.auth",), ("bench.limits", "3"), ("bench.resilience",), ("bench.observers",))


def parts(site: Site, running: Any) -> tuple[str, str, Any]:
    """What the guards, the circuit and the observers cost by themselves, interpreted and compiled."""
    figures: dict[str, str] = {}
    roots = {"interpreted": spork_rows.SOURCE, "compiled": spork_rows.NATIVE}
    for name, root in roots.items():
        if not root.is_dir():
            continue
        said = ""
        for part in PARTS:
            env = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{ROOT}", "PYTHONSAFEPATH": "1"}
            command = [sys.executable, "-m", *part]
            done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=True)
            said += f"{part[0]}\n" + "".join(f"  {line}\n" for line in done.stdout.splitlines())
        figures[name] = said
    text = "\n".join(f"{name}:\n\n```\n{said}```\n" for name, said in figures.items())
    return "Parts of the pipeline, CPU us/request", text, figures


def many_routes(site: Site, running: Any) -> tuple[str, str, Any]:
    """CPU per request with 10 and with 10 000 routes, requests spread over all of them; rounds in turn."""
    configured = [spork_rows.routes_config(site, count) for count in (10, 10_000)]
    figures: dict[str, list[float]] = {peer.name: [] for peer, _ in configured}
    with running(configured[0][0].command, configured[0][0].port, site.directory, configured[0][0].env) as first:
        with running(configured[1][0].command, configured[1][0].port, site.directory, configured[1][0].env) as second:
            for round_number in range(6):
                for (peer, script), pid in zip(configured, (first, second), strict=True):
                    before = cpu_seconds(pid)
                    load = wrk(peer.url, 3, 64, script=str(script))
                    if round_number:
                        figures[peer.name].append((cpu_seconds(pid) - before) / load.requests * 1e6)
    few, many = (statistics.median(figures[peer.name]) for peer, _ in configured)
    text = f"| routes | CPU us/request |\n|--:|--:|\n| 10 | {few:.1f} |\n| 10 000 | {many:.1f} |\n\nRatio {many / few:.2f}."
    return "10 routes and 10 000", text, figures


def _download(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET", "/files/gib")
    answer = connection.getresponse()
    total = 0
    while piece := answer.read(1 << 20):
        total += len(piece)
    return total


def _upload(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.putrequest("POST", "/upload")
    connection.putheader("Content-Length", str(GIB))
    connection.endheaders()
    piece = bytes(1 << 20)
    for _ in range(GIB // len(piece)):
        connection.send(piece)
    answer = connection.getresponse()
    answer.read()
    return GIB if answer.status == 200 else -answer.status


class _Peak(threading.Thread):
    """Samples a process tree's memory until stopped."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak, self.stopped = pid, 0.0, threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.05):
            self.peak = max(self.peak, rss_mib(self.pid))


def large_bodies(site: Site, running: Any) -> tuple[str, str, Any]:
    """One body of 1 GiB down and up, through nginx and through the gateway: CPU seconds and memory growth."""
    files = site.directory / "files"
    files.mkdir(exist_ok=True)
    with (files / "gib").open("wb") as file:
        file.truncate(GIB)
    port, admin = site.port(), site.port()
    config = site.write(
        "spork-bodies.yaml",
        f"listen: 127.0.0.1:{port}\nadmin: {{listen: 127.0.0.1:{admin}}}\nstate_dir: {site.directory}/bodies\naccess_log: 'off'\n"
        f"edge: {{body_bytes: 2GiB}}\nupstreams:\n  bench: {{targets: [http://127.0.0.1:{site.upstream}]}}\n"
        "routes:\n  - {name: all, match: {path: /*}, upstream: bench}\n",
    )
    plain = spork_rows.plain(site)
    plain.command[-1], plain.port = config, port
    candidates = [peers.nginx(site), plain]
    rows, raw = [], []
    for peer in candidates:
        if not isinstance(peer, Peer):
            continue
        for direction, act in (("down", _download), ("up", _upload)):
            with running(peer.command, peer.port, site.directory, peer.env) as pid:
                wrk(f"http://127.0.0.1:{peer.port}/x", 1, 8)
                before, idle = cpu_seconds(pid), rss_mib(pid)
                peak = _Peak(pid)
                peak.start()
                began = time.monotonic()
                moved = act(peer.port)
                seconds = time.monotonic() - began
                peak.stopped.set()
                peak.join()
                assert moved == GIB, f"{peer.name} {direction}: {moved}"
                cpu, grown = cpu_seconds(pid) - before, peak.peak - idle
            rows.append(f"| {peer.name} | {direction} | {cpu:.2f} | {seconds:.2f} | {grown:+.1f} |")
            raw.append(
                {"peer": peer.name, "direction": direction, "cpu_s": cpu, "seconds": seconds, "memory_mib": grown}
            )
    head = "| proxy | 1 GiB | CPU s | seconds | memory MiB |\n|---|---|--:|--:|--:|\n"
    return "1 GiB bodies", head + "\n".join(rows), raw


def idle_connections(site: Site, running: Any) -> tuple[str, str, Any]:
    """1 000 connections that have made one request and wait: memory each, and CPU while they wait."""
    peer = spork_rows.plain(site)
    with running(peer.command, peer.port, site.directory, peer.env) as pid:
        wrk(peer.url, 1, 64)
        idle = rss_mib(pid)
        held = []
        for _ in range(1000):
            connection = socket.create_connection(("127.0.0.1", peer.port), timeout=10)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
            connection.recv(4096)
            held.append(connection)
        grown = rss_mib(pid) - idle
        before = cpu_seconds(pid)
        time.sleep(5)
        cpu = (cpu_seconds(pid) - before) / 5 * 100
        for connection in held:
            connection.close()
    text = f"{grown * 1024 / 1000:.1f} KiB of memory each; {cpu:.2f} % of one core while idle."
    return "1 000 idle connections", text, {"kib_each": grown * 1024 / 1000, "cpu_percent": cpu}
