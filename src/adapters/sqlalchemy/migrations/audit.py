"""The audit trail and the usage of consumers by hour."""

from __future__ import annotations

from sqlalchemy import insert
from sqlalchemy.engine import Connection

from spork.adapters.sqlalchemy import audit_tables, usage_tables
from spork.application.telemetry.audit import GENESIS

name = "audit and usage"


def upgrade(connection: Connection) -> None:
    audit_tables.METADATA.create_all(connection)
    usage_tables.METADATA.create_all(connection)
    connection.execute(
        insert(audit_tables.CHAIN).values(one=1, anchor_number=0, anchor_hash=GENESIS, head_number=0, head_hash=GENESIS)
    )
