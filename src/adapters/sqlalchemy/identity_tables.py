"""Tables of identity. Times are Unix seconds; sets and lists are JSON texts in a fixed order."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, Text

METADATA = MetaData()

_NUMBER = BigInteger().with_variant(Integer(), "sqlite")

CONSUMERS = Table(
    "consumers",
    METADATA,
    Column("name", String(255), primary_key=True),
    Column("plan", String(255), nullable=False),
    Column("owner", String(255), nullable=False),
    Column("tenant", String(255), nullable=False),
    Column("subjects", Text, nullable=False),
    Column("roles", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("basic_password_hash", String(255), nullable=False),
    Column("updated_at", Float(53), nullable=False),
)

#: A key has one or two secrets, so both stand in its row: a look-up is one probe of the primary key.
API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("consumer", String(255), nullable=False),
    Column("owner", String(255), nullable=False),
    Column("plan", String(255), nullable=False),
    Column("tenant", String(255), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("roles", Text, nullable=False),
    Column("routes", Text, nullable=False),
    Column("cidrs", Text, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("digest_created_at", Float(53), nullable=False),
    Column("digest_not_after", Float(53)),
    Column("older_digest", LargeBinary(32)),
    Column("older_created_at", Float(53)),
    Column("older_not_after", Float(53)),
    Column("created_at", Float(53), nullable=False),
    Column("expires_at", Float(53)),
    Column("revoked_at", Float(53)),
    Column("last_used_at", Float(53)),
    Index("api_keys_by_consumer", "consumer", "id"),
)

REVOCATIONS = Table(
    "revocations",
    METADATA,
    Column("id", String(1400), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("value", String(1024), nullable=False),
    Column("issuer", String(255), nullable=False),
    Column("before", Float(53), nullable=False),
    #: NULL: never forgotten.
    Column("expires_at", Float(53)),
    Column("reason", Text, nullable=False),
    Column("actor", String(255), nullable=False),
    Column("created_at", Float(53), nullable=False),
    Index("revocations_by_expiry", "expires_at"),
)

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("issuer", String(255), primary_key=True),
    Column("id", String(1024), primary_key=True),
    Column("subject", String(1024), nullable=False),
    Column("started_at", Float(53), nullable=False),
    Column("last_seen", Float(53), nullable=False),
    Column("expires_at", Float(53)),
    Column("client", String(64), nullable=False),
    Index("sessions_by_subject", "subject"),
    Index("sessions_by_id", "id"),
)

#: Facts about these records as a whole, each said once: which pepper their keys were made with.
FACTS = Table(
    "identity_facts",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("value", String(255), nullable=False),
)

#: What replicas that share these records follow; old rows are dropped.
CHANGES = Table(
    "identity_changes",
    METADATA,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),
    Column("subject", String(1400), nullable=False),
    Column("at", Float(53), nullable=False),
    sqlite_autoincrement=True,
)
