"""A path of an upstream's document as clients ask for it: a route's rewrite, applied backwards.

`Rewrite` says how a client's path becomes the target's. Here the target's path (a template of OpenAPI, `/orders/{id}`) is
known and the client's is sought. Every way in which a route may have made it is written down as a pair of patterns
(`_Image`), the target's side is matched with the template, and what the parts stood for is put into the client's side.
Each answer is then proved: a path with made-up values goes through the real rewriter and must arrive.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from spork.domain.routing.patterns import Match, PathPattern, Rewrite

_NAME: Final = re.compile(r"\{([^{}]*)\}")
#: Stands for the part of a path below a prefix.
_REST: Final = "*"


@dataclass(frozen=True, slots=True)
class ClientPath:
    """What clients ask for: a template, and what became of the names in the target's template.

    `fixed` are parameters that the route leaves one value (decoded they are what the target sees), `extra` names of
    parameters of the route that the target does not get to see. `witness` is a path of this form.
    """

    path: str
    fixed: Mapping[str, str] = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    witness: bytes = b""


@dataclass(frozen=True, slots=True)
class _Image:
    """A form of a client's path and the form in which the target gets it; `{name}` parts stand in both."""

    client: tuple[str, ...]
    target: tuple[str, ...]


def backwards(match: Match, rewrite: Rewrite, wanted: str, bound: Mapping[str, str] | None = None) -> ClientPath | None:
    """The client's path for which the route's target gets `wanted`; None when there is none.

    `bound` gives parameters of the route their only value (an upstream that the path names).
    """
    segments = wanted.split("/")[1:]
    for image in _images(match.path, rewrite, bound or {}):
        for parts in _matched(image.target, segments):
            found = _client(image, parts, wanted)
            if found is not None and _arrives(match.path, rewrite, found, wanted):
                return found
    return None


# ------------------------------------------------------------------------------------------------------------ forwards


def _images(pattern: PathPattern, rewrite: Rewrite, bound: Mapping[str, str]) -> Iterator[_Image]:
    """How the pattern's paths arrive, the most usual way first."""
    client = [_bound(part.decode("ascii"), bound) for part in pattern.segments]
    if pattern.prefix:
        client.append(_REST)
    kept = list(client)
    if rewrite.drop is not None:
        index, text = rewrite.drop
        if index < len(kept) and kept[index] == text.decode("ascii"):
            del kept[index]
    if rewrite.path:
        target = _template(rewrite.path, bound)
        if target is not None:
            yield _Image(tuple(client), _under(rewrite.add, target))
        return
    if rewrite.strip:
        yield from _stripped(client, kept, rewrite)
        if "{" in rewrite.strip:
            return
    yield _Image(tuple(client), _under(rewrite.add, kept))


def _bound(part: str, bound: Mapping[str, str]) -> str:
    return bound.get(part[1:-1], part) if part.startswith("{") else part


def _under(add: str, target: Sequence[str]) -> tuple[str, ...]:
    added = add.rstrip("/").split("/")[1:]
    return (*added, *target)


def _template(text: str, bound: Mapping[str, str]) -> list[str] | None:
    """The segments of a rewrite's template; None where `{rest}` stands anywhere but at the end."""
    end = text.endswith("{rest}")
    head = text.removesuffix("{rest}").rstrip("/") if end else text
    if "{rest}" in head:
        return None
    parts = [_NAME.sub(lambda found: bound.get(found[1], found[0]), part) for part in head.split("/")[1:]]
    return [*parts, _REST] if end else parts


def _stripped(client: Sequence[str], kept: Sequence[str], rewrite: Rewrite) -> Iterator[_Image]:
    """Paths that begin with what is stripped."""
    prefix = rewrite.strip.rstrip("/").split("/")[1:]
    named = [part for part in kept if part != _REST]
    counted = "{" in rewrite.strip
    fixed: dict[str, str] = {}
    for part, wanted in zip(named, prefix, strict=False):
        if counted or part == wanted:
            continue
        if not part.startswith("{"):
            return
        fixed[part] = wanted
    below = [part for part in kept[len(named) :] if part == _REST]
    missing = prefix[len(named) :]
    if missing and not below:
        return
    made = [fixed.get(part, part) for part in client if part != _REST]
    if counted:
        missing = [f"{{segment_{at}}}" for at in range(len(missing))]
    yield _Image((*made, *missing, *below), _under(rewrite.add, [*named[len(prefix) :], *below]))


# ----------------------------------------------------------------------------------------------------------- backwards

#: What names of the pattern stood for, and what the rest is.
_Parts = tuple[dict[str, str], dict[str, str], list[str]]


def _matched(target: Sequence[str], wanted: Sequence[str]) -> Iterator[_Parts]:
    """(name of the route -> segment, parameter of the document -> its only value, rest) for which `target` is `wanted`."""
    fixed: dict[str, str] = {}
    values: dict[str, str] = {}
    given = list(wanted)
    parts = list(target)
    rest = parts[-1:] == [_REST]
    if rest:
        del parts[-1]
    if not parts and not rest:
        parts = [""]  # nothing is left of the path: the target gets /
    if len(given) < len(parts) or (len(given) > len(parts) and not rest):
        return
    for part, segment in zip(parts, given, strict=False):
        if part.startswith("{") and part.endswith("}"):
            if part in values and values[part] != segment:
                return
            values[part] = segment
        elif segment != part:
            name = _NAME.fullmatch(segment)
            if name is None or not part or _NAME.search(part):
                return
            fixed[name[1]] = part
    remaining = given[len(parts) :]
    if remaining == [""]:
        yield values, fixed, []  # `/` may have come from nothing below the prefix
    yield values, fixed, remaining


def _client(image: _Image, parts: _Parts, wanted: str) -> ClientPath | None:
    values, fixed, rest = parts
    used = set(_NAME.findall(wanted)) - set(fixed)
    segments: list[str] = []
    extra: list[str] = []
    for part in image.client:
        if part == _REST:
            segments += rest
        elif part in values:
            segments.append(values[part])
        elif part.startswith("{"):
            name = part[1:-1]
            while name in used:
                name += "_"
            used.add(name)
            extra.append(name)
            segments.append(f"{{{name}}}")
        else:
            segments.append(part)
    path = "/" + "/".join(segments)
    return ClientPath(path, fixed, tuple(extra), _witness(path, fixed))


def _witness(template: str, fixed: Mapping[str, str]) -> bytes:
    return _NAME.sub(lambda found: fixed.get(found[1]) or f"~{_word(found[1])}~", template).encode("ascii", "replace")


def _word(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "-", name)


def _arrives(pattern: PathPattern, rewrite: Rewrite, found: ClientPath, wanted: str) -> bool:
    """Whether the witness matches the pattern and becomes what is wanted."""
    segments = found.witness.split(b"/")[1:]
    depth = len(pattern.segments)
    if len(segments) < depth or (len(segments) > depth and not pattern.prefix):
        return False
    params: dict[str, str] = {}
    for part, segment in zip(pattern.segments, segments, strict=False):
        if part[:1] == b"{":
            if not segment:
                return False
            params[part[1:-1].decode()] = segment.decode("ascii")
        elif part != segment:
            return False
    below = segments[depth:]
    rest = b"/" + b"/".join(below) if below else b""
    rewriter = rewrite.compile()
    arrived = found.witness if rewriter is None else rewriter.apply(found.witness, params, rest)
    return arrived == _witness(wanted, found.fixed)
