"""Counts of requests under objectives."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from spork.adapters.sqlalchemy.objective_tables import METADATA

name = "objectives"


def upgrade(connection: Connection) -> None:
    METADATA.create_all(connection)
