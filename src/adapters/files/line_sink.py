"""A sink for log lines that never makes the event loop wait: batches in memory, one writer thread, bounded, loss counted.

The loop only appends bytes to a list; twenty times a second the list goes to a thread that writes it. While the
descriptor is stuck (a full pipe, a dead disk) at most `bound` bytes wait; what comes then is dropped and counted, and
the count is written as a line of its own when the sink moves again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable


class LineSink:
    """Writes lines to a file descriptor from a thread. `put` is for the event loop's thread or any other.

    `open()` starts the thread; `close(seconds)` flushes for at most that long and gives up on a stuck sink.
    """

    def __init__(
        self,
        write: Callable[[bytes], None],
        bound: int = 8 * 1024 * 1024,
        every: float = 0.05,
        prepare: Callable[[], None] | None = None,
        reopen: Callable[[], None] | None = None,
    ) -> None:
        self._write = write
        self._bound = bound
        self._every = every
        self._prepare = prepare
        self._reopen = reopen
        self._lines: list[bytes] = []
        # Each has one writer only (the loop, the thread), so that no lock is needed.
        self._accepted = 0
        self._done = 0
        self._scheduled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._batches: deque[list[bytes]] = deque()
        self._wake = threading.Semaphore(0)
        self._writer: threading.Thread | None = None
        self._stopping = False
        self._reopening = False
        #: Lines dropped because the sink was stuck, lines whose write failed, and failed writes.
        self.lost = 0
        self.failed = 0
        self.errors = 0
        self.written = 0
        self._reported = 0

    def open(self) -> None:
        """Start the writer. Called inside the running loop, batches are flushed by its timer; else on each `put`.

        Raises OSError when the file cannot be opened.
        """
        if self._prepare is not None:
            self._prepare()
        with contextlib.suppress(RuntimeError):
            self._loop = asyncio.get_running_loop()
        self._writer = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._writer.start()

    def put(self, line: bytes) -> None:
        """Take one line, without its newline. Never blocks."""
        size = len(line) + 1
        if self._accepted - self._done + size > self._bound:
            self.lost += 1
            return
        self._accepted += size
        self._lines.append(line)
        if not self._scheduled:
            self._schedule()

    def put_from_thread(self, line: bytes) -> None:
        """As `put`, from a thread other than the loop's."""
        if self._loop is None:
            self.put(line)
            return
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody is left to write it
            self._loop.call_soon_threadsafe(self.put, line)

    def _schedule(self) -> None:
        if self._loop is None:
            self.flush()
            return
        self._scheduled = True
        self._loop.call_later(self._every, self.flush)

    def flush(self) -> None:
        """Hand what was collected to the writer."""
        self._scheduled = False
        if self._lines:
            batch, self._lines = self._lines, []
            self._batches.append(batch)
            self._wake.release()

    def reopen(self) -> None:
        """Open the file anew before the next write (log rotation). Does nothing for a stream."""
        self._reopening = True
        self._wake.release()

    @property
    def waiting(self) -> int:
        """Bytes accepted and not yet written."""
        return self._accepted - self._done

    def close(self, seconds: float = 1.0) -> None:
        self.flush()
        self._stopping = True
        self._wake.release()
        if self._writer is not None:
            self._writer.join(seconds)
            self._writer = None

    def _run(self) -> None:
        while True:
            self._wake.acquire()
            if self._reopening and self._reopen is not None:
                self._reopening = False
                with contextlib.suppress(OSError):
                    self._reopen()
            while self._batches:
                self._write_batch(self._batches.popleft())
            if self._stopping:
                return

    def _write_batch(self, batch: list[bytes]) -> None:
        joined = b"\n".join(batch) + b"\n"
        lost = self.lost
        try:
            if lost > self._reported:
                self._write(b'{"level":"warning","event":"log.lost","lines":%d}\n' % (lost - self._reported))
                self._reported = lost
            self._write(joined)
            self.written += len(batch)
        except (OSError, ValueError):
            self.errors += 1
            self.failed += len(batch)
        self._done += len(joined)


def file_writer(descriptor: int) -> Callable[[bytes], None]:
    """A write that writes all of it."""

    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.write(descriptor, view)
            view = view[written:]

    return write


class LogFile:
    """A log file for appending, that can be opened anew after rotation."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1

    def open(self) -> None:
        """Raises OSError; also for a pipe that nobody reads, which would else stop the process until somebody does."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        self._descriptor = os.open(self._path, flags, 0o640)
        os.set_blocking(self._descriptor, True)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.write(self._descriptor, view)
            view = view[written:]

    def reopen(self) -> None:
        old = self._descriptor
        self.open()
        os.close(old)


def line_sink(where: str, bound: int = 8 * 1024 * 1024) -> LineSink:
    """The sink for `stdout`, `stderr`, or a file's path; `off` gives one that nothing should be put into."""
    if where == "off":
        return LineSink(lambda data: None, bound)
    if where in ("stdout", "stderr"):
        return LineSink(file_writer(1 if where == "stdout" else 2), bound)
    file = LogFile(where)
    return LineSink(file.write, bound, prepare=file.open, reopen=file.reopen)
