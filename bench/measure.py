"""Measuring processes from outside: CPU of a whole tree, memory, and a load from wrk."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """`pid` and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, queue = [], [pid]
    while queue:
        current = queue.pop()
        found.append(current)
        queue += children.get(current, [])
    return found


def cpu_seconds(pid: int) -> float:
    """User and system CPU of the tree so far, including children already reaped. Nanosecond clock where it exists."""
    total = 0.0
    for member in tree(pid):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        nanoseconds = 0
        try:
            for task in Path(f"/proc/{member}/task").iterdir():
                nanoseconds += int((task / "schedstat").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            nanoseconds = 0
        own = nanoseconds / 1e9 if nanoseconds else (int(fields[11]) + int(fields[12])) / TICKS
        total += own + (int(fields[13]) + int(fields[14])) / TICKS
    return total


def rss_mib(pid: int) -> float:
    """Resident memory of the tree in MiB (shared pages counted once per process, as `ps` does)."""
    total = 0
    for member in tree(pid):
        try:
            status = Path(f"/proc/{member}/status").read_text()
        except OSError:
            continue
        found = re.search(r"VmRSS:\s+(\d+)", status)
        total += int(found.group(1)) if found else 0
    return total / 1024


@dataclass
class Load:
    """What one wrk run says. Latencies in milliseconds."""

    requests: int
    seconds: float
    rps: float
    p50: float
    p99: float
    errors: int


@dataclass
class Sample:
    """One round of one peer. `cpu_us` is CPU microseconds per request of the proxying process tree."""

    peer: str
    cpu_us: float
    rps: float
    p50: float
    p99: float
    rss: float
    requests: int
    errors: int

    def plain(self) -> dict[str, object]:
        return asdict(self)


_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60000.0}


def _ms(text: str) -> float:
    found = re.match(r"([\d.]+)(us|ms|s|m)", text)
    return float(found.group(1)) * _UNITS[found.group(2)] if found else 0.0


def wrk(url: str, seconds: float, connections: int, headers: dict[str, str] | None = None, script: str = "") -> Load:
    """One wrk thread against `url`."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency"]
    for name, value in (headers or {}).items():
        command += ["-H", f"{name}: {value}"]
    if script:
        command += ["-s", script]
    out = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    requests, took = re.search(r"(\d+) requests in ([\d.]+\w+)", out).groups()  # type: ignore[union-attr]
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    errors = (int(bad.group(1)) if bad else 0) + (sum(map(int, sockets.groups())) if sockets else 0)
    percentile = dict(re.findall(r"(50|99)%\s+([\d.]+\w+)", out))
    rps = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))  # type: ignore[union-attr]
    return Load(int(requests), _ms(took) / 1000, rps, _ms(percentile["50"]), _ms(percentile["99"]), errors)


def sample(peer: str, pid: int, url: str, seconds: float, connections: int, headers: dict[str, str]) -> Sample:
    """CPU per request of the tree under `pid` while wrk loads `url`."""
    before = cpu_seconds(pid)
    load = wrk(url, seconds, connections, headers)
    used = cpu_seconds(pid) - before
    return Sample(
        peer, used / max(load.requests, 1) * 1e6, load.rps, load.p50, load.p99, rss_mib(pid), load.requests, load.errors
    )
