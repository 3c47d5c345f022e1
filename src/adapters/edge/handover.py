"""Handing listening sockets to a successor, so that the program itself is replaced without a refused connection.

The successor is the same command line, started with the sockets open; it says on a pipe that it serves, and only then
does the predecessor stop accepting and finish what it has. Connections that wait in a socket's queue meanwhile are the
successor's. One that does not start changes nothing.

Sockets also come from systemd (`LISTEN_FDS`), which keeps them while the service restarts.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, MutableMapping
from typing import Final

log = logging.getLogger("spork.edge")

#: `data=5,admin=6`: sockets that a predecessor left open, by what they are for.
SOCKETS: Final = "SPORK_SOCKETS"
#: The end of a pipe on which a successor says that it serves.
READY: Final = "SPORK_READY_FD"
_FIRST_FD: Final = 3
_SERVING: Final = b"serving\n"


class Inherited:
    """Listening sockets that were open when this process began, each to be taken once."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Takes what names them out of `environment`: children of this process are not meant."""
        self._named: dict[str, socket.socket] = {}
        self._others: list[socket.socket] = []
        for pair in environment.pop(SOCKETS, "").split(","):
            name, _, number = pair.partition("=")
            if number.isdigit():
                self._adopt(name, int(number))
        pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
        names = environment.pop("LISTEN_FDNAMES", "").split(":")
        if pid == str(os.getpid()) and count.isdigit():
            for index in range(int(count)):
                self._adopt(names[index] if index < len(names) else "", _FIRST_FD + index)

    def _adopt(self, name: str, number: int) -> None:
        try:
            sock = socket.socket(fileno=number)
            if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                raise OSError("it does not listen")
        except OSError as error:
            log.warning("descriptor %d is no listening socket and is not used: %s", number, error)
            return
        sock.setblocking(False)
        sock.set_inheritable(True)
        if name and name not in self._named:
            self._named[name] = sock
        else:
            self._others.append(sock)

    def take(self, name: str, port: int) -> socket.socket | None:
        """The socket that is for `name`, or listens on `port`; None when there is none."""
        sock = self._named.pop(name, None)
        if sock is not None and port in (0, _port(sock)):
            return sock
        if sock is not None:
            self._others.append(sock)
        if port > 0:
            for other in self._others:
                if _port(other) == port:
                    self._others.remove(other)
                    return other
            for known, other in list(self._named.items()):
                if _port(other) == port:
                    return self._named.pop(known)
        return None

    def close(self) -> None:
        """Let go of what nobody took: the configuration names other addresses now."""
        for sock in (*self._named.values(), *self._others):
            sock.close()
        self._named.clear()
        self._others.clear()


def port_of(listen: str) -> int:
    """The port of a written address; -1 for a unix socket."""
    return -1 if listen.startswith("unix:") else int(listen.rpartition(":")[2])


def _port(sock: socket.socket) -> int:
    name = sock.getsockname()
    return int(name[1]) if isinstance(name, tuple) else -1


class Successor:
    """The process that takes over. `ready` is readable once it serves, or has ended."""

    def __init__(self, sockets: Mapping[str, socket.socket]) -> None:
        """Starts it. Raises OSError."""
        self.ready, told = os.pipe()
        numbers = {name: sock.fileno() for name, sock in sockets.items()}
        environment = {key: value for key, value in os.environ.items() if key not in ("SPORK_WORKER", "SPORK_RUN")}
        environment[SOCKETS] = ",".join(f"{name}={number}" for name, number in numbers.items())
        environment[READY] = str(told)
        try:
            self._process = subprocess.Popen(
                [sys.executable, *sys.orig_argv[1:]],
                env=environment,
                pass_fds=(*numbers.values(), told),
                start_new_session=False,
            )
        except OSError:
            os.close(self.ready)
            raise
        finally:
            os.close(told)
        os.set_blocking(self.ready, False)

    def serves(self) -> bool | None:
        """Whether it serves; None while it is not known. False: it ended without."""
        try:
            said = os.read(self.ready, 64)
        except BlockingIOError:
            return None
        os.close(self.ready)
        if said == _SERVING:
            log.info("a successor serves (process %d): this one finishes what it has", self._process.pid)
            return True
        log.error("the successor did not start (%s): this process goes on", self._process.wait())
        return False


def serving(environment: MutableMapping[str, str]) -> None:
    """Tell a predecessor, and systemd, that this process serves."""
    told = environment.pop(READY, "")
    if told.isdigit():
        with contextlib.suppress(OSError):
            os.write(int(told), _SERVING)
            os.close(int(told))
    place = environment.get("NOTIFY_SOCKET", "")
    if place:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.connect("\0" + place[1:] if place.startswith("@") else place)
            notify.send(f"READY=1\nMAINPID={environment.get('SPORK_MAIN_PID', os.getpid())}".encode())
