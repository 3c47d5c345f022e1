"""Raw sockets on both ends of a gateway: what goes in and what comes out, byte for byte."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Script = Callable[["Visit"], None]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Visit:
    """One connection at the target. `requests` are the raw bytes of each request read so far."""

    sock: socket.socket
    number: int
    requests: list[bytes] = field(default_factory=list)
    buffer: bytes = b""

    def read_request(self) -> bytes | None:
        """One whole request (Content-Length or chunked), or None when the gateway closed."""
        while b"\r\n\r\n" not in self.buffer:
            if not self._more():
                return None
        head, _, rest = self.buffer.partition(b"\r\n\r\n")
        lower = head.lower()
        if b"\r\ntransfer-encoding: chunked" in lower:
            while b"0\r\n\r\n" not in rest:
                if not self._more():
                    return None
                rest = self.buffer.partition(b"\r\n\r\n")[2]
            body, _, left = rest.partition(b"0\r\n\r\n")
            body += b"0\r\n\r\n"
        else:
            length = 0
            for line in lower.split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            while len(rest) < length:
                if not self._more():
                    return None
                rest = self.buffer.partition(b"\r\n\r\n")[2]
            body, left = rest[:length], rest[length:]
        self.buffer = left
        request = head + b"\r\n\r\n" + body
        self.requests.append(request)
        return request

    def _more(self) -> bool:
        data = self.sock.recv(65536)
        self.buffer += data
        return bool(data)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def closed_by_peer(self, seconds: float) -> bool:
        """Whether the gateway ends this connection within `seconds`."""
        self.sock.settimeout(seconds)
        try:
            while self.sock.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True


class RawTarget:
    """A target whose every connection runs `script` in a thread of its own. `requests` has all that arrived."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or answer_all
        self.visits: list[Visit] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[bytes]:
        return [request for visit in self.visits for request in visit.requests]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                visit = Visit(sock, len(self.visits) + 1)
                self.visits.append(visit)
            threading.Thread(target=self._run, args=(visit,), daemon=True).start()

    def _run(self, visit: Visit) -> None:
        with contextlib.suppress(OSError), visit.sock:
            self.script(visit)

    def close(self) -> None:
        self._listener.close()
        for visit in self.visits:
            with contextlib.suppress(OSError):
                visit.sock.close()


@contextlib.contextmanager
def raw_target(script: Script | None = None) -> Iterator[RawTarget]:
    target = RawTarget(script)
    try:
        yield target
    finally:
        target.close()


def answer_all(visit: Visit) -> None:
    """200 ok to everything, on a kept connection."""
    while visit.read_request() is not None:
        visit.send(OK)


class Client:
    """A raw client connection to a gateway."""

    def __init__(self, port: int, timeout: float = 10.0) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.buffer = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read_head(self) -> bytes:
        """Everything up to the blank line after the next head."""
        while b"\r\n\r\n" not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(self.buffer)
            self.buffer += data
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    def read_exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(self.buffer)
            self.buffer += data
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def read_answer(self) -> tuple[bytes, bytes]:
        """One whole answer with a Content-Length: head and body."""
        head = self.read_head()
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return head, self.read_exactly(length)

    def read_to_end(self) -> bytes:
        """Everything until the gateway closes; raises ConnectionResetError when it resets."""
        while data := self.sock.recv(65536):
            self.buffer += data
        data, self.buffer = self.buffer, b""
        return data


def ask(port: int, request: bytes) -> tuple[int, bytes, bytes]:
    """One request on a connection of its own: status, head and body of the answer."""
    with Client(port) as client:
        client.send(request)
        head, body = client.read_answer()
    return int(head.split(b" ", 2)[1]), head, body
