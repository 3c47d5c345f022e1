"""Keys on the move: exports come back as they were, texts and hashes of other systems become keys, mistakes are named."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.adapters.memory.records import MemoryRecords
from spork.application.callers.keys import KeyRequest, KeyRing, Keys, UnknownKey
from spork.application.callers.moving import imported
from spork.application.callers.ports import Conflict
from spork.domain.identity.consumers import KeyState
from spork.domain.identity.imported_keys import imported_key, may_be_key
from spork.domain.identity.revocation import RevocationSet
from spork.domain.identity.tokens import Refused, Verified
from tests.tokens import NOW

PEPPER = b"p" * 32
THEIRS = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"


class House:
    """Records with a ring over them, which hears of changes as a gateway does."""

    def __init__(self, pepper: bytes = PEPPER) -> None:
        self.records = MemoryRecords()
        self.ring = KeyRing(self.records, pepper, RevocationSet())
        self.keys = Keys(self.records, pepper, self.changed)

    async def changed(self, key_id: str) -> None:
        self.ring.forget(key_id)

    async def check(self, text: str) -> Any:
        answer: Any = self.ring.check(text.encode(), "r", "192.0.2.1", NOW)
        return answer if isinstance(answer, Verified | Refused) else await answer

    async def bring(self, *rows: object) -> list[str]:
        keys, wrong = self.keys.read_rows(rows, NOW)
        if not wrong:
            await self.keys.bring(keys)
        return wrong


@pytest.mark.parametrize("by", ["text", "sha256"])
async def test_a_key_of_another_system_goes_on_working(by: str) -> None:
    house = House()
    assert await house.check(THEIRS) == Refused("key_malformed")
    shown = THEIRS if by == "text" else sha256(THEIRS.encode()).hexdigest()
    assert await house.bring({"consumer": "acme", by: shown, "scopes": ["orders:read"]}) == []
    verdict = await house.check(THEIRS)
    assert isinstance(verdict, Verified)
    assert (verdict.principal.consumer, verdict.principal.scopes) == ("acme", {"orders:read"})
    assert await house.check(THEIRS + "x") == Refused("key_unknown")
    key_id = verdict.principal.key_id
    with pytest.raises(Conflict, match="its own text"):
        await house.keys.rotate(key_id, NOW)
    await house.keys.revoke(key_id, NOW)
    assert await house.check(THEIRS) == Refused("key_revoked")


async def test_another_gateway_with_the_records_learns_of_them_at_start() -> None:
    house = House()
    await house.bring({"consumer": "acme", "text": THEIRS})
    fresh = KeyRing(house.records, PEPPER, RevocationSet())
    await fresh.learn()
    answer: Any = fresh.check(THEIRS.encode(), "r", "192.0.2.1", NOW)
    assert isinstance(await answer, Verified)


async def test_an_export_comes_back_as_it_was_and_never_twice() -> None:
    house, other = House(), House()
    issued = await house.keys.issue(
        KeyRequest("acme", "Acme", "pro", scopes=frozenset("ab"), cidrs=("10.0.0.0/8",)), NOW
    )
    await house.keys.rotate(issued.key.id, NOW, 60.0)
    await house.bring({"consumer": "beta", "text": THEIRS})
    found, following = await house.keys.search(now=NOW)
    assert following == ""
    rows = [house.keys.row_of(key) for key in found]
    assert await other.bring(*rows) == []
    assert (await other.keys.search(now=NOW))[0] == found
    keys, _ = other.keys.read_rows(rows, NOW)
    again = await other.keys.bring(keys)
    assert (again.added, again.there) == (0, 2)
    stranger = House(b"q" * 32)
    assert "another pepper" in (await stranger.bring(*rows))[0]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (7, "not an object"),
        ({}, "consumer"),
        ({"consumer": "acme"}, "one of text, sha256"),
        ({"consumer": "acme", "text": THEIRS, "sha256": "0" * 64}, "one of text, sha256"),
        ({"consumer": "acme", "text": "short"}, "16 to 512"),
        ({"consumer": "acme", "text": "with a space in its middle"}, "16 to 512"),
        ({"consumer": "acme", "text": "spk_0123456789ab_secret"}, "its export"),
        ({"consumer": "acme", "sha256": "zz"}, "64 hex"),
        ({"consumer": "acme", "text": THEIRS, "cidrs": ["10/8x"]}, "10/8x"),
        ({"consumer": "acme", "text": THEIRS, "scopes": "a b"}, "list"),
        ({"consumer": "acme", "text": THEIRS, "expires_at": "soon"}, "Unix seconds"),
        ({"consumer": "acme", "text": THEIRS, "secret": "x"}, "no such field: secret"),
        ({"consumer": "acme", "secrets": [], "id": "a"}, "one of text, sha256"),
    ],
)
async def test_mistakes_are_named_without_the_text(row: object, words: str) -> None:
    house = House()
    (wrong,) = await house.bring(row)
    assert wrong.startswith("key 1: ")
    assert words in wrong
    assert THEIRS not in wrong
    assert (await house.keys.search(now=NOW))[0] == []


async def test_search_by_consumer_state_and_text_with_a_cursor() -> None:
    house = House()
    issued = [await house.keys.issue(KeyRequest(f"c{n % 3}", owner=f"Owner {n}"), NOW) for n in range(30)]
    await house.keys.revoke(issued[0].key.id, NOW)
    seen: list[str] = []
    after = ""
    while True:
        page, after = await house.keys.search("c0", after=after, limit=3, now=NOW)
        seen += [key.id for key in page]
        if not after:
            break
    assert seen == sorted(one.key.id for one in issued if one.key.consumer == "c0")
    (found,), _ = await house.keys.search(text="owner 17", now=NOW)
    assert found.owner == "Owner 17"
    revoked, _ = await house.keys.search(state="revoked", now=NOW)
    assert [key.id for key in revoked] == [issued[0].key.id]
    assert await house.keys.revoke_all([one.key.id for one in issued], NOW) == 29
    assert {key.state(NOW) for key in (await house.keys.search(now=NOW))[0]} == {KeyState.REVOKED}
    with pytest.raises(UnknownKey):
        await house.keys.revoke_all(["nothing"], NOW)


@given(st.lists(st.binary(min_size=32, max_size=32), unique=True, max_size=20))
def test_ids_of_imported_keys_do_not_meet_and_say_nothing_without_the_pepper(digests: list[bytes]) -> None:
    ids = {imported_key(PEPPER, digest).id for digest in digests}
    assert len(ids) == len(digests)
    assert ids.isdisjoint(imported_key(b"other", digest).id for digest in digests)


def test_what_may_be_a_key() -> None:
    assert may_be_key(THEIRS.encode())
    assert not any(may_be_key(text) for text in (b"", b"x" * 15, b"x" * 513, "é".encode() * 16, b"a" * 16 + b"\n"))


def test_a_row_keeps_its_times() -> None:
    key = imported(
        {"consumer": "acme", "text": THEIRS, "created_at": 1.0, "expires_at": NOW + 1, "last_used_at": 2}, NOW, PEPPER
    )
    assert (key.created_at, key.expires_at, key.last_used_at) == (1.0, NOW + 1, 2.0)
