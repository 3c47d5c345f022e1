"""One collector's address: a batch is posted, and what became of it is a value.

Standard library's client, in the exporter's own thread: nothing of the gateway's transports or tracing is involved, so that
exporting makes no spans. An answer is read up to a bound; a collector that drips is cut off by a timer.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

#: Answers that ask for another try (OTLP specification, "Retryable Response Codes").
RETRYABLE = frozenset((429, 502, 503, 504))
#: Most bytes of an answer that are looked at.
_ANSWER = 64 * 1024
#: Longest wait that a collector may ask for, in seconds.
LONGEST_WAIT = 60.0


class Result(Enum):
    TAKEN = "taken"
    TOO_LARGE = "too large"
    AGAIN = "again"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of a batch. `wait` in seconds is what the collector asked for; `detail` is for the log."""

    result: Result
    detail: str = ""
    wait: float | None = None
    answer: bytes = b""


class Collector:
    """Posts to one URL over a kept connection. For one thread.

    `url` is http or https. `timeout` in seconds is for a whole batch, whatever the collector does.
    """

    def __init__(self, url: str, headers: Sequence[tuple[str, str]], compress: bool, timeout: float) -> None:
        parts = urlsplit(url)
        self.url = url
        self._https = parts.scheme == "https"
        self._host = parts.hostname or "localhost"
        self._port = parts.port or (443 if self._https else 80)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {
            "content-type": "application/x-protobuf",
            "user-agent": "OTel-OTLP-Exporter-Spork",
            **dict(headers),
        }
        self._compress = compress
        self.timeout = timeout
        self._connection: http.client.HTTPConnection | None = None

    def post(self, batch: bytes, timeout: float | None = None) -> Posted:
        """Send one request. Never raises."""
        seconds = self.timeout if timeout is None else min(timeout, self.timeout)
        headers = dict(self._headers)
        if self._compress:
            batch = _gzip(batch)
            headers["content-encoding"] = "gzip"
        reused = self._connection is not None
        posted = self._once(batch, headers, seconds)
        if posted is None and reused:  # closed by the collector while it was idle
            posted = self._once(batch, headers, seconds)
        return posted or Posted(Result.AGAIN, "the collector closed the connection")

    def _once(self, batch: bytes, headers: dict[str, str], seconds: float) -> Posted | None:
        """None when the connection was closed before any answer."""
        connection = self._connection or self._connect(seconds)
        self._connection = connection
        watch = threading.Timer(seconds, _cut, (connection,))
        watch.daemon = True
        watch.start()
        try:
            connection.timeout = seconds
            if connection.sock is not None:
                connection.sock.settimeout(seconds)
            connection.request("POST", self._path, batch, headers)
            answer = connection.getresponse()
            content = answer.read(_ANSWER + 1)
            if len(content) > _ANSWER or answer.will_close:
                self.close()
            return _judged(answer.status, answer.getheader("retry-after"), content[:_ANSWER])
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            self.close()
            return None
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            return Posted(Result.AGAIN, f"{type(error).__name__}: {error}")
        finally:
            watch.cancel()

    def _connect(self, seconds: float) -> http.client.HTTPConnection:
        if self._https:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=seconds, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=seconds)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _judged(status: int, retry_after: str | None, content: bytes) -> Posted:
    if 200 <= status < 300:
        return Posted(Result.TAKEN, answer=content)
    if status == 413:
        return Posted(Result.TOO_LARGE, "413")
    if status in RETRYABLE:
        return Posted(Result.AGAIN, str(status), _seconds(retry_after))
    return Posted(Result.REFUSED, str(status))


def _seconds(retry_after: str | None) -> float | None:
    """Whole seconds of Retry-After, bounded; a date is not understood and ignored."""
    if retry_after is None or not retry_after.strip().isdigit() or len(retry_after) > 9:
        return None
    return min(LONGEST_WAIT, float(int(retry_after)))


def _gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def _cut(connection: http.client.HTTPConnection) -> None:
    """End what takes longer than it may: the waiting read then fails."""
    sock = connection.sock
    if sock is not None:
        import socket

        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
