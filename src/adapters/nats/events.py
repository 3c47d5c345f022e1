"""Events to NATS: one message each on `PREFIX.TYPE`, structured CloudEvents JSON."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from nats.aio.client import Client
from nats.errors import Error

from spork.application.telemetry.event_delivery import CloudEvent, HubGone, encode

_HEADERS = {"content-type": "application/cloudevents+json"}


class NatsHub:
    """`application.event_delivery.Hub`. Connects when the first event comes; `url` is `nats://` or `tls://`.

    A batch counts as delivered when the server has answered a ping after it.
    """

    def __init__(self, url: str, prefix: str = "spork.events", timeout: float = 2.0) -> None:
        self._url = url
        self._prefix = prefix
        self._timeout = timeout
        self._client: Client | None = None

    async def deliver(self, events: Sequence[CloudEvent]) -> None:
        try:
            client = await self._connected()
            for event in events:
                await client.publish(f"{self._prefix}.{event['type']}", encode(event), headers=_HEADERS)
            await client.flush(timeout=self._timeout)  # type: ignore[arg-type]
        except (Error, OSError, TimeoutError) as error:
            await self.close()
            raise HubGone(str(error) or type(error).__name__) from error

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Error, OSError, TimeoutError):
                await client.close()

    async def _connected(self) -> Client:
        if self._client is None or not self._client.is_connected:
            await self.close()
            self._client = Client()
            # the client would try for minutes on its own; the queue in front of this decides about trying again
            async with asyncio.timeout(self._timeout):
                await self._client.connect(self._url, allow_reconnect=False, max_reconnect_attempts=1, error_cb=_quiet)
        return self._client


async def _quiet(_: Exception) -> None:
    """What goes wrong is raised by `deliver`; the client need not say it a second time."""
