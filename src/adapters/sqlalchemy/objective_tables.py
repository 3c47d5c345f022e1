"""Counts of objectives in records: one row per objective and slice of time."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Integer, MetaData, String, Table

METADATA = MetaData()

COUNTS = Table(
    "objective_counts",
    METADATA,
    Column("objective", String(40), primary_key=True),
    Column("width", Integer, primary_key=True, autoincrement=False),
    Column("slice", BigInteger, primary_key=True, autoincrement=False),
    Column("requests", BigInteger, nullable=False),
    Column("bad", BigInteger, nullable=False),
    Column("needed_until", Float, nullable=False),
)
BEGINNINGS = Table(
    "objective_beginnings",
    METADATA,
    Column("objective", String(40), primary_key=True),
    Column("since", Float, nullable=False),
)
TELLERS = Table(
    "objective_nodes",
    METADATA,
    Column("node", String(300), primary_key=True),
    Column("told_at", Float, nullable=False),
    Column("batch", String(100), nullable=False),
)
