"""Registered documents, validated as a server validates them: slow, thorough, and only when somebody registers or checks them."""

from __future__ import annotations

import graphql


def problems_of(document: str, sdl: str) -> list[str]:
    """What a server with this schema would say against the document, with places; empty for nothing. Raises ValueError for a text
    that is no schema."""
    try:
        schema = graphql.build_schema(sdl, assume_valid_sdl=True)
    except (graphql.GraphQLError, TypeError) as error:
        raise ValueError(str(error).splitlines()[0]) from error
    try:
        parsed = graphql.parse(document)
    except (graphql.GraphQLError, RecursionError) as error:
        return [str(error).splitlines()[0]]
    return [_words(error) for error in graphql.validate(schema, parsed)]


def _words(error: graphql.GraphQLError) -> str:
    place = f" (line {error.locations[0].line})" if error.locations else ""
    return error.message + place
