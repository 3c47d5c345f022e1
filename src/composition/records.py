"""The records of one gateway process: ready to be served from, or a sentence that says what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from spork.adapters.files.state_files import private_directory
from spork.adapters.sqlalchemy.database import is_sqlite
from spork.adapters.sqlalchemy.identity import SqlRecords
from spork.adapters.sqlalchemy.migrations import pending, upgrade
from spork.application.configuration.model import Configuration


class RecordsNotReady(RuntimeError):
    """The records cannot be served from; the text says what to do."""


async def prepare_records(engine: AsyncEngine, records: SqlRecords, state_dir: str, pepper_mark: str) -> None:
    """Upgrade an SQLite file; a PostgreSQL database must have been upgraded. `pepper_mark` is the digest of the pepper that
    API keys are made with. Raises RecordsNotReady."""
    try:
        if is_sqlite(engine):
            private_directory(Path(state_dir))
            await upgrade(engine)
            missing: Sequence[str] = ()
        else:
            missing = await pending(engine)
    except (OSError, SQLAlchemyError) as error:
        where = engine.url.render_as_string(hide_password=True)
        reason = str(getattr(error, "orig", error)).partition("\n")[0]
        raise RecordsNotReady(f"the records at {where} cannot be opened: {reason}") from error
    if missing:
        raise RecordsNotReady(f"the records lack {', '.join(missing)}: run `spork records upgrade` first")
    if await records.fact("key-pepper", pepper_mark) != pepper_mark:
        raise RecordsNotReady(
            "API keys in these records were made with another pepper: "
            "set SPORK_KEY_PEPPER to the same value for every gateway that shares them"
        )


def own_records(configuration: Configuration) -> str:
    """What is wrong with records that are one node's own beside a store that a fleet shares; empty when nothing is."""
    if configuration.shared == "memory" or configuration.records.startswith("postgres"):
        return ""
    return (
        "Records are this node's own (SQLite): other gateways of the shared store do not see its keys, plans and usage. "
        "Set `records: postgresql://...` for a fleet."
    )
