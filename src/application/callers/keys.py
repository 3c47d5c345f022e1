"""API keys at work: finding the key behind a presented text, and issuing, rotating, revoking and listing keys.

Looking a key up is a dictionary access once it is known; unknown ids are remembered too, for a shorter time, so that
guessing costs the records one look-up per id and a caller cannot tell by time which ids exist. Changes made anywhere
reach every replica's memory through announcements and the change feed (see `trust.py`).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from typing import Final

from spork.application.callers.moving import Brought, all_imported, exported
from spork.application.callers.ports import Conflict, KeyRecords, RecordsGone
from spork.domain.http.addresses import AddressSet
from spork.domain.identity.consumers import (
    ID_BYTES,
    NO_SECRETS,
    SECRET_BYTES,
    ApiKey,
    Consumer,
    KeySecret,
    KeyState,
    KeyText,
    good_until,
    key_principal,
    mint,
    mint_id,
    read_key,
    revoke,
    rotate,
    secret_digest,
)
from spork.domain.identity.imported_keys import PREFIX, imported_key, may_be_key
from spork.domain.identity.revocation import Revocation, RevocationKind, RevocationSet
from spork.domain.identity.tokens import CredentialOutcome, Refused, Unverifiable, Verified, identity_headers

log = logging.getLogger("spork.callers")

#: Seconds an answer of the records is remembered. The same for ids that exist and ids that do not, or the time of an
#: answer would tell which is which.
REMEMBER: Final = 60.0

#: Seconds for which a key that was good goes on being believed while the records do not answer.
BELIEVED: Final = 900.0
#: Seconds a request waits for the records, and for which nobody asks them again after that was in vain.
LOOK_UP: Final = 2.0
ASK_AGAIN: Final = 1.0
ASK_KNOWN_AGAIN: Final = 5.0

_RECORDS_GONE: Final = Unverifiable("records_gone", 1.0)
_MISSING: Final = Refused("key_unknown")
_ENDED: Final = (KeyState.REVOKED, KeyState.EXPIRED)

#: Keys read at a time while they are searched, and looked at in one search.
PAGE: Final = 500
LOOKED_AT: Final = 20_000

Chance = Callable[[int], bytes]
ConsumerNamed = Callable[[str], Consumer | None]


@dataclass(frozen=True, slots=True)
class _Known:
    """A looked-up id: what to compare with, the verdict if it matches, and until when this is believed."""

    id: str
    key: ApiKey | None
    secrets: tuple[KeySecret, ...]
    verdict: Verified | Refused
    addresses: AddressSet | None
    routes: frozenset[str]
    since: float
    until: float


class KeyRing:
    """Says whether a presented key is good. One per process; `forget` is called when records change."""

    def __init__(
        self,
        records: KeyRecords,
        pepper: bytes,
        revoked: RevocationSet,
        consumer_named: ConsumerNamed = lambda name: None,
        *,
        capacity: int = 100_000,
    ) -> None:
        self._records = records
        self._pepper = pepper
        self._revoked = revoked
        self._consumer_named = consumer_named
        self._capacity = capacity
        self._known: dict[str, _Known] = {}
        # Apart, so that guessing at ids cannot push out the keys in use.
        self._missing: dict[str, _Known] = {}
        # Texts found good, by SHA-256: what a key in use costs is one digest and one look-up here.
        self._good: dict[bytes, tuple[_Known, float]] = {}
        self._used: dict[str, float] = {}
        #: What keys were when the records last said so, for the time in which these do not answer.
        self._before: dict[str, _Known] = {}
        self._gone_until = 0.0
        self._gone = ""
        self._generation = 0
        #: Whether there are keys with texts of another system; without, such a text costs no look-up.
        self._has_imported = False

    def __repr__(self) -> str:
        return f"KeyRing({len(self._known)} ids known)"

    def forget(self, key_id: str = "") -> None:
        """Drop what is known of one key, or of all."""
        self._generation += 1
        self._good.clear()
        if key_id.startswith(PREFIX):
            self._has_imported = True
        if key_id:
            self._before.pop(key_id, None)
            self._known.pop(key_id, None)
            self._missing.pop(key_id, None)
        else:
            self._known = {}
            self._missing.clear()

    async def learn(self) -> None:
        """Look whether there are imported keys, at start and after everything may have changed."""
        found = await self._records.page(after=PREFIX, limit=1)
        self._has_imported = any(key.id.startswith(PREFIX) for key in found)

    def check(
        self, text: bytes, route: str, client: str, now: float
    ) -> CredentialOutcome | Awaitable[CredentialOutcome]:
        """The verdict on a presented key text, for this route and client address. At once when the id is known."""
        digest = sha256(text).digest()
        good = self._good.get(digest)
        if good is not None and good[0].since <= now < good[1]:
            return self._allow(good[0], route, client, now)
        key_text = read_key(text)
        if key_text is None and self._has_imported and may_be_key(text):
            key_text = imported_key(self._pepper, digest)
        if key_text is None:
            return Refused("key_malformed")
        known = self._known.get(key_text.id) or self._missing.get(key_text.id)
        if known is None or not known.since <= now < known.until:
            return self._look_up(digest, key_text, route, client, now)
        return self._judge(known, digest, key_text, route, client, now)

    async def _look_up(
        self, digest: bytes, key_text: KeyText, route: str, client: str, now: float
    ) -> CredentialOutcome:
        generation = self._generation
        try:
            key = await self._found(key_text.id)
        except RecordsGone:
            before = self._before.get(key_text.id)
            if before is None or not before.since <= now < before.until + BELIEVED:
                return _RECORDS_GONE
            # What it was; revocations heard of meanwhile hold all the same.
            known = self._make_known(before.key, now)
            if generation == self._generation:
                self._known[key_text.id] = replace(known, until=min(known.until, now + ASK_KNOWN_AGAIN))
            return self._judge(known, digest, key_text, route, client, now, False)
        known = self._make_known(key, now)
        if generation == self._generation:
            self._remember(key_text.id, known)
        return self._judge(known, digest, key_text, route, client, now, generation == self._generation)

    async def _found(self, key_id: str) -> ApiKey | None:
        """What the records say; while they are gone, only one look-up in a while waits to learn it."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._gone_until:
            raise RecordsGone(self._gone)
        try:
            async with asyncio.timeout(LOOK_UP):
                return await self._records.find(key_id)
        except (RecordsGone, TimeoutError) as error:
            self._gone_until = loop.time() + ASK_AGAIN
            self._gone = str(error) or f"the records have not answered for {LOOK_UP:g} s"
            log.warning("keys that are not known yet cannot be checked: %s", self._gone)
            raise RecordsGone(self._gone) from error

    def _make_known(self, key: ApiKey | None, now: float) -> _Known:
        if key is None:
            return _Known("", None, NO_SECRETS, _MISSING, None, frozenset(), now, now + REMEMBER)
        principal = key_principal(key, self._consumer_named(key.consumer))
        state = key.state(now)
        why = f"key_{state.value}" if state in _ENDED else self._revoked.covers(principal)
        verdict = Refused(why) if why else Verified(principal, identity_headers(principal))
        ends = [end for end in (key.expires_at, key.revoked_at) if end is not None and end > now]
        until = min(now + REMEMBER, *ends) if ends else now + REMEMBER
        addresses = AddressSet(key.cidrs) if key.cidrs else None
        return _Known(key.id, key, key.secrets, verdict, addresses, key.routes, now, until)

    def _judge(
        self,
        known: _Known,
        digest: bytes,
        key_text: KeyText,
        route: str,
        client: str,
        now: float,
        current: bool = True,
    ) -> CredentialOutcome:
        """The same work whether or not the id exists: one HMAC, two comparisons; only then what kind of no it is."""
        until = good_until(known.secrets, secret_digest(self._pepper, key_text.secret), now)
        if known.key is None:
            return _MISSING
        if not until:
            return Refused("key_mismatch")
        if current:
            if len(self._good) >= self._capacity:
                self._good.clear()
            self._good[digest] = (known, min(known.until, until))
        return self._allow(known, route, client, now)

    def _allow(self, known: _Known, route: str, client: str, now: float) -> CredentialOutcome:
        """The verdict on a key whose secret is good, for this route and address."""
        if known.addresses is not None and client not in known.addresses:
            return Refused("key_address")
        if known.routes and route not in known.routes:
            return Refused("key_route")
        if known.verdict.__class__ is Verified:
            self._used[known.id] = now
        return known.verdict

    def _remember(self, key_id: str, known: _Known) -> None:
        kept = self._known if known.key is not None else self._missing
        if known.key is not None:
            if len(self._before) >= self._capacity:
                self._before.clear()
            self._before[key_id] = known
        else:
            self._before.pop(key_id, None)
        if len(kept) >= self._capacity:
            for oldest in list(islice(kept, self._capacity // 10 or 1)):
                del kept[oldest]
        kept[key_id] = known

    async def note_use(self) -> None:
        """Write down when keys were last used: sampled, called every few seconds and at the end."""
        used, self._used = self._used, {}
        if used:
            await self._records.used(used)


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """What an operator asks for. `lifetime` in seconds, None for a key without an end."""

    consumer: str
    owner: str = ""
    plan: str = ""
    tenant: str = ""
    scopes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    routes: frozenset[str] = frozenset()
    cidrs: tuple[str, ...] = ()
    lifetime: float | None = None


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key's record with its text, which is shown this once."""

    key: ApiKey
    text: KeyText


class UnknownKey(LookupError):
    """There is no key with this id."""


class Keys:
    """Issue, rotate, revoke and list API keys. Every change is recorded first and announced then: `changed` tells this
    process and the others of a key, `revoke_everywhere` those with records of their own."""

    def __init__(
        self,
        records: KeyRecords,
        pepper: bytes,
        changed: Callable[[str], Awaitable[None]] | None = None,
        chance: Chance = secrets.token_bytes,
        revoke_everywhere: Callable[[Revocation], Awaitable[None]] | None = None,
    ) -> None:
        self._records = records
        self._pepper = pepper
        self._changed = changed
        self._chance = chance
        self._revoke_everywhere = revoke_everywhere

    async def issue(self, request: KeyRequest, now: float) -> IssuedKey:
        """A new key. Raises ValueError for a CIDR that is none, or a consumer without a name."""
        if not request.consumer or not request.consumer.isprintable():
            raise ValueError("a key belongs to a consumer, by name")
        AddressSet(request.cidrs)
        text = mint(mint_id(self._chance(ID_BYTES)), self._chance(SECRET_BYTES))
        key = ApiKey(
            id=text.id,
            consumer=request.consumer,
            secrets=(KeySecret(secret_digest(self._pepper, text.secret), now),),
            created_at=now,
            owner=request.owner,
            plan=request.plan,
            tenant=request.tenant,
            scopes=request.scopes,
            roles=request.roles,
            routes=request.routes,
            cidrs=request.cidrs,
            expires_at=None if request.lifetime is None else now + request.lifetime,
        )
        await self._records.add(key)
        await self._announce(key.id)
        return IssuedKey(key, text)

    async def rotate(self, key_id: str, now: float, overlap: float = 24 * 3600.0) -> IssuedKey:
        """A new secret for the key; the present one stays good for `overlap` seconds. Raises UnknownKey, Conflict."""
        before = await self.get(key_id)
        if before.state(now) not in (KeyState.ACTIVE, KeyState.ROTATING):
            raise Conflict(f"the key is {before.state(now).value}")
        if key_id.startswith(PREFIX):
            raise Conflict("the key came with its own text: issue another one instead")
        text = mint(key_id, self._chance(SECRET_BYTES))
        after = rotate(before, secret_digest(self._pepper, text.secret), now, max(0.0, overlap))
        await self._records.replace(before, after)
        await self._announce(key_id)
        return IssuedKey(after, text)

    async def revoke(self, key_id: str, now: float, reason: str = "", actor: str = "") -> ApiKey:
        """End the key everywhere. Revoking twice is the same as once. Raises UnknownKey."""
        before = await self.get(key_id)
        after = revoke(before, now)
        if after is not before:
            await self._records.replace(before, after)
        await self._announce(key_id)
        if self._revoke_everywhere is not None:
            # Replicas with records of their own hear of it as a revocation.
            await self._revoke_everywhere(
                Revocation(RevocationKind.KEY, key_id, reason=reason, actor=actor, created_at=now)
            )
        return after

    def read_rows(self, rows: Iterable[object], now: float) -> tuple[list[ApiKey], list[str]]:
        """The keys that rows of an export, or of another system, say; and what is wrong with the other rows."""
        return all_imported(rows, now, self._pepper)

    def row_of(self, key: ApiKey) -> dict[str, object]:
        """A key as a row of an export."""
        return exported(key, self._pepper)

    async def bring(self, keys: Sequence[ApiKey]) -> Brought:
        """Add keys from elsewhere (`moving.py`); those whose id is there already stay as they are."""
        added = await self._records.add_all(keys)
        if self._changed is not None:
            # One announcement for all of them; an imported one among them says that there are such.
            first = next((key.id for key in keys if key.id.startswith(PREFIX)), "")
            await self._changed(first)
            if len(keys) > 1:
                await self._changed("")
        return Brought(added, len(keys) - added)

    async def revoke_all(self, key_ids: Sequence[str], now: float, reason: str = "", actor: str = "") -> int:
        """End these keys everywhere; how many were good before."""
        ended = 0
        for key_id in key_ids:
            before = await self.get(key_id)
            if before.revoked_at is None:
                await self.revoke(key_id, now, reason, actor)
                ended += 1
        return ended

    async def search(
        self, consumer: str = "", text: str = "", state: str = "", after: str = "", limit: int = 100, now: float = 0.0
    ) -> tuple[list[ApiKey], str]:
        """Keys in order of id from behind `after` that fit, and the id to go on from, "" at the end.

        `text` is sought in id, consumer and owner. At most `LOOKED_AT` keys are looked at in one go.
        """
        found: list[ApiKey] = []
        looked = 0
        wanted = text.lower()
        while looked < LOOKED_AT:
            page = await self._records.page(consumer, after, PAGE)
            for key in page:
                after, looked = key.id, looked + 1
                fits = not wanted or wanted in f"{key.id}\0{key.consumer}\0{key.owner}".lower()
                if fits and (not state or key.state(now).value == state):
                    found.append(key)
                    if len(found) >= limit:
                        return found, after
            if len(page) < PAGE:
                return found, ""
        return found, after

    async def get(self, key_id: str) -> ApiKey:
        key = await self._records.find(key_id)
        if key is None:
            raise UnknownKey(key_id)
        return key

    async def page(self, consumer: str = "", after: str = "", limit: int = 100) -> list[ApiKey]:
        """Keys in order of id, from behind `after`."""
        return await self._records.page(consumer, after, limit)

    async def change(self, key_id: str, **changes: object) -> ApiKey:
        """Change scopes, roles, routes, cidrs, plan, owner, tenant or expires_at of a key. Raises UnknownKey."""
        allowed = {"scopes", "roles", "routes", "cidrs", "plan", "owner", "tenant", "expires_at"}
        if not changes.keys() <= allowed:
            raise ValueError(f"cannot change {', '.join(sorted(changes.keys() - allowed))}")
        before = await self.get(key_id)
        after = replace(before, **changes)  # type: ignore[arg-type]
        AddressSet(after.cidrs)
        await self._records.replace(before, after)
        await self._announce(key_id)
        return after

    async def _announce(self, key_id: str) -> None:
        if self._changed is not None:
            await self._changed(key_id)
