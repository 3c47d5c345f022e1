"""`make bench`: CPU microseconds per proxied request of the whole process tree, beside peers, in one run.

    python -m bench.run [--seconds 6] [--rounds 3] [--connections 64] [--only TEXT] [--no-extras] [--out bench/RESULTS.md]

All peers run at once but idle; rounds go through them in turn, so that a noisy minute hurts everybody. The table shows
medians over the rounds; every sample is kept in `bench/results.json`.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from bench import extras, peers, spork_rows
from bench.measure import Sample, sample, wrk
from bench.peers import ROOT, Missing, Peer, Site


def token_and_jwks() -> tuple[str, str]:
    """An RS256 token for issuer https://bench.example, and the key set that verifies it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
    public |= {"kid": "bench", "alg": "RS256", "use": "sig"}
    now = int(time.time())
    claims = {"iss": "https://bench.example", "aud": "api", "sub": "bench-client", "iat": now, "exp": now + 86400}
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": "bench"}), json.dumps({"keys": [public]})


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.3):
        return True
    return False


@contextlib.contextmanager
def running(command: list[str], port: int, directory: Path, env: dict[str, str] | None = None) -> Iterator[int]:
    """The process of `command`, listening on `port`, ended afterwards."""
    name = f"{port}.log"
    with (directory / name).open("w") as log:
        process = subprocess.Popen(
            command, cwd=directory, env=os.environ | (env or {}), stdout=log, stderr=log, start_new_session=True
        )
    try:
        for _ in range(600):
            if answers(port):
                break
            if process.poll() is not None:
                break
            time.sleep(0.05)
        if not answers(port):
            raise SystemExit(f"{command[0]} did not start:\n{(directory / name).read_text()[-2000:]}")
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def table(samples: list[Sample], notes: dict[str, str]) -> str:
    """Markdown rows of medians, cheapest first."""
    names = list(dict.fromkeys(s.peer for s in samples))
    rows = []
    for name in names:
        mine = [s for s in samples if s.peer == name]
        median = {f: statistics.median(getattr(s, f) for s in mine) for f in ("cpu_us", "rps", "p50", "p99", "rss")}
        errors = sum(s.errors for s in mine)
        rows.append((median["cpu_us"], name, median, min(s.cpu_us for s in mine), errors))
    lines = [
        "| proxy | CPU us/request | lowest round | requests/s | p50 ms | p99 ms | memory MiB | errors | |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for _, name, m, lowest, errors in sorted(rows, key=lambda row: row[0]):
        lines.append(
            f"| {name} | {m['cpu_us']:.1f} | {lowest:.1f} | {m['rps']:.0f} | {m['p50']:.2f} | {m['p99']:.2f} | {m['rss']:.0f} | {errors} | {notes.get(name, '')} |"
        )
    return "\n".join(lines)


def machine() -> str:
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "?",
    )
    return f"{os.cpu_count()} x {model}, Linux {platform.release()}, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--only", default="", help="peers whose name contains one of these words (comma-separated)")
    parser.add_argument("--no-extras", action="store_true", help="leave out routes, bodies and idle connections")
    parser.add_argument("--out", default="")
    options = parser.parse_args()
    for tool in ("wrk", "nginx"):
        if not peers.find(tool):
            sys.exit(f"bench needs {tool} (Debian package {tool})")
    words = [w.lower() for w in options.only.split(",") if w]
    directory = Path(tempfile.mkdtemp(prefix="spork-bench-"))
    directory.chmod(0o755)  # nginx reads files as another user
    try:
        report, raw = bench(directory, options, words)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(report)
    if options.out:
        Path(options.out).write_text(report)
        (ROOT / "bench" / "results.json").write_text(json.dumps(raw, indent=1))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def bench(directory: Path, options: argparse.Namespace, words: list[str]) -> tuple[str, dict[str, Any]]:
    token, jwks = token_and_jwks()
    site = Site(directory, free_port(), token, jwks, free_port())
    found: list[Peer] = []
    missing: list[Missing] = []
    for candidate in [*(make(site) for make in peers.PEERS), *spork_rows.rows(site)]:
        if isinstance(candidate, Missing):
            missing.append(candidate)
        elif not words or any(word in candidate.name.lower() for word in words):
            found.append(candidate)
    samples: list[Sample] = []
    raw: dict[str, Any] = {
        "machine": machine(),
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(peers.nginx_upstream(site), site.upstream, directory))
        if peers.find("redis-server"):
            stack.enter_context(
                running(
                    ["redis-server", "--port", str(site.redis_port), "--save", "", "--bind", "127.0.0.1"],
                    site.redis_port,
                    directory,
                )
            )
        pids = {peer.name: stack.enter_context(running(peer.command, peer.port, directory, peer.env)) for peer in found}
        for peer in found:
            warm = wrk(peer.url, 1.5, options.connections, peer.headers)
            if warm.errors:
                print(f"warning: {peer.name} answered {warm.errors} errors while warming up", file=sys.stderr)
        for number in range(options.rounds):
            for peer in found:
                one = sample(peer.name, pids[peer.name], peer.url, options.seconds, options.connections, peer.headers)
                samples.append(one)
                print(
                    f"round {number + 1} {one.peer:48} {one.cpu_us:8.1f} us  {one.rps:8.0f} rps",
                    file=sys.stderr,
                    flush=True,
                )
    raw["samples"] = [s.plain() for s in samples]
    parts = [
        "# Cost per request beside peers\n",
        f"{raw['at']}, {raw['machine']}. {options.connections} connections, small JSON, {options.rounds} rounds of {options.seconds:g} s in "
        "turn, one worker each; medians. CPU is user + system of the proxy's whole process tree.\n",
        table(samples, {p.name: p.note for p in found}),
        "",
        *(f"Not measured: {m.name} (needs {m.why})." for m in missing),
        "",
    ]
    if not options.no_extras:
        with contextlib.ExitStack() as stack:
            stack.enter_context(running(peers.nginx_upstream(site), site.upstream, directory))
            for title, text, data in extras.all_of(site, running):
                parts += [f"## {title}\n", text, ""]
                raw[title] = data
    parts.append(
        "Reproduce: `make bench` (all samples in `bench/results.json`; peers from PyPI are in `requirements/bench.txt`).\n"
    )
    return "\n".join(parts), raw


if __name__ == "__main__":
    main()
