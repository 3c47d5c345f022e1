"""Which bound an operation exceeds, as a value: code, bound and what was found."""

from __future__ import annotations

from typing import Final, NamedTuple

from spork.domain.graphql.measuring import Measures
from spork.domain.graphql.policy import Bounds


class Refusal(NamedTuple):
    """Why an operation is refused. `reason` is the stable slug, `code` what GraphQL clients read in `extensions`; `limit` and
    `found` are -1 where no number says it."""

    reason: str
    code: str
    message: str
    limit: int = -1
    found: int = -1


LIMIT: Final = "graphql_limit_exceeded"
UNREADABLE: Final = "graphql_unreadable"
INVALID: Final = "graphql_invalid"
MALFORMED: Final = "graphql_malformed"


def exceeded(code: str, what: str, limit: int, found: int) -> Refusal:
    """A bound is exceeded: `what` there is too much of."""
    return Refusal(LIMIT, code, f"The operation has too many {what}.", limit, found)


def exceeding(measures: Measures, bounds: Bounds) -> Refusal | None:
    """The first bound that an operation exceeds."""
    if measures.depth > bounds.depth:
        return Refusal(LIMIT, "MAX_DEPTH_EXCEEDED", "The operation is too deep.", bounds.depth, measures.depth)
    if measures.introspection > bounds.introspection_depth:
        return Refusal(
            LIMIT, "MAX_DEPTH_EXCEEDED", "The introspection is too deep.", bounds.introspection_depth,
            measures.introspection,
        )  # fmt: skip
    if measures.aliases > bounds.aliases:
        return exceeded("MAX_ALIASES_EXCEEDED", "aliases", bounds.aliases, measures.aliases)
    if measures.root_fields > bounds.root_fields:
        return exceeded("MAX_ROOT_FIELDS_EXCEEDED", "root fields", bounds.root_fields, measures.root_fields)
    if measures.fields > bounds.fields:
        return exceeded("MAX_FIELDS_EXCEEDED", "fields", bounds.fields, measures.fields)
    if measures.directives > bounds.directives:
        return exceeded("MAX_DIRECTIVES_EXCEEDED", "directives", bounds.directives, measures.directives)
    return None
