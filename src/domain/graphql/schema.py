"""A schema as pricing and rules by field need it: compact, immutable, made once when a configuration is read."""

from __future__ import annotations

from typing import NamedTuple

from spork.domain.graphql.policy import Needs


class ListSize(NamedTuple):
    """How long a list may be (@listSize). `slicing` are paths to arguments (`first`, `filter.max`); `sized_fields` those fields of
    the type that the size is meant for, instead of this one."""

    assumed: int | None = None
    slicing: tuple[tuple[str, ...], ...] = ()
    sized_fields: tuple[str, ...] = ()


class InputField(NamedTuple):
    """An argument or a field of an input type: its weight, its type, its default where that is a whole number."""

    weight: int
    type: str
    default: int | None


class SchemaField(NamedTuple):
    """A field. `type` is what it answers, lists taken off; `weight` of one such value; `needs` are places in `Schema.needs`."""

    type: str
    many: bool
    weight: int
    leaf: bool
    size: ListSize | None
    arguments: dict[str, InputField]
    argument_costs: bool
    needs: tuple[int, ...]


class Schema(NamedTuple):
    """Types with fields by name. `roots` by kind of operation; `inputs` are input types; `digest` is of the text it was made of."""

    roots: dict[str, str]
    types: dict[str, dict[str, SchemaField]]
    inputs: dict[str, dict[str, InputField]]
    needs: tuple[Needs, ...]
    digest: str
