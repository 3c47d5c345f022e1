"""Usage in records: one row per consumer, route and hour."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, MetaData, String, Table

METADATA = MetaData()

USAGE = Table(
    "usage_hours",
    METADATA,
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("consumer", String(300), primary_key=True),
    Column("route", String(200), primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("bytes_in", BigInteger, nullable=False),
    Column("bytes_out", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
)
