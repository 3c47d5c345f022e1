"""Tables of the audit trail: the records in the order of their numbers, and where the chain begins and ends."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text

METADATA = MetaData()

RECORDS = Table(
    "audit_records",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("id", String(40), nullable=False, unique=True),
    Column("at", Float, nullable=False),
    Column("action", String(100), nullable=False),
    Column("actor", String(300), nullable=False),
    Column("role", String(20), nullable=False),
    Column("object", String(500), nullable=False),
    Column("outcome", String(40), nullable=False),
    Column("reason", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("client", String(100), nullable=False),
    Column("subject", String(300), nullable=False),
    Column("node", String(200), nullable=False),
    Column("request_id", String(130), nullable=False),
    Column("commitments", Text, nullable=False),
    Column("salts", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("erased", Boolean, nullable=False),
    Index("audit_records_at", "at"),
    Index("audit_records_action", "action"),
    Index("audit_records_subject", "subject"),
    Index("audit_records_actor", "actor"),
)

#: One row: the anchor before the first record that is kept, and the head. Locked while a record is appended.
CHAIN = Table(
    "audit_chain",
    METADATA,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("anchor_number", BigInteger, nullable=False),
    Column("anchor_hash", String(64), nullable=False),
    Column("head_number", BigInteger, nullable=False),
    Column("head_hash", String(64), nullable=False),
)
