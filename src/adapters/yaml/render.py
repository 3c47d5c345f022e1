"""A document written back as YAML: canonical order, defaults left out, secrets replaced.

The same configuration gives the same text however it was split over files, so texts can be compared line by line.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from spork.adapters.yaml import written
from spork.adapters.yaml.decode import FAILED
from spork.adapters.yaml.scalars import Kind
from spork.adapters.yaml.shapes import Anything, Either, Entries, ItemShape, Record, Scalar, Shape, fields_of
from spork.adapters.yaml.written import Document

MASK = "********"
_PASSWORD = re.compile(r"(?<=://)([^/@]*:)?[^/@]*(?=@)")
_PLAIN = re.compile(
    r"[A-Za-z/][A-Za-z0-9_./-]*(?::[A-Za-z0-9_./-]+)*\Z|[0-9]+[A-Za-z][A-Za-z0-9/]*\Z|[0-9][0-9.]*:[0-9]+\Z"
)
_CREDENTIAL = re.compile(r"auth|cookie|token|secret|password|api-?key|signature")
_PRIVATE_MEMBERS = frozenset(("k", "d", "p", "q", "dp", "dq", "qi", "oth"))
_PUBLIC_PEM = re.compile(r"\s*-----BEGIN (PUBLIC KEY|CERTIFICATE|RSA PUBLIC KEY)-----")
_WORDS = frozenset(("true", "false", "yes", "no", "on", "off", "null", "y", "n"))
_Tree = Any


def render(document: Document, *, redact: bool = True) -> str:
    """`document` as canonical YAML that reads back as the same document (but for its secrets, if `redact`)."""
    tree = _record(document, redact)
    return "\n".join(_lines(tree, "")) + "\n" if tree else "{}\n"


def revision_of(document: Document) -> str:
    """A short digest of everything the document says, secrets included."""
    everything = msgspec.json.encode(document, enc_hook=lambda _: None, order="sorted")
    return hashlib.sha256(everything).hexdigest()[:12]


# ------------------------------------------------------------------------------------------------- document to a tree


def _record(struct: msgspec.Struct, redact: bool) -> dict[str, _Tree]:
    tree: dict[str, _Tree] = {}
    for key, field in fields_of(type(struct)).items():
        value = getattr(struct, field.attribute)
        if field.required or value != field.default:
            tree[key] = _tree(value, field.shape, redact)
            if redact and (mask := _MASKED_FIELDS.get((type(struct), key))) is not None:
                tree[key] = mask(tree[key])
    return tree


def _tree(value: Any, shape: Shape, redact: bool) -> _Tree:
    if value is None:
        return None
    if isinstance(shape, Either):
        shape = _chosen(value, shape)
    if isinstance(shape, Record):
        return _record(value, redact)
    if isinstance(shape, ItemShape):
        return [_tree(item, shape.item, redact) for item in value if item is not FAILED]
    if isinstance(shape, Entries):
        return {name: _tree(value[name], shape.value, redact) for name in sorted(value)}
    if isinstance(shape, Anything):
        return value
    if isinstance(shape, Scalar):
        return _masked(value, shape.kind) if redact and shape.kind.secret else shape.kind.format(value)
    return value


def _chosen(value: Any, shape: Either) -> Shape:
    if isinstance(value, msgspec.Struct | Mapping):
        return shape.mapping or Anything()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return shape.items or Anything()
    return shape.scalar or Anything()


def _mask_headers(headers: dict[str, _Tree]) -> dict[str, _Tree]:
    """Values of headers that carry credentials."""
    return {name: MASK if value and _CREDENTIAL.search(name.lower()) else value for name, value in headers.items()}


def _mask_keys(keys: list[_Tree]) -> list[_Tree]:
    """Public PEM texts and public members of JWKs stay; a shared secret or a private member does not."""

    def mask(key: _Tree) -> _Tree:
        if isinstance(key, dict):
            return {name: MASK if name in _PRIVATE_MEMBERS else value for name, value in key.items()}
        return key if isinstance(key, str) and _PUBLIC_PEM.match(key) else MASK

    return [mask(key) for key in keys]


def _mask_plugins(options: Any) -> Any:
    """Members whose name says that they are a credential, however deep; what a plugin calls otherwise it must not keep secret here."""
    if isinstance(options, dict):
        return {
            name: MASK if isinstance(value, str) and _CREDENTIAL.search(name.lower()) else _mask_plugins(value)
            for name, value in options.items()
        }
    return [_mask_plugins(item) for item in options] if isinstance(options, list) else options


_MASKED_FIELDS: dict[tuple[type, str], Callable[[Any], Any]] = {
    (written.Issuer, "keys"): _mask_keys,
    (written.HeaderEdits, "set"): _mask_headers,
    (written.HeaderEdits, "add"): _mask_headers,
    (written.Match, "headers"): _mask_headers,
    (written.Split, "header"): _mask_headers,
    (written.Route, "plugins"): _mask_plugins,
    (written.PluginEntry, "options"): _mask_plugins,
}


def _masked(value: str, kind: Kind) -> str:
    if kind.name == "a secret":
        return MASK if value else ""
    return _PASSWORD.sub(lambda found: (found[1] or "") + MASK, value)


# ----------------------------------------------------------------------------------------------------- tree to lines


def _lines(tree: _Tree, indent: str) -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _entry(f"{indent}{_scalar(key)}:", value, indent + "  ")
    else:
        for item in tree:
            yield from _item(item, indent)


def _entry(head: str, value: _Tree, indent: str) -> Iterator[str]:
    if _is_short(value):
        yield f"{head} {_flow(value)}".rstrip()
    else:
        yield head
        yield from _lines(value, indent)


def _item(item: _Tree, indent: str) -> Iterator[str]:
    if _is_short(item):
        yield f"{indent}- {_flow(item)}"
        return
    lines = list(_lines(item, indent + "  "))
    yield f"{indent}- {lines[0][len(indent) + 2 :]}"
    yield from lines[1:]


def _is_short(value: _Tree) -> bool:
    """Scalars, what is empty, and lists of scalars stand on one line."""
    if isinstance(value, dict):
        return not value
    if isinstance(value, list | tuple):
        return not any(isinstance(item, dict | list | tuple) and item for item in value)
    return True


def _flow(value: _Tree) -> str:
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return _scalar(value)


def _scalar(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    text = str(value).replace("$", "$$")
    if _PLAIN.match(text) and text.lower() not in _WORDS:
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08x}"
