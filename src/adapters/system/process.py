"""What the operating system says of this process, for metrics and resource use."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator

from spork.application.kernel.descriptors import Descriptors
from spork.application.views import ComponentHealth


def descriptor_limit() -> int | None:
    """How many descriptors this process may have; None for as many as it likes."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if most == resource.RLIM_INFINITY else most


def raise_descriptor_limit() -> None:
    """Take as many descriptors as this process may have without asking anybody: a soft limit is for programs that
    cannot deal with many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard and hard != resource.RLIM_INFINITY:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class ProcessMeter:
    """CPU, memory, descriptors (`application.metering.Meter`)."""

    name = "process"

    def __init__(self, descriptors: Descriptors | None = None) -> None:
        self._descriptors = descriptors
        self._page = os.sysconf("SC_PAGE_SIZE")
        self.started = time.time()

    def samples(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        yield ("process_cpu_seconds_total", (), usage.ru_utime + usage.ru_stime)
        yield ("process_resident_memory_bytes", (), float(self.resident()))
        yield ("process_start_time_seconds", (), self.started)
        if self._descriptors is not None:
            yield from self._descriptors.samples()
        descriptors = self.descriptors()
        if descriptors is not None:
            yield ("process_open_fds", (), float(descriptors))

    def health(self) -> ComponentHealth:
        """What the process uses (`insight.Component`); degraded when nine tenths of its descriptors are taken."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        descriptors, most = self.descriptors(), resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        facts: dict[str, object] = {
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
            "resident_bytes": self.resident(),
            "open_fds": descriptors,
            "fds_limit": None if most == resource.RLIM_INFINITY else most,
            "threads": threading.active_count(),
            "up_for_seconds": round(time.time() - self.started, 1),
        }
        memory = f"{self.resident() / 2**20:.0f} MiB, {descriptors if descriptors is not None else '?'} descriptors"
        short = descriptors is not None and most != resource.RLIM_INFINITY and descriptors > 0.9 * most
        if self._descriptors is not None and self._descriptors.short:
            short = True
        return ComponentHealth(
            self.name, "degraded" if short else "ok", f"{memory} of {most}" if short else memory, facts=facts
        )

    def resident(self) -> int:
        """Resident memory in bytes; where /proc is missing, the largest it has been."""
        try:
            with open("/proc/self/statm", "rb") as file:
                return int(file.read().split()[1]) * self._page
        except OSError:
            largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return largest if sys.platform == "darwin" else largest * 1024

    def descriptors(self) -> int | None:
        try:
            return len(os.listdir("/proc/self/fd"))
        except OSError:
            return None
