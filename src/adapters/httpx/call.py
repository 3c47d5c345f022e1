"""One request through httpx that may be left at any time without leaving anything behind.

httpcore cleans up after a cancelled task only while it is inside certain operations; cancelled between two of them it
keeps a connection that is neither idle nor closed, and its place in the pool is lost. So each request runs in a task
of its own, and httpcore's trace events tell when that task may be cancelled: on `.started` of an operation it stands
inside the clean-up of that operation. A caller that leaves never waits for this.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

#: Operations that are themselves a clean-up.
_ENDINGS = ("response_closed.started", "close.started")


class Call:
    """A request on its way. `written` says that request bytes may have left, `fresh` that the connection is new."""

    __slots__ = ("_leaving", "_safe", "_stream", "_task", "fresh", "written")

    def __init__(self) -> None:
        self.fresh = False
        self.written = False
        self._leaving = False
        self._safe = False
        self._stream: Any = None
        self._task: asyncio.Task[httpx.Response] | None = None

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """Takes httpcore's trace events."""
        self._safe = event.endswith(".started") and not event.endswith(_ENDINGS)
        if event.endswith("send_request_headers.started"):
            self.written = self.written or not event.startswith("proxy.")
        elif event.startswith("connection.connect_"):
            self.fresh = True
            self._stream = info.get("return_value", self._stream)
        if self._leaving and self._safe:
            raise asyncio.CancelledError

    async def send(
        self, transport: httpx.AsyncHTTPTransport, request: httpx.Request, timeout: float | None
    ) -> httpx.Response:
        """The response head. Raises TimeoutError after `timeout` seconds, or whatever httpx raises."""
        task = self._task = asyncio.get_running_loop().create_task(transport.handle_async_request(request))
        try:
            done, _ = await asyncio.wait((task,), timeout=timeout)
        except BaseException:
            self._leave()
            raise
        if not done:
            self._leave()
            raise TimeoutError
        if self.failed:
            await self._drop_stream()
        return task.result()

    @property
    def task(self) -> asyncio.Task[httpx.Response] | None:
        return self._task

    @property
    def failed(self) -> bool:
        """It has ended, and not with a response."""
        task = self._task
        return task is not None and task.done() and (task.cancelled() or task.exception() is not None)

    def _leave(self) -> None:
        task = self._task
        assert task is not None
        self._leaving = True
        if self._safe:
            task.cancel()

    async def settle(self) -> httpx.Response | None:
        """After leaving: wait for the request's end. A response that came nonetheless is the caller's to discard."""
        assert self._task is not None
        await asyncio.wait((self._task,))
        if self.failed:
            await self._drop_stream()
            return None
        return self._task.result()

    async def _drop_stream(self) -> None:
        """End a connection that was made and then, within the TLS handshake say, was not needed any more."""
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                await stream.aclose()
            except Exception:
                pass  # it is being ended because it is broken or unwanted
