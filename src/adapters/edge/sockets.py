"""Listening sockets, made once by the first process so that workers can share them."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path


class CannotListen(Exception):
    """An address cannot be listened on. `host`, `port`; `busy` when another program has it. str() is one sentence."""

    def __init__(self, host: str, port: int, error: OSError) -> None:
        self.host = host
        self.port = port
        self.busy = error.errno == errno.EADDRINUSE
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if host.startswith("unix:"):
            where = host
        why = "another program is listening there" if self.busy else error.strerror or str(error)
        super().__init__(f"cannot listen on {where}: {why}")


def listening_socket(host: str, port: int, backlog: int = 2048) -> socket.socket:
    """A bound, listening, inheritable TCP socket; port 0 takes a free one. Raises CannotListen."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotListen(host, port, error) from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind(address)
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise CannotListen(host, port, error) from error
    sock.setblocking(False)
    sock.set_inheritable(True)
    return sock


def unix_socket(path: str, backlog: int = 2048) -> socket.socket:
    """A bound, listening, inheritable unix socket at `path`, for this user and group; one that a process left behind is
    replaced. Raises CannotListen."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.stat(path).st_mode) and not _answers(path):
                os.unlink(path)
        sock.bind(path)
        os.chmod(path, 0o660)
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise CannotListen(f"unix:{path}", 0, error) from error
    sock.setblocking(False)
    sock.set_inheritable(True)
    return sock


def socket_at(listen: str) -> socket.socket:
    """The listening socket at `host:port` or `unix:PATH`. Raises CannotListen."""
    if listen.startswith("unix:"):
        return unix_socket(listen.removeprefix("unix:"))
    host, _, port = listen.rpartition(":")
    return listening_socket(host.strip("[]") or "0.0.0.0", int(port))  # noqa: S104 - the operator wrote `:port`


def _answers(path: str) -> bool:
    """Whether a process listens at `path`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
        return True
