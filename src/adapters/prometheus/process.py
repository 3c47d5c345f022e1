"""What the operating system says of this process, for metrics and resource use."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterator


class ProcessMeter:
    """CPU, memory, descriptors (`application.metering.Meter`)."""

    def __init__(self) -> None:
        self._page = os.sysconf("SC_PAGE_SIZE")
        self.started = time.time()

    def samples(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        yield ("process_cpu_seconds_total", (), usage.ru_utime + usage.ru_stime)
        yield ("process_resident_memory_bytes", (), float(self.resident()))
        yield ("process_start_time_seconds", (), self.started)
        descriptors = self.descriptors()
        if descriptors is not None:
            yield ("process_open_fds", (), float(descriptors))

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
