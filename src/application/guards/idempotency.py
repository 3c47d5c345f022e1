"""Idempotency-Key: the same request sent twice is done once (draft-ietf-httpapi-idempotency-key-header).

The first request with a key goes through and its answer is kept; the same request again gets that answer, with
`Idempotency-Replayed: true`. While the first is still in flight the second is refused with 409, another request under
the same key with 422. Keys belong to their consumer (or client address) and route. Only a target's whole answer is kept,
and not if it is a 5xx, asks to be tried again, or does not fit; a refusal or fallback of the gateway's is none. Then the
key is free again. A store that is gone lets requests through, as without the guard.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.exchange.bodies import HeldBody, hold
from spork.application.exchange.exchange import NO_FIELDS, Verdict
from spork.application.exchange.recording import KeepingSink
from spork.application.guards.policy import Policy
from spork.application.views import GuardVerdict
from spork.domain.http.head import Header
from spork.domain.outcomes import SERVER_ERRORS, Answered, Denial, LocalResponse

if TYPE_CHECKING:
    from spork.application.exchange.exchange import NO_FIELDS, Exchange

log = logging.getLogger("spork.idempotency")

METHODS = frozenset(("POST", "PATCH"))
LONGEST_KEY = 255
#: Answers of a target that ask for the same again later: they would be wrong to replay.
#: Pauses in seconds before the next look at a key that is in flight: the client has its answer a moment before the store has,
#: and who asks again at once should be given it.
LOOK_AGAIN: Final = (0.02, 0.08, 0.2)
_AGAIN = frozenset((408, 409, 425, 429))
_TOO_LARGE = Denial("body_too_large", "A request with an Idempotency-Key has a smaller body than this.", close=True)
_BAD_KEY = Denial("bad_request", "An Idempotency-Key is 1 to 255 printable characters, given once.")
_MISMATCH = Denial("idempotency_mismatch", "This Idempotency-Key was used for another request.")


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    status: int
    headers: tuple[Header, ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Begun:
    """The key is this request's; settle it with `token`."""

    token: str


@dataclass(frozen=True, slots=True)
class InFlight:
    """Another request under this key is not answered yet."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """This key stands for another request."""


class StoreGone(Exception):
    """The store does not answer."""


class IdempotencyStore(Protocol):
    """Keys and the answers kept under them. Raises StoreGone."""

    async def begin(self, key: str, fingerprint: str, lease: float) -> Begun | InFlight | Mismatch | KeptAnswer:
        """Take the key for at most `lease` seconds, or say what stands under it."""

    async def settle(self, key: str, token: str, answer: KeptAnswer | None, keep: float) -> None:
        """Keep `answer` for `keep` seconds, or free the key when it is None. Nothing if `token` lost the key."""


class IdempotencyGuard:
    """`ports.Guard` for one route. `lease` and `keep` in seconds; bodies up to `most` bytes, both ways."""

    phase = "idempotency"
    response_fields = NO_FIELDS

    def __init__(
        self, store: IdempotencyStore, lease: float = 60.0, keep: float = 86400.0, most: int = 256 * 1024
    ) -> None:
        self._store = store
        self._gone = False
        self._lease = lease
        self._keep = keep
        self._most = most
        self._settling: set[asyncio.Task[None]] = set()

    def admit(self, exchange: Exchange) -> Verdict | Coroutine[Any, Any, Verdict]:
        head = exchange.head
        if head.method not in METHODS:
            return None
        keys = [value for name, value in head.headers if name == b"idempotency-key"]
        if not keys:
            return None
        if len(keys) > 1 or not 0 < len(keys[0]) <= LONGEST_KEY or any(c <= 32 or c > 126 for c in keys[0]):
            return _BAD_KEY
        return self._admit(exchange, keys[0])

    def explain(self, exchange: Exchange) -> GuardVerdict:
        if exchange.head.method not in METHODS or exchange.head.header(b"idempotency-key") is None:
            return GuardVerdict(self.phase, "pass", "no Idempotency-Key: sent as any request")
        return GuardVerdict(self.phase, "unknown", "depends on whether this key was used before")

    async def _admit(self, exchange: Exchange, given: bytes) -> Verdict:
        body = await hold(exchange, self._most)
        if body is None:
            return _TOO_LARGE
        if isinstance(exchange.body, HeldBody):
            body = exchange.body.wire  # what the client sent, whatever became of it since
        key, fingerprint = key_of(exchange, given), fingerprint_of(exchange, body)
        try:
            stands = await self._store.begin(key, fingerprint, self._lease)
            for pause in LOOK_AGAIN:
                if not isinstance(stands, InFlight):
                    break
                await asyncio.sleep(pause)
                stands = await self._store.begin(key, fingerprint, self._lease)
        except StoreGone as error:
            if not self._gone:
                log.warning("idempotency keys are not kept: %s", error)
            self._gone = True
            return None
        self._gone = False
        if isinstance(stands, Mismatch):
            return _MISMATCH
        if isinstance(stands, InFlight):
            return Denial("idempotency_in_flight", "The first request with this key is in progress.", retry_after=1.0)
        if isinstance(stands, KeptAnswer):
            headers = (*stands.headers, (b"idempotency-replayed", b"true"))
            return LocalResponse("replay", headers, stands.body, stands.status)
        # Given up half way, its work might be done and nobody would know: who tries again would have it done twice.
        run_on = getattr(exchange.sink, "run_on", None)
        if run_on is not None:
            run_on()
        sink = exchange.sink = KeepingSink(exchange.sink, self._most)
        exchange.at_close(lambda closed: self._closed(closed, key, stands.token, sink))
        return None

    def _closed(self, exchange: Exchange, key: str, token: str, sink: KeepingSink) -> None:
        outcome, body = exchange.outcome, sink.body
        answer = None
        if isinstance(outcome, Answered) and body is not None and is_final(outcome.status):
            answer = KeptAnswer(outcome.status, sink.headers, body)
        task = asyncio.ensure_future(self._settle(key, token, answer))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _settle(self, key: str, token: str, answer: KeptAnswer | None) -> None:
        try:
            await self._store.settle(key, token, answer, self._keep)
        except StoreGone as error:
            if not self._gone:
                log.warning("an answer was not kept: %s", error)
            self._gone = True


def is_final(status: int) -> bool:
    """Whether a target that answers so has done, or refused for good, what was asked."""
    return status < SERVER_ERRORS and status not in _AGAIN


def key_of(exchange: Exchange, given: bytes) -> str:
    """Who, where and which key, hashed: keys of different callers never meet, and none is readable in the store."""
    principal = exchange.principal
    who = exchange.client if principal is None else f"{principal.issuer}\0{principal.consumer or principal.subject}"
    route = exchange.plan.name if exchange.plan is not None else ""
    return hashlib.sha256(f"{who}\n{route}\n".encode() + given).hexdigest()


def fingerprint_of(exchange: Exchange, body: bytes) -> str:
    head = exchange.head
    digest = hashlib.sha256(f"{head.method}\n".encode())
    content_type = head.header(b"content-type") or b""
    for part in (head.target, content_type, body):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


class IdempotencyPolicy(Policy):
    """`retries: {idempotency_key: true}` of a route's upstream. All routes share one guard and its store."""

    phase = "idempotency"

    def __init__(self, store: IdempotencyStore) -> None:
        self._guard = IdempotencyGuard(store)

    def compile(self, route: RouteConfig, configuration: Configuration) -> IdempotencyGuard | None:
        upstream = next((u for u in configuration.upstreams if u.name == route.upstream), None)
        wanted = upstream is not None and upstream.retries is not None and upstream.retries.idempotency_key
        return self._guard if wanted else None
