"""Two levels: answers in the process, and behind it one copy in Redis for the fleet, with one journal of purges.

A key of Redis is a digest that shows nothing of the request. Under the digest of a key stands the answer, or, where answers vary,
the names they vary on; the answer then stands under the digest of key and variant. Everything has a time to live.

The journal is one hash: an epoch, a position that grows with each purge, and the position at which each tag was purged last. Every
node reads it when its position moved, which it looks at twice a second and hears of at once. Positions are compared, never clocks.
An entry of another epoch is none: the journal it was stored under is gone, and with it the purges that may have covered it.

What a request may do without is asked with little patience; a claim, and what is stored for others, with more: a node that gave up on
a slow answer there would ask the target once more. All who look for one key share one look.

A Redis that is away costs the second level and nothing else: it is left alone until the journal can be read again. Purges made meanwhile hold here and are told once it is back; a node
that cannot confirm the journal for five seconds lets go of answers with tags, for it may have missed a purge of theirs.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from redis.exceptions import RedisError

from spork.application.caching.journal import Purged, PurgeJournal
from spork.application.caching.ports import CacheStoreGone, FirstLevel, PurgeReceipt
from spork.application.kernel.tasks import end
from spork.domain.http.caching.keys import CacheKey, digest
from spork.domain.http.caching.stored import StoredResponse

log = logging.getLogger("spork.cache")

_LUA: Final = Path(__file__).parent / "lua"
_GONE: Final = (RedisError, OSError, TimeoutError)
#: Tags that the journal holds before its floor rises.
MOST_TAGS: Final = 50_000
#: The journal's time to live, seconds; longer than anything that is stored.
JOURNAL_LIFE: Final = 400 * 86400
LOOK_EVERY: Final = 0.5
#: After this long without the journal, answers with tags are let go, seconds.
UNCONFIRMED: Final = 5.0
#: The longest an answer stands in Redis, seconds, and what is added for answers that can be validated.
_LONGEST: Final = 30 * 86400
_TO_VALIDATE: Final = 3600.0
#: Seconds for which Redis is left alone once it is taken for away; reading the journal ends it, failing to prolongs it.
_REST: Final = 2.0
#: Looks that failed one after the other after which Redis is taken for away: one may be slow on a busy machine.
_STRIKES: Final = 3
#: Seconds that a claim or a store may take.
PATIENCE: Final = 0.5


class _Wire(msgspec.Struct, array_like=True):
    """A stored answer as it stands in Redis; `names` instead of one where answers vary."""

    epoch: str
    names: tuple[tuple[bytes, ...], ...] = ()
    status: int = 0
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    born: float = 0.0
    stored_at: float = 0.0
    fresh_until: float = 0.0
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    may_be_stale: bool = True
    validate_always: bool = False
    vary: tuple[bytes, ...] = ()
    variant: tuple[bytes, ...] = ()
    tags: tuple[bytes, ...] = ()
    etag: bytes = b""
    last_modified: bytes = b""
    began: float = 0.0


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Wire).decode


class RedisCacheStore:
    """`spork.application.caching.ports.CacheStore` over two `redis.asyncio` clients, which stay the caller's, and a first level.

    `redis` is asked where a request would rather go on without an answer, `patient` (the same when left out) where it would not.
    """

    def __init__(
        self,
        redis: Any,
        first: FirstLevel,
        node: str,
        unix: Callable[[], float],
        monotonic: Callable[[], float],
        prefix: str = "spork",
        patient: Any = None,
    ) -> None:
        self.first = first
        self.journal: PurgeJournal = first.journal
        self.failures = 0
        self._redis = redis
        self._patient = patient = redis if patient is None else patient
        self._node = node
        self._unix = unix
        self._monotonic = monotonic
        self._token = secrets.token_hex(8)
        self._prefix = f"{prefix}:cache:"
        self._journal_key = f"{prefix}:{{cache}}:journal"
        self._seen_key = f"{prefix}:{{cache}}:seen"
        self._channel = f"{prefix}:cache:purges"
        self._purge = patient.register_script((_LUA / "purge.lua").read_text())
        self._release = patient.register_script((_LUA / "release.lua").read_text())
        self._untold: list[tuple[tuple[bytes, ...], bool]] = []
        self._confirmed = monotonic()
        self._rest_until = 0.0
        self._strikes = 0
        self._looks: dict[CacheKey, asyncio.Task[Sequence[StoredResponse]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._news = asyncio.Event()

    def __repr__(self) -> str:
        return f"<RedisCacheStore {self.state} over {self.first!r}>"

    @property
    def state(self) -> str:
        """redis, or away while it does not answer."""
        return "away" if self._monotonic() < self._rest_until else "redis"

    # ---------------------------------------------------------------------------------------------------------- the port

    def find(self, key: CacheKey) -> Any:
        found = self.first.find(key)
        if found:
            if self._monotonic() - self._confirmed > UNCONFIRMED and any(len(entry.tags) > 3 for entry in found):
                self.first.drop(key)
                return ()
            return found
        return () if self._resting() else self._shared_look(key)

    def look(self, key: CacheKey) -> Any:
        return self.first.find(key) if self._resting() else self._look_up(self._patient, key)

    async def _shared_look(self, key: CacheKey) -> Sequence[StoredResponse]:
        task = self._looks.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._look_up(self._redis, key))
            self._looks[key] = task
            task.add_done_callback(lambda done: self._looked(key, done))
        return await asyncio.shield(task)

    def _looked(self, key: CacheKey, task: asyncio.Task[Sequence[StoredResponse]]) -> None:
        self._looks.pop(key, None)
        if not task.cancelled():
            task.exception()  # who waited has it; nobody may have

    async def _look_up(self, redis: Any, key: CacheKey) -> Sequence[StoredResponse]:
        """What the fleet has, taken into the first level where it is newer than what stands there."""
        data = await self._do(redis.get(self._prefix + digest(key)), redis)
        wire = None if data is None else self._read(data)
        if wire is None:
            return self.first.find(key)
        if not wire.names:
            entries = [_entry(wire)]
        else:
            members = await self._do(redis.smembers(self._prefix + digest(key) + ":variants"), redis)
            names = [self._prefix + name.decode("ascii") for name in sorted(members)][:16]
            values = await self._do(redis.mget(names), redis) if names else []
            wires = [self._read(value) for value in values if value is not None]
            entries = [_entry(each) for each in wires if each is not None and not each.names]
        known = {(entry.vary, entry.variant): entry.stored_at for entry in self.first.find(key)}
        not_kept: list[StoredResponse] = []
        for entry in sorted(entries, key=lambda each: each.stored_at):
            if known.get((entry.vary, entry.variant), -1.0) >= entry.stored_at:
                continue
            if self.journal.covers(entry) is not Purged.HARD and not self.first.keep(key, entry):
                not_kept.insert(0, entry)
        found = self.first.find(key)
        # What the first level does not take (yet: it is large) is good for whoever looked.
        return [*not_kept, *found] if not_kept else found

    def keep(self, key: CacheKey, entry: StoredResponse) -> Any:
        kept = self.first.keep(key, entry)
        return kept if self._resting() else self._keep(key, entry, kept)

    async def _keep(self, key: CacheKey, entry: StoredResponse, kept: bool) -> bool:
        if self.journal.covers(entry) is not Purged.NO or not self.journal.epoch:
            return kept
        life = entry.kept_until - self._unix()
        if entry.etag or entry.last_modified:
            life += _TO_VALIDATE
        milliseconds = round(min(life, _LONGEST) * 1000)
        if milliseconds <= 0:
            return kept
        name = digest(key)
        packed = _encode(_wire(self.journal.epoch, entry))
        async with self._patient.pipeline(transaction=False) as pipe:
            if entry.vary:
                variant = digest(key, *entry.vary, *entry.variant)
                marker = _encode(_Wire(self.journal.epoch, (entry.vary,)))
                pipe.set(self._prefix + variant, packed, px=milliseconds)
                pipe.sadd(self._prefix + name + ":variants", variant)
                pipe.pexpire(self._prefix + name + ":variants", _LONGEST * 1000)
                pipe.set(self._prefix + name, marker, px=milliseconds)
            else:
                pipe.set(self._prefix + name, packed, px=milliseconds)
            await self._do(pipe.execute())
        return True

    def drop(self, key: CacheKey) -> None:
        self.first.drop(key)

    async def purge(self, tags: Collection[bytes], soft: bool) -> PurgeReceipt:
        """Never raises: what Redis does not take holds here at once, and is told when it is back."""
        wanted = tuple(tags)
        if not self._resting():
            try:
                position = await self._tell(wanted, soft)
                return PurgeReceipt(self.journal.note(wanted, soft, position))
            except CacheStoreGone as error:
                log.warning("a purge holds on this node only until Redis is back: %s", error)
        self._untold.append((wanted, soft))
        return PurgeReceipt(self.journal.note_untold(wanted, soft), told=False)

    def claim(self, key: CacheKey, variant: bytes, seconds: float) -> Any:
        return True if self._resting() else self._claim(key, variant, seconds)

    async def _claim(self, key: CacheKey, variant: bytes, seconds: float) -> bool:
        name = self._prefix + digest(key, variant) + ":claim"
        return bool(await self._do(self._patient.set(name, self._token, nx=True, px=round(seconds * 1000))))

    async def release(self, key: CacheKey, variant: bytes) -> None:
        if self._resting():
            return
        try:
            await self._do(self._release(keys=[self._prefix + digest(key, variant) + ":claim"], args=[self._token]))
        except CacheStoreGone:
            log.debug("a claim is left to its time to live")

    async def confirmations(self, position: float) -> dict[str, bool]:
        try:
            seen = await self._do(self._patient.hgetall(self._seen_key))
        except CacheStoreGone:
            return {"the rest of the fleet (Redis is away)": False}
        now = self._unix()
        found: dict[str, bool] = {}
        for node, said in seen.items():
            at, _, when = said.partition(b" ")
            if now - float(when) < 3 * UNCONFIRMED:
                found[node.decode()] = float(at) >= int(position)
        return found

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        yield from self.first.samples()

    # ------------------------------------------------------------------------------------------------------ the journal

    async def open(self) -> None:
        await self._follow()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._look()), loop.create_task(self._listen())]

    async def close(self) -> None:
        await end([*self._tasks, *self._looks.values()])

    async def _tell(self, tags: Sequence[bytes], soft: bool) -> float:
        args = [secrets.token_hex(8), MOST_TAGS, JOURNAL_LIFE, int(soft), self._channel, *tags]
        epoch, position = await self._do(self._purge(keys=[self._journal_key], args=args))
        self._believe(epoch.decode())
        if int(position) > int(self.journal.position) + 1:
            self._news.set()  # others purged too, and we have not read what
        return float(position)

    async def follow(self) -> None:
        """Read what was purged since the last look, and say how far this node has read. Raises CacheStoreGone."""
        for tags, soft in list(self._untold):
            await self._tell(tags, soft)
            self._untold.remove((tags, soft))
        epoch, position = await self._do(self._patient.hmget(self._journal_key, "=epoch", "=position"))
        if epoch is None:
            await self._do(self._patient.hsetnx(self._journal_key, "=epoch", secrets.token_hex(8)))
            await self._do(self._patient.expire(self._journal_key, JOURNAL_LIFE))
            epoch, position = await self._do(self._patient.hmget(self._journal_key, "=epoch", "=position"))
        self._believe(epoch.decode())
        if float(position or 0) > self._read_to:
            await self._read_all()
        self._confirmed = self._monotonic()
        self._rest_until = 0.0
        said = b"%d %d" % (int(self._read_to), int(self._unix()))
        await self._do(self._patient.hset(self._seen_key, self._node, said))
        await self._do(self._patient.expire(self._seen_key, 86400))

    _read_to = 0.0

    async def _read_all(self) -> None:
        fields: dict[bytes, bytes] = await self._do(self._patient.hgetall(self._journal_key))
        position = float(fields.pop(b"=position", b"0"))
        epoch = fields.pop(b"=epoch", b"")
        self._believe(epoch.decode())
        floor = float(fields.pop(b"=floor", b"0"))
        if floor > self.journal.floor:
            self.journal.raise_floor(floor)
        for field, at in fields.items():
            if float(at) > self._read_to:
                self.journal.note((field[1:],), field[:1] == b"s", float(at))
        self._read_to = position
        self.journal.position = max(self.journal.position, position)

    def _believe(self, epoch: str) -> None:
        """Another epoch: the journal was lost, and nothing that was kept before may be believed."""
        if epoch != self.journal.epoch:
            known = self.journal.epoch
            self.journal.restart(epoch)
            self._read_to = 0.0
            if known:
                self.first.clear("unconfirmed")

    async def _follow(self) -> None:
        try:
            await self.follow()
        except CacheStoreGone:
            log.debug("the journal of purges cannot be read")

    async def _look(self) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOK_EVERY):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()
            await self._follow()

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(self._channel)
                    while True:
                        if await channel.get_message(timeout=5.0) is not None:
                            self._news.set()
            except _GONE:
                await asyncio.sleep(LOOK_EVERY)

    # ------------------------------------------------------------------------------------------------------------ Redis

    def _resting(self) -> bool:
        return self._monotonic() < self._rest_until

    async def _do(self, operation: Any, redis: Any = None) -> Any:
        """What Redis answers. Raises CacheStoreGone, and takes Redis for away where it was slow too often or too long."""
        try:
            answer = await operation
        except _GONE as error:
            self.failures += 1
            self._strikes += 1
            if redis is not self._redis or self._strikes >= _STRIKES:
                self._rest_until = self._monotonic() + _REST
            raise CacheStoreGone(str(error) or type(error).__name__) from error
        self._strikes = 0
        return answer

    def _read(self, data: bytes) -> _Wire | None:
        try:
            wire = _decode(data)
        except msgspec.MsgspecError:
            return None
        return wire if wire.epoch == self.journal.epoch else None


def _wire(epoch: str, entry: StoredResponse) -> _Wire:
    return _Wire(
        epoch, (), entry.status, entry.headers, entry.body, entry.born, entry.stored_at, entry.fresh_until,
        entry.stale_while_revalidate, entry.stale_if_error, entry.may_be_stale, entry.validate_always, entry.vary,
        entry.variant, entry.tags, entry.etag, entry.last_modified, entry.began,
    )  # fmt: skip


def _entry(wire: _Wire) -> StoredResponse:
    return StoredResponse(
        wire.status, wire.headers, wire.body, born=wire.born, stored_at=wire.stored_at, fresh_until=wire.fresh_until,
        stale_while_revalidate=wire.stale_while_revalidate, stale_if_error=wire.stale_if_error,
        may_be_stale=wire.may_be_stale, validate_always=wire.validate_always, vary=wire.vary, variant=wire.variant,
        tags=wire.tags, etag=wire.etag, last_modified=wire.last_modified, began=wire.began,
    )  # fmt: skip
