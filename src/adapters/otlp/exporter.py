"""The exporter: one background thread that takes what the process recorded, encodes it and posts it to the collector.

While the collector does not take batches, at most one batch waits here and the rings in front drop their oldest. The thread
works in slices of about a millisecond between which requests have the interpreter. At the end of the process `stop` gives it
a bounded time to send what waits.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from spork.adapters.otlp.collector import Collector, Posted, Result
from spork.application.configuration.telemetry import OtlpExport
from spork.application.telemetry.otlp.wire import rejected, request_of, scope_of

log = logging.getLogger("spork.telemetry")

#: Longest time between a span and its batch, in seconds, while few come.
DELAY = 1.0
#: First and longest pause between two tries of a batch, and for how long it is tried, in seconds.
FIRST_PAUSE, LONGEST_PAUSE, GIVE_UP = 1.0, 30.0, 300.0
#: A batch grows to about so many bytes before it is sent.
BATCH_BYTES = 2 * 1024 * 1024
#: Seconds of work after which requests have their turn.
SLICE = 0.001

Item = tuple[int, Sequence[bytes]]


@dataclass(slots=True)
class Source:
    """One signal: what waits for it. `take` answers (count, encoded items) one by one, each made when it is asked for.

    `every` is the time between two takes in seconds, None for "as they come".
    """

    signal: str
    take: Callable[[], Iterable[Item]]
    scope_version: str = ""
    schema_url: str = ""
    every: float | None = None
    waiting: Callable[[], int] = lambda: 0


@dataclass(slots=True)
class Counts:
    """What became of the items of one signal. Written by the exporter's thread alone."""

    sent: int = 0
    failed: int = 0
    rejected: int = 0
    batches: dict[str, int] = field(default_factory=dict)

    def batch(self, result: str) -> None:
        self.batches[result] = self.batches.get(result, 0) + 1


class OtlpExporter:
    """Sends signals to the collector of the configuration in force. One per process; `start` makes its thread."""

    def __init__(
        self,
        sources: Sequence[Source],
        chance: Callable[[], float] = random.random,
        wake: threading.Event | None = None,
    ) -> None:
        """`wake` is set by whoever has a whole batch waiting."""
        self._sources = {source.signal: source for source in sources}
        self._chance = chance
        self.counts = {source.signal: Counts() for source in sources}
        self._settings: OtlpExport | None = None
        self._resource = b""
        self._collectors: dict[str, Collector] = {}
        self._changed = False
        self._wake = wake or threading.Event()
        self._stopping = threading.Event()
        self._deadline = float("inf")
        self._thread: threading.Thread | None = None
        self._complained = False

    # ------------------------------------------------------------------------------------- from the loop's thread

    def configure(self, settings: OtlpExport | None, resource: bytes) -> None:
        """Send to another collector, or nowhere, from the next batch on."""
        self._settings, self._resource = settings, resource
        self._changed = True
        self._wake.set()

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="telemetry-export", daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Send what waits, for at most so many seconds, and end. Blocks; what could not be sent is counted as failed."""
        self._deadline = time.monotonic() + seconds
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(seconds + 0.5)

    # ------------------------------------------------------------------------------------------------- the thread

    def _run(self) -> None:
        due: dict[str, float] = {}
        while not self._stopping.is_set():
            self._wake.wait(DELAY)
            self._wake.clear()
            try:
                self._round(due)
            except Exception:
                log.exception("exporting telemetry")
        try:
            self._round({})
        except Exception:
            log.exception("exporting telemetry at the end")
        for collector in self._collectors.values():
            collector.close()

    def _round(self, due: dict[str, float]) -> None:
        if self._changed:
            self._reconnect()
        for signal, collector in list(self._collectors.items()):
            source = self._sources[signal]
            now = time.monotonic()
            if source.every is not None:
                if due.get(signal, 0.0) > now:
                    continue
                every = self._settings.interval if self._settings is not None else source.every
                due[signal] = now + every
            self._send_all(source, collector)

    def _reconnect(self) -> None:
        self._changed = False
        for collector in self._collectors.values():
            collector.close()
        settings = self._settings
        self._collectors = {}
        if settings is None:
            return
        for signal in settings.signals:
            url = settings.endpoint(signal)
            if url and signal in self._sources:
                self._collectors[signal] = Collector(url, settings.headers, settings.compress, settings.timeout)

    def _send_all(self, source: Source, collector: Collector) -> None:
        """Everything that waits, in batches of bounded size."""
        batch: list[Item] = []
        size = 0
        turn = time.perf_counter()
        for item in source.take():
            batch.append(item)
            size += sum(map(len, item[1]))
            if size >= BATCH_BYTES:
                self._send(source, collector, batch)
                batch, size = [], 0
            if time.perf_counter() - turn > SLICE:
                time.sleep(0)  # lets go of the interpreter
                turn = time.perf_counter()
        if batch:
            self._send(source, collector, batch)

    def _send(self, source: Source, collector: Collector, batch: list[Item]) -> None:
        """One batch until it is taken, refused, or tried often enough."""
        counts = self.counts[source.signal]
        total = sum(count for count, _ in batch)
        scope = scope_of("spork", source.scope_version)
        content = request_of(self._resource, scope, [b for _, parts in batch for b in parts], source.schema_url)
        pause = FIRST_PAUSE
        given_up = time.monotonic() + GIVE_UP
        while True:
            left = self._deadline - time.monotonic()
            if left <= 0:
                break
            posted = collector.post(content, left)
            counts.batch(posted.result.value)
            if posted.result is Result.TAKEN:
                refused = min(total, rejected(posted.answer))
                counts.sent += total - refused
                counts.rejected += refused
                self._say(collector, posted)
                return
            if posted.result is Result.TOO_LARGE and len(batch) > 1:
                middle = len(batch) // 2
                self._send(source, collector, batch[:middle])
                self._send(source, collector, batch[middle:])
                return
            self._say(collector, posted)
            if posted.result is not Result.AGAIN or time.monotonic() >= given_up or self._changed:
                break
            wait = posted.wait if posted.wait is not None else pause * (0.5 + self._chance() / 2)
            pause = min(LONGEST_PAUSE, pause * 2)
            if not self._pause(wait):
                break
        counts.failed += total

    def _pause(self, seconds: float) -> bool:
        """Wait, but no longer than the process lives. False when there is no time for another try."""
        if self._stopping.is_set():
            if time.monotonic() + seconds >= self._deadline:
                return False
            time.sleep(seconds)
            return True
        self._stopping.wait(seconds)
        return True

    def _say(self, collector: Collector, posted: Posted) -> None:
        """Log the first failure of a row of them, and its end."""
        if posted.result is Result.TAKEN:
            if self._complained:
                log.info("telemetry is taken again by %s", _without_query(collector.url))
            self._complained = False
        elif not self._complained:
            self._complained = True
            log.warning("telemetry is not taken by %s: %s", _without_query(collector.url), posted.detail)

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        """For `spork.application.telemetry.families`."""
        for signal, counts in self.counts.items():
            if signal == "traces":
                yield ("gateway_spans_total", ("sent",), float(counts.sent))
                yield ("gateway_spans_total", ("failed",), float(counts.failed))
                yield ("gateway_spans_total", ("rejected",), float(counts.rejected))
            for result, number in list(counts.batches.items()):
                yield ("gateway_telemetry_batches_total", (signal, result.replace(" ", "_")), float(number))
            yield ("gateway_telemetry_waiting", (signal,), float(self._sources[signal].waiting()))


def _without_query(url: str) -> str:
    return url.partition("?")[0]
