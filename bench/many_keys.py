"""What one API key look-up costs with ten keys in the records and with a million: CPU and time, SQLite.

Prints one line per size: keys, microseconds of a look-up in the records, microseconds of a request with a known key.
Run: python bench/many_keys.py [KEYS]
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))  # behind PYTHONPATH, where the compiled sources may be

from spork.adapters.sqlalchemy.database import open_database
from spork.adapters.sqlalchemy.identity import SqlRecords, key_row
from spork.adapters.sqlalchemy.migrations import upgrade
from spork.application.callers.keys import KeyRing
from spork.domain.identity.consumers import ApiKey, KeySecret, mint, mint_id, secret_digest
from spork.domain.identity.revocation import RevocationSet

NOW = 1_800_000_000.0
PEPPER = b"pepper"
LOOK_UPS = 300


def text_of(number: int) -> bytes:
    return str(mint(mint_id(number.to_bytes(9, "big")), number.to_bytes(24, "big"))).encode()


def row_of(number: int) -> dict[str, object]:
    text = mint(mint_id(number.to_bytes(9, "big")), number.to_bytes(24, "big"))
    secret = KeySecret(secret_digest(PEPPER, text.secret), NOW)
    return key_row(ApiKey(text.id, f"consumer-{number % 5000}", (secret,), NOW))


def picks(count: int) -> list[int]:
    """Which keys are looked up."""
    return [(number * 7919) % count for number in range(LOOK_UPS)]


def fill(path: Path, count: int) -> None:
    """Straight into the file: a million rows in a minute."""
    names = list(row_of(0))
    statement = f"INSERT INTO api_keys ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    sought = {pick: tuple(row_of(pick).values()) for pick in picks(count)}
    rest = tuple(row_of(0).values())[2:]  # the digest of another key: nobody will ask for these

    def rows() -> Iterator[tuple[object, ...]]:
        for number in range(count):
            yield sought.get(number) or (mint_id(number.to_bytes(9, "big")), f"consumer-{number % 5000}", *rest)

    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.executemany(statement, rows())


async def measure(count: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        engine = open_database("sqlite", directory)
        await upgrade(engine)
        await asyncio.to_thread(fill, Path(directory) / "records.db", count)
        records = SqlRecords(engine)
        sought = picks(count)
        for pick in sought[:20]:
            await records.find(text_of(pick)[4:16].decode())
        began = time.perf_counter()
        for pick in sought:
            assert await records.find(text_of(pick)[4:16].decode()) is not None
        looked_up = (time.perf_counter() - began) / LOOK_UPS
        ring = KeyRing(records, PEPPER, RevocationSet())
        text = text_of(sought[-1])
        await ring.check(text, "route", "192.0.2.1", NOW)  # type: ignore[misc]
        began = time.process_time()
        for _ in range(20_000):
            ring.check(text, "route", "192.0.2.1", NOW)
        known = (time.process_time() - began) / 20_000
        print(f"{count:9d} keys  {looked_up * 1e6:8.0f} us in the records  {known * 1e6:6.2f} us when known")
        await engine.dispose()


async def main() -> None:
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    for count in (10, most):
        await measure(count)


asyncio.run(main())
