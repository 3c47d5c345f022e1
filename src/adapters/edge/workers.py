"""Several worker processes behind the same listening sockets.

The parent makes the sockets, forks, and then only watches: a worker that dies is started again, after a pause that
grows while it keeps dying. Signals go to the workers through the parent; workers leave the terminal's process group, so
that one Ctrl-C is one signal. A worker whose parent is gone ends as if told to.

Each worker's event loop beats (`Pulses`); one that stops beating is hung, and is killed and replaced. Sockets are accepted on
by somebody or are closed: the parent lets go of its copies as soon as it is told to stop.
"""

from __future__ import annotations

import logging
import mmap
import os
import signal
import struct
import threading
import time
from collections.abc import Callable
from types import FrameType

from spork.adapters.edge.handover import Successor

log = logging.getLogger("spork.edge")

#: Seconds a worker's loop may stand still before it counts as hung.
HUNG_AFTER = 10.0

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
#: A worker that lived this many seconds was not failing at start-up: its next death pauses from the beginning.
_LIVED = 10.0
_LOOK = 0.1


class Pulses:
    """A counter per worker in memory that parent and workers share; a worker's loop moves its own on."""

    def __init__(self, count: int) -> None:
        self._memory = mmap.mmap(-1, 8 * count)

    def beat(self, index: int) -> None:
        struct.pack_into("q", self._memory, 8 * index, self.read(index) + 1)

    def read(self, index: int) -> int:
        return int(struct.unpack_from("q", self._memory, 8 * index)[0])

    def clear(self, index: int) -> None:
        struct.pack_into("q", self._memory, 8 * index, 0)


class _Silence:
    """How long a pulse has not moved, in seconds of this process's own attention: its own stalls do not count."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._pulse = 0
        self._looked = time.monotonic()

    def look(self, pulse: int) -> float:
        now = time.monotonic()
        if pulse != self._pulse or not pulse:  # it has not begun to beat: still starting
            self.seconds, self._pulse = 0.0, pulse
        else:
            self.seconds += min(now - self._looked, 1.0)
        self._looked = now
        return self.seconds


class _Worker:
    """One place for a worker process; `pid` is 0 while nobody fills it."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.pid = 0
        self.since = 0.0
        self.pause = 0.0
        self.due = 0.0
        self.silence = _Silence()


class Supervisor:
    """Keeps `count` processes running `target(index)` until told to stop. POSIX only, before any thread or loop."""

    def __init__(
        self,
        count: int,
        target: Callable[[int], None],
        pulses: Pulses | None = None,
        release: Callable[[], None] | None = None,
        hung_after: float = HUNG_AFTER,
        succeed: Callable[[], Successor] | None = None,
    ) -> None:
        """`pulses`: what the workers' loops beat in; `release` closes the parent's copies of the listening sockets;
        `succeed` starts a successor with them."""
        self._succeed = succeed
        self._pulses = pulses
        self._release = release
        self._hung_after = hung_after
        self._target = target
        self._workers = [_Worker(index) for index in range(count)]
        self._stops = 0
        self._reloads = 0
        self._reopens = 0
        self._handovers = 0
        self._successor: Successor | None = None
        self._lifeline = os.pipe()

    def run(self) -> int:
        """Supervise until every worker has ended after a SIGTERM or SIGINT. The exit code: 0 when all ended with 0."""
        before = {
            number: signal.signal(number, handler)
            for number, handler in (
                (signal.SIGTERM, self._note_stop),
                (signal.SIGINT, self._note_stop),
                (signal.SIGHUP, self._note_reload),
                (signal.SIGUSR1, self._note_reopen),
                (signal.SIGUSR2, self._note_handover),
            )
        }
        code = 0
        told_stops = told_reloads = told_reopens = 0
        try:
            while True:
                if told_reloads < self._reloads:
                    told_reloads = self._reloads
                    self._tell(signal.SIGHUP)
                if told_reopens < self._reopens:
                    told_reopens = self._reopens
                    self._tell(signal.SIGUSR1)
                if self._handovers:
                    self._handovers = 0
                    self._start_successor()
                if self._successor is not None and self._taken_over(self._successor):
                    self._tell(signal.SIGUSR2)
                    self._stops += 1
                    told_stops += 1
                    if self._release is not None:
                        self._release()
                        self._release = None
                if told_stops < self._stops:
                    told_stops += 1
                    self._tell(signal.SIGTERM)
                    if self._release is not None:
                        self._release()
                        self._release = None
                self._kill_hung()
                code = max(code, self._reap())
                if self._stops and not any(worker.pid for worker in self._workers):
                    return code
                if not self._stops:
                    self._fill()
                time.sleep(_LOOK)  # a signal's handler runs at once and its flag is seen on the next look
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self._lifeline[0])
            os.close(self._lifeline[1])

    def _note_stop(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._stops += 1

    def _note_reload(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._reloads += 1

    def _note_reopen(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._reopens += 1

    def _note_handover(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._handovers += 1

    def _start_successor(self) -> None:
        if self._succeed is None or self._successor is not None or self._stops:
            return
        try:
            self._successor = self._succeed()
        except OSError as error:
            log.error("a successor cannot be started: %s", error)

    def _taken_over(self, successor: Successor) -> bool:
        serves = successor.serves()
        if serves is not None:
            self._successor = None
        return serves is True

    def _tell(self, number: int) -> None:
        for worker in self._workers:
            if worker.pid:
                try:
                    os.kill(worker.pid, number)
                except ProcessLookupError:
                    continue

    def _reap(self) -> int:
        """Take note of workers that ended; the worst exit code among those that were told to."""
        worst = 0
        for worker in self._workers:
            if not worker.pid:
                continue
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if not pid:
                continue
            worker.pid = 0
            code = os.waitstatus_to_exitcode(status)
            if self._stops:
                told = code == -signal.SIGTERM  # it was still starting, and had no handler yet: it did as it was told
                worst = max(worst, 0 if told else abs(code))
                continue
            now = time.monotonic()
            lived = now - worker.since
            worker.pause = _FIRST_PAUSE if lived >= _LIVED else min(max(worker.pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
            worker.due = now + worker.pause
            log.error("worker %d ended with %d, next try in %.1f s", worker.index, code, worker.pause)
        return worst

    def _kill_hung(self) -> None:
        """Kill workers whose loops stand still: their connections hang and would for ever."""
        if self._pulses is None:
            return
        for worker in self._workers:
            if worker.pid and worker.silence.look(self._pulses.read(worker.index)) > self._hung_after:
                log.error("worker %d has hung for %.0f s: it is killed", worker.index, worker.silence.seconds)
                worker.silence = _Silence()
                os.kill(worker.pid, signal.SIGKILL)

    def _fill(self) -> None:
        """Start the workers that are due."""
        now = time.monotonic()
        for worker in self._workers:
            if not worker.pid and worker.due <= now:
                worker.since = now
                worker.silence = _Silence()
                if self._pulses is not None:
                    self._pulses.clear(worker.index)
                worker.pid = self._fork(worker.index)

    def _fork(self, index: int) -> int:
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            os.setpgid(0, 0)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
                signal.signal(number, signal.SIG_DFL)
            os.close(self._lifeline[1])
            threading.Thread(target=self._follow, args=(index,), daemon=True).start()
            self._target(index)
            code = 0
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
        except BaseException:
            log.exception("worker %d failed", index)
        finally:
            logging.shutdown()
            os._exit(code)

    def _follow(self, index: int) -> None:
        """In a worker: end when the parent's end of the pipe closes, which it does however the parent dies.

        A loop that hangs hears no signal, and nobody is left to kill it: then the process ends at once, so that its
        sockets do not accept for nobody.
        """
        os.read(self._lifeline[0], 1)
        os.kill(os.getpid(), signal.SIGTERM)
        silence = _Silence()
        while self._pulses is not None:
            time.sleep(0.5)
            if silence.look(self._pulses.read(index)) > self._hung_after:
                os._exit(1)


def supervise(
    count: int,
    target: Callable[[int], None],
    pulses: Pulses | None = None,
    release: Callable[[], None] | None = None,
    succeed: Callable[[], Successor] | None = None,
) -> int:
    """Run `target(index)` in `count` processes that share this process's open sockets; the exit code to end with.

    See `Supervisor` for `pulses`, `release` and `succeed`.
    """
    return Supervisor(count, target, pulses, release, succeed=succeed).run()
