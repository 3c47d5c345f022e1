"""The shapes of what may be written, taken from the Structs' annotations once: for reading, writing and the schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from spork.adapters.yaml.scalars import BOOLEAN, NUMBER, TEXT, WHOLE, Kind


@dataclass(frozen=True, slots=True)
class Scalar:
    kind: Kind


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words or numbers."""

    options: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class ItemShape:
    """A list."""

    item: Shape


@dataclass(frozen=True, slots=True)
class Entries:
    """A mapping with names of the operator's own."""

    key: Kind
    value: Shape


@dataclass(frozen=True, slots=True)
class Record:
    """A mapping with fixed keys."""

    struct: type[msgspec.Struct]


@dataclass(frozen=True, slots=True)
class Anything:
    """Whatever YAML can say."""


@dataclass(frozen=True, slots=True)
class Either:
    """At most one scalar, one list and one mapping shape; `null` when absence may be written."""

    scalar: Scalar | Choice | None
    items: ItemShape | None
    mapping: Record | Entries | None
    null: bool


Shape = Scalar | Choice | ItemShape | Entries | Record | Anything | Either


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a Record: the key as written, the Struct's attribute, its shape, default and documentation."""

    key: str
    attribute: str
    shape: Shape
    required: bool
    default: Any
    doc: str


@cache
def fields_of(struct: type[msgspec.Struct]) -> Mapping[str, Field]:
    """The keys of a Struct in the order of its declaration."""
    hints = get_type_hints(struct, include_extras=True)
    found: dict[str, Field] = {}
    for info in msgspec.structs.fields(struct):
        hint = hints[info.name]
        doc = next((m for m in _annotations(hint) if isinstance(m, str)), "")
        default = info.default_factory() if info.default_factory is not msgspec.NODEFAULT else info.default
        field = Field(info.encode_name, info.name, shape_of(hint), info.required, default, doc)
        found[field.key] = field
    return MappingProxyType(found)


def _annotations(hint: Any) -> tuple[Any, ...]:
    return tuple(getattr(hint, "__metadata__", ()))


def shape_of(hint: Any) -> Shape:
    """The shape a type annotation means."""
    kind = next((m for m in _annotations(hint) if isinstance(m, Kind)), None)
    if kind is not None:
        return Scalar(kind)
    if get_origin(hint) is Annotated:
        return shape_of(get_args(hint)[0])
    origin = get_origin(hint)
    if origin is Literal:
        return Choice(get_args(hint))
    if origin is tuple:
        return ItemShape(shape_of(get_args(hint)[0]))
    if origin is dict:
        key, value = get_args(hint)
        key_shape = shape_of(key)
        return Entries(key_shape.kind if isinstance(key_shape, Scalar) else TEXT, shape_of(value))
    if origin in (Union, UnionType):
        return _either(get_args(hint))
    return _plain(hint)


def _plain(hint: Any) -> Shape:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return Record(hint)
    plain: dict[Any, Shape] = {
        str: Scalar(TEXT),
        bool: Scalar(BOOLEAN),
        int: Scalar(WHOLE),
        float: Scalar(NUMBER),
        Any: Anything(),
    }
    return plain[hint]


def _either(options: tuple[Any, ...]) -> Shape:
    shapes = [shape_of(option) for option in options if option is not type(None)]
    null = type(None) in options
    scalar = next((s for s in shapes if isinstance(s, Scalar | Choice)), None)
    items = next((s for s in shapes if isinstance(s, ItemShape)), None)
    mapping = next((s for s in shapes if isinstance(s, Record | Entries)), None)
    if sum(x is not None for x in (scalar, items, mapping)) != len(shapes):
        raise TypeError(f"a union of {options} cannot be told apart in YAML")
    return Either(scalar, items, mapping, null)
