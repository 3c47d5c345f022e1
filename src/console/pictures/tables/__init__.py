"""The console's lists, one definition each for screen, `get` and documentation."""

from __future__ import annotations

from spork.console.pictures.columns import Table
from spork.console.pictures.tables import access, gateway, health, interfaces, records, serving, usage

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        health.SERVICES,
        health.TARGETS,
        health.BREAKERS,
        usage.QUOTAS,
        usage.LIMITS,
        usage.CONSUMERS,
        records.ROUTES,
        records.TRAFFIC,
        records.EVENTS,
        gateway.NODES,
        gateway.COMPONENTS,
        gateway.OBJECTIVES,
        gateway.AUDIT,
        gateway.USAGE,
        gateway.CONNECTIONS,
        serving.CACHE,
        serving.VERSIONS,
        interfaces.CHANNELS,
        interfaces.DOCUMENTS,
        access.KEYS,
        access.SESSIONS,
    )
}
"""By name, which is also the topic's."""
