"""A recording of what a gateway told a console: every answer to a GET and every event of the stream, with its time.

One JSON object a line (gzip if the file's name ends in .gz): {"at": Unix seconds, "path": ..., "query": ..., "text": ...}, with
`path` "stream" for events. Requests, and so tokens, are never in it; nor are answers to writes, and so no new secrets.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TextIO, cast

import httpx

STREAM = "stream"
PREFIX = "/admin/v1/"
FLUSH_SECONDS = 2.0
"""A recorder that is killed loses so much at most."""


class BadRecording(ValueError):
    """The file is no recording; the message says why."""


def opened(path: Path, mode: str) -> TextIO:
    """The file as text, unpacked if its name says it is packed."""
    packed = path.name.endswith(".gz")
    return cast(TextIO, gzip.open(path, mode + "t", encoding="utf-8") if packed else path.open(mode, encoding="utf-8"))


class Recorder:
    """Writes entries as they come; `close` when done."""

    def __init__(self, path: Path, wall: Callable[[], float] = time.time) -> None:
        self._path = path
        self._file = opened(path, "w")
        self._wall = wall
        self.entries = 0
        self._flushed = wall()

    def write(self, path: str, query: str, text: str) -> None:
        entry = {"at": round(self._wall(), 3), "path": path, "query": query, "text": text}
        self._file.write(json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n")
        self.entries += 1
        if self._wall() - self._flushed >= FLUSH_SECONDS:
            self._flushed = self._wall()
            self._file.flush()

    def close(self) -> int:
        """Answers how many bytes the file has."""
        self._file.close()
        return self._path.stat().st_size


class RecordingTransport(httpx.AsyncBaseTransport):
    """Hands requests on, and what comes back to a recorder too."""

    def __init__(self, inner: httpx.AsyncBaseTransport, recorder: Recorder) -> None:
        self._inner = inner
        self._recorder = recorder

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        path = request.url.path.removeprefix(PREFIX)
        if request.method != "GET" or answer.status_code != 200:
            return answer
        if path == STREAM:
            pieces = _pieces(cast(httpx.AsyncByteStream, answer.stream), self._recorder)
            return httpx.Response(200, headers=answer.headers, stream=pieces, extensions=answer.extensions)
        await answer.aread()
        self._recorder.write(path, request.url.query.decode(), answer.text)
        return answer

    async def aclose(self) -> None:
        await self._inner.aclose()


class _pieces(httpx.AsyncByteStream):
    """The stream's bytes as they come; each whole event is recorded once its last byte is here."""

    def __init__(self, inner: httpx.AsyncByteStream, recorder: Recorder) -> None:
        self._inner = inner
        self._recorder = recorder

    async def __aiter__(self) -> AsyncIterator[bytes]:
        rest = b""
        async for chunk in self._inner:
            *whole, rest = (rest + chunk).split(b"\n\n")
            for event in whole:
                self._recorder.write(STREAM, "", event.decode("utf-8", "replace"))
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


def load(path: Path) -> list[dict[str, Any]]:
    """The entries of a recording in order of time. One that was cut off is read as far as it goes. Raises BadRecording."""
    entries: list[dict[str, Any]] = []
    try:
        with opened(path, "r") as file:
            for number, line in enumerate(file, 1):
                try:
                    entry = json.loads(line)
                    entries.append({"at": float(entry["at"]), "path": str(entry["path"]), "query": str(entry["query"]),
                                    "text": str(entry["text"])})  # fmt: skip
                except (ValueError, KeyError, TypeError) as error:
                    if number == 1 or line.endswith("\n"):
                        raise BadRecording(f"{path}, line {number}: no entry of a recording") from error
    except EOFError:
        pass  # packed, and ended in the middle
    except (OSError, UnicodeDecodeError) as error:
        raise BadRecording(f"{path}: {error}") from error
    if not any(entry["path"] == "snapshot" for entry in entries):
        raise BadRecording(f"{path}: holds no snapshot; `spork-console record FILE` makes a recording")
    return sorted(entries, key=lambda entry: entry["at"])
