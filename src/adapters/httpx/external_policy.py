"""Services that decide about requests, asked over HTTP: one circuit and one queue for each address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

from spork.adapters.httpx.introspection import Authority
from spork.domain.identity.external_policy import ExternalPolicy, Judgement, NoAnswer, Question, judged
from spork.domain.identity.tokens import Unverifiable


class HttpDeciders:
    """Implements `Deciders`. `authority` makes what asks at one address."""

    def __init__(self, authority: Callable[[str], Authority]) -> None:
        self._authority = authority
        self._authorities: dict[str, Authority] = {}

    async def decide(self, policy: ExternalPolicy, asked: Question) -> Judgement:
        where = urlsplit(policy.url).netloc
        authority = self._authorities.get(where)
        if authority is None:
            authority = self._authorities[where] = self._authority(f"authorize {where}")
        try:
            # The service has `timeout`, and a question may wait for its turn as long again.
            async with asyncio.timeout(2 * policy.timeout):
                reply = await authority.ask(
                    asked.url, asked.headers, asked.body, method=asked.method, patience=policy.timeout
                )
        except TimeoutError:
            return NoAnswer("authority_busy")
        if isinstance(reply, Unverifiable):
            return NoAnswer(reply.reason, reply.retry_after)
        return judged(policy, reply.status, reply.headers, reply.body)
