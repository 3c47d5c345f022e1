"""Events to a webhook: one POST each, CloudEvents 1.0 HTTP binding in structured mode. Redirects are not followed."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import httpx

from spork.application.telemetry.event_delivery import CloudEvent, HubGone, encode

log = logging.getLogger("spork.events")

_HEADERS = {"content-type": "application/cloudevents+json; charset=utf-8", "user-agent": "spork-events"}


class WebhookHub:
    """`application.event_delivery.Hub`. 2xx takes an event; 4xx other than 408 and 429 refuses it for good; anything
    else is tried again, with the events of the batch that were taken left out."""

    def __init__(self, url: str, timeout: float = 5.0) -> None:
        self._url = url
        self._client = httpx.AsyncClient(timeout=timeout, trust_env=False, follow_redirects=False)
        self._taken: set[str] = set()
        self.refused = 0

    async def deliver(self, events: Sequence[CloudEvent]) -> None:
        for event in events:
            if event["id"] in self._taken:
                continue
            try:
                response = await self._client.post(self._url, content=encode(event), headers=_HEADERS)
            except httpx.HTTPError as error:
                raise HubGone(str(error) or type(error).__name__) from error
            status = response.status_code
            if 400 <= status < 500 and status not in (408, 429):
                self.refused += 1
                log.warning("the webhook refused event %s with %d", event["id"], status)
            elif not 200 <= status < 300:
                raise HubGone(f"the webhook answered {status}")
            self._taken.add(event["id"])
        self._taken.clear()

    async def close(self) -> None:
        await self._client.aclose()
