"""Consumers, API keys, revocations, sessions, and the numbered list of changes that replicas follow."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from spork.adapters.sqlalchemy.identity_tables import METADATA

name = "identity"


def upgrade(connection: Connection) -> None:
    METADATA.create_all(connection)
