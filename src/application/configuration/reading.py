"""What the edge lets through by choice of the configuration: escaped slashes, names with underscores, further methods."""

from __future__ import annotations

from dataclasses import dataclass

from spork.application.configuration.model import Configuration, HeaderEdit


@dataclass(frozen=True, slots=True)
class Reading:
    """How one listener reads requests beyond what HTTP leaves no choice in.

    `slashes`: `%2F` in a path is part of its segment. `underscores`: refuse, drop or allow header names with `_`; `owned` are
    names (lower-case, with dashes) that none of them may stand for. `methods` are taken beside those of `METHODS`.
    """

    slashes: bool = False
    underscores: str = "refuse"
    owned: frozenset[bytes] = frozenset()
    methods: frozenset[bytes] = frozenset()


def reading_of(configuration: Configuration) -> Reading:
    """What the data listener lets through."""
    edge = configuration.edge
    owned: set[bytes] = {b"x-api-key"}
    if configuration.mtls_header:
        owned.add(configuration.mtls_header.encode("ascii"))
    for route in configuration.routes:
        owned |= _named(route.request_headers)
    for upstream in configuration.upstreams:
        owned |= _named(upstream.request_headers)
    return Reading(
        any(route.encoded_slashes for route in configuration.routes),
        edge.header_underscores,
        frozenset(owned),
        frozenset(method.encode("ascii") for method in edge.methods),
    )


def _named(edit: HeaderEdit) -> set[bytes]:
    """The names that an edit sets, adds or removes: a client's alias of one would undo it."""
    return {name for name, _ in (*edit.set, *edit.add)} | set(edit.remove)
