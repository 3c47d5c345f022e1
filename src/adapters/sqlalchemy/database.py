"""The records' database: SQLite under the state directory by default, PostgreSQL by URL. One schema for both.

`records` is `sqlite` (a file `records.db` in the state directory), `sqlite:///path/to/file.db`, or `postgresql://...`.
Waiting for a connection and for a lock are bounded; opening reaches out to nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from sqlite3 import OperationalError as SqliteError
from typing import Any

from sqlalchemy import Table, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from spork.application.callers.ports import RecordsGone

#: Seconds a SQLite connection waits for another process's write.
_BUSY = 5.0


def database_url(records: str, state_dir: str) -> URL:
    """The driver URL that `records` means. Raises ValueError for a database that is not supported."""
    if records == "sqlite":
        return URL.create("sqlite+aiosqlite", database=str(Path(state_dir) / "records.db"))
    url = make_url(records)
    backend = url.get_backend_name()
    if backend == "sqlite":
        return url.set(drivername="sqlite+aiosqlite")
    if backend in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+asyncpg")
    raise ValueError(f"records: {backend} is not supported, use sqlite or postgresql://")


def open_database(records: str, state_dir: str) -> AsyncEngine:
    """An engine for `records`; connections are made on first use. Close with `await engine.dispose()`."""
    url = database_url(records, state_dir)
    if url.get_backend_name() == "sqlite":
        if url.database and url.database != ":memory:":
            Path(url.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        engine = create_async_engine(url, connect_args={"timeout": _BUSY})
        event.listen(engine.sync_engine, "do_connect", _private_files(url.database or ""))
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        return engine
    arguments: dict[str, Any] = {"timeout": 5.0, "command_timeout": 10.0}
    host = url.query.get("host")
    if isinstance(host, str) and url.host is None:
        # A socket directory: asyncpg takes it as an argument, not in the URL.
        arguments["host"] = host
        url = url.difference_update_query(["host"])
    return create_async_engine(
        url, pool_size=5, max_overflow=5, pool_timeout=5.0, pool_pre_ping=True, connect_args=arguments
    )


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection to read with. Raises RecordsGone where the database is what fails."""
    with _told_apart():
        async with engine.connect() as connection:
            yield connection


@asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction, committed when the block ends well. Raises as `reading`, and IntegrityError."""
    with _told_apart():
        async with engine.begin() as connection:
            yield connection


@contextlib.contextmanager
def _told_apart() -> Iterator[None]:
    """A database that is gone, stuck or locked is told apart from a statement that is wrong."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout, TimeoutError, OSError) as error:
        raise RecordsGone(f"the records do not answer: {_cause(error)}") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise RecordsGone(f"the records do not answer: {_cause(error)}") from error
        raise


def _cause(error: BaseException) -> str:
    """The driver's own words, without the statement and its values."""
    original = getattr(error, "orig", None) or error
    return f"{type(original).__name__}: {original}".partition("\n")[0][:200]


def is_sqlite(engine: AsyncEngine) -> bool:
    return engine.dialect.name == "sqlite"


def insert_into(engine: AsyncEngine, table: Table) -> Any:
    """INSERT in the database's own dialect, which has ON CONFLICT. The other dialect is not imported."""
    if is_sqlite(engine):
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def _private_files(database: str) -> Callable[..., None]:
    """Makes the database's files readable by their owner only, before the first connection, in whatever directory they
    stand; SQLite gives those it adds (`-wal`, `-shm`) the mode of the first."""
    done = not database or database == ":memory:" or database.startswith("file:")

    def before_connect(*_: object) -> None:
        nonlocal done
        if done:
            return
        done = True
        with contextlib.suppress(OSError):  # not ours to change, or not to be written: connecting says what is wrong
            os.close(os.open(database, os.O_CREAT | os.O_RDWR, 0o600))
            for path in (database, f"{database}-wal", f"{database}-shm"):
                if Path(path).exists():
                    Path(path).chmod(0o600)

    return before_connect


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Readers beside one writer (WAL), durable at each checkpoint; waits instead of failing when locked."""
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={int(_BUSY * 1000)}", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    try:
        cursor.execute("PRAGMA journal_mode=WAL")
    except (SqliteError, DBAPIError):
        # Another process is switching this new file to WAL at this moment; the mode is the file's and stays.
        pass
    cursor.close()
