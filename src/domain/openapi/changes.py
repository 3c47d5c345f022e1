"""What a new version of an OpenAPI document means for clients of the old one.

Rules have a direction: a request that is narrowed refuses what clients send, an answer that is widened brings what they do not
expect. `SEVERITIES` is data: what a rule is worth is decided there, not where it is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from spork.domain.openapi.document import Document, Node, Operation, types_of, upper_bound

BREAKING, WARNING, INFO = "breaking", "warning", "info"

#: rule -> severity.
SEVERITIES: Final[Mapping[str, str]] = {
    "operation-removed": BREAKING,
    "operation-added": INFO,
    "operation-deprecated": INFO,
    "sunset-earlier": BREAKING,
    "sunset-added": WARNING,
    "parameter-removed": BREAKING,
    "parameter-required-added": BREAKING,
    "parameter-became-required": BREAKING,
    "parameter-optional-added": INFO,
    "body-removed": BREAKING,
    "body-added": WARNING,
    "body-became-required": BREAKING,
    "request-media-type-removed": BREAKING,
    "response-removed": BREAKING,
    "error-response-removed": WARNING,
    "response-media-type-removed": BREAKING,
    "security-added": BREAKING,
    "security-alternative-removed": BREAKING,
    "security-scope-added": BREAKING,
    "request-type-narrowed": BREAKING,
    "response-type-widened": BREAKING,
    "request-enum-narrowed": BREAKING,
    "response-enum-widened": BREAKING,
    "request-bound-narrowed": BREAKING,
    "response-bound-widened": BREAKING,
    "request-pattern-changed": BREAKING,
    "response-pattern-changed": WARNING,
    "request-property-became-required": BREAKING,
    "request-property-removed": WARNING,
    "request-closed": BREAKING,
    "response-property-removed": BREAKING,
    "response-property-became-optional": BREAKING,
    "request-variant-removed": BREAKING,
    "response-variant-added": BREAKING,
}
_UPPER: Final = ("maxLength", "maxItems", "maxProperties")
_LOWER: Final = ("minLength", "minItems", "minProperties")
_FORMS: Final = ("pattern", "format", "multipleOf")


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: the rule, the operation (`GET /x`), where inside it, and a sentence."""

    rule: str
    operation: str
    where: str
    detail: str

    @property
    def severity(self) -> str:
        return SEVERITIES[self.rule]

    def __str__(self) -> str:
        place = f" {self.where}" if self.where else ""
        return f"{self.severity}: {self.operation}{place}: {self.detail} ({self.rule})"


def changes(old: Document, new: Document) -> list[Change]:
    """Every difference that a rule knows, those that break clients first."""
    before = {operation.key: operation for operation in old.operations()}
    after = {operation.key: operation for operation in new.operations()}
    found: list[Change] = []
    for key, operation in before.items():
        if key not in after:
            found.append(Change("operation-removed", operation.name, "", "is gone"))
        else:
            found += _Comparison(old, new, operation, after[key]).run()
    found += [Change("operation-added", o.name, "", "is new") for key, o in after.items() if key not in before]
    order = (BREAKING, WARNING, INFO)
    return sorted(found, key=lambda change: (order.index(change.severity), change.operation, change.where, change.rule))


class _Comparison:
    """Two versions of one operation."""

    def __init__(self, old: Document, new: Document, before: Operation, after: Operation) -> None:
        self._old, self._new = old, new
        self._before, self._after = before, after
        self._seen: set[tuple[int, int, bool]] = set()

    def run(self) -> Iterator[Change]:
        yield from self._life()
        yield from self._parameters()
        yield from self._body()
        yield from self._answers()
        yield from self._security()

    def _change(self, rule: str, where: str, detail: str) -> Change:
        return Change(rule, self._before.name, where, detail)

    def _life(self) -> Iterator[Change]:
        before, after = self._before.node, self._after.node
        if after.get("deprecated") is True and before.get("deprecated") is not True:
            yield self._change("operation-deprecated", "", "is deprecated now")
        was, now = str(before.get("x-sunset", "")), str(after.get("x-sunset", ""))
        if now and was and now < was:
            yield self._change("sunset-earlier", "", f"ends on {now}, not {was}")
        elif now and not was:
            yield self._change("sunset-added", "", f"ends on {now}")

    def _parameters(self) -> Iterator[Change]:
        before, after = self._old.parameters(self._before), self._new.parameters(self._after)
        for (where, name), was in before.items():
            place = f"{where} parameter {was.get('name', name)}"
            now = after.get((where, name))
            if now is None:
                yield self._change("parameter-removed", place, "is gone")
                continue
            if now.get("required") is True and was.get("required") is not True:
                yield self._change("parameter-became-required", place, "is required now")
            yield from self._schema(was.get("schema", {}), now.get("schema", {}), place, request=True)
        for key, now in after.items():
            if key not in before:
                place = f"{key[0]} parameter {now.get('name', key[1])}"
                required = now.get("required") is True
                rule = "parameter-required-added" if required else "parameter-optional-added"
                yield self._change(rule, place, "is new and required" if required else "is new")

    def _body(self) -> Iterator[Change]:
        was = self._old.resolve(self._before.node.get("requestBody"))
        now = self._new.resolve(self._after.node.get("requestBody"))
        if was and not now:
            yield self._change("body-removed", "body", "is not taken any more")
            return
        if now and now.get("required") is True and was.get("required") is not True:
            yield self._change("body-became-required", "body", "is required now")
        elif now and not was:
            yield self._change("body-added", "body", "is taken now")
        if was:
            yield from self._content(was, now, "body", request=True)

    def _answers(self) -> Iterator[Change]:
        was = self._before.node.get("responses") or {}
        now = self._after.node.get("responses") or {}
        for status, answer in was.items():
            place = f"answer {status}"
            if status not in now:
                rule = "response-removed" if str(status).startswith("2") else "error-response-removed"
                yield self._change(rule, place, "is gone")
                continue
            yield from self._content(self._old.resolve(answer), self._new.resolve(now[status]), place, request=False)

    def _content(self, was: Node, now: Node, place: str, *, request: bool) -> Iterator[Change]:
        before, after = was.get("content") or {}, now.get("content") or {}
        for media, described in before.items():
            if media not in after:
                rule = "request-media-type-removed" if request else "response-media-type-removed"
                yield self._change(rule, f"{place} {media}", "is gone")
                continue
            old, new = self._old.resolve(described), self._new.resolve(after[media])
            yield from self._schema(old.get("schema", {}), new.get("schema", {}), place, request=request)

    def _security(self) -> Iterator[Change]:
        before, after = self._old.security(self._before), self._new.security(self._after)
        for was in before:
            if any(_admits(now, was) for now in after):
                continue
            schemes = " and ".join(sorted(was))
            if not was:
                yield self._change("security-added", "security", "a credential is needed now")
            elif any(set(now) == set(was) for now in after):
                yield self._change("security-scope-added", "security", f"{schemes} needs more scopes")
            else:
                yield self._change("security-alternative-removed", "security", f"{schemes} is not enough any more")

    # ------------------------------------------------------------------------------------------------- schemas

    def _schema(self, was: object, now: object, place: str, *, request: bool) -> Iterator[Change]:
        """Differences of two schemas. A pair that is being compared already is not gone into again (recursion)."""
        if isinstance(was, bool) or isinstance(now, bool):
            return
        key = (id(was), id(now), request)
        if key in self._seen:
            return
        self._seen.add(key)
        old, new = _flat(self._old, was), _flat(self._new, now)
        yield from self._values(old, new, place, request)
        yield from self._properties(old, new, place, request)
        if "items" in old and "items" in new:
            yield from self._schema(old["items"], new["items"], f"{place}[]", request=request)
        for keyword in ("oneOf", "anyOf"):
            yield from self._variants(old.get(keyword), new.get(keyword), place, request)

    def _values(self, old: Node, new: Node, place: str, request: bool) -> Iterator[Change]:
        narrow, wide = (old, new) if request else (new, old)  # `wide` must take all that `narrow` has
        types, allowed = types_of(narrow), types_of(wide)
        if allowed and not (types and all(t in allowed or (t == "integer" and "number" in allowed) for t in types)):
            rule = "request-type-narrowed" if request else "response-type-widened"
            yield self._change(rule, place, f"type {_words(types_of(old))} became {_words(types_of(new))}")
        values, taken = _enum(narrow), _enum(wide)
        if taken is not None and (values is None or not all(value in taken for value in values)):
            lost = "a list of values" if values is None else _words(frozenset(str(v) for v in values if v not in taken))
            rule = "request-enum-narrowed" if request else "response-enum-widened"
            yield self._change(rule, place, f"{lost} {'is not taken any more' if request else 'may come now'}")
        for keyword in _tighter(narrow, wide):
            rule = "request-bound-narrowed" if request else "response-bound-widened"
            yield self._change(rule, place, f"{keyword} {old.get(keyword, 'none')} became {new.get(keyword, 'none')}")
        for keyword in _FORMS:
            if wide.get(keyword) is not None and wide.get(keyword) != narrow.get(keyword):
                rule = "request-pattern-changed" if request else "response-pattern-changed"
                yield self._change(rule, place, f"{keyword} {old.get(keyword)} became {new.get(keyword)}")

    def _properties(self, old: Node, new: Node, place: str, request: bool) -> Iterator[Change]:
        before, after = old.get("properties") or {}, new.get("properties") or {}
        hidden = "readOnly" if request else "writeOnly"
        was, now = set(map(str, old.get("required") or ())), set(map(str, new.get("required") or ()))
        for name, schema in before.items():
            if self._old.resolve(schema).get(hidden) is True:
                continue
            where = f"{place}.{name}"
            if name not in after:
                rule = "request-property-removed" if request else "response-property-removed"
                yield self._change(rule, where, "is gone")
                continue
            if not request and name in was and name not in now:
                yield self._change("response-property-became-optional", where, "may be missing now")
            yield from self._schema(schema, after[name], where, request=request)
        if request:
            for name in sorted(now - was):
                if self._new.resolve(after.get(name, {})).get(hidden) is not True:
                    yield self._change("request-property-became-required", f"{place}.{name}", "is required now")
            if new.get("additionalProperties") is False and old.get("additionalProperties") is not False:
                yield self._change("request-closed", place, "further properties are refused now")

    def _variants(self, old: object, new: object, place: str, request: bool) -> Iterator[Change]:
        before, after = old if isinstance(old, list) else [], new if isinstance(new, list) else []
        if not before or not after:
            return
        had = [_flat(self._old, variant) for variant in before]
        has = [_flat(self._new, variant) for variant in after]
        if request and (lost := sum(variant not in has for variant in had)) > len(has) - sum(v in had for v in has):
            yield self._change("request-variant-removed", place, f"{lost} of the variants cannot be sent any more")
        if not request and len(has) > len(had):
            yield self._change("response-variant-added", place, f"{len(has) - len(had)} further variant(s) may come")


def _admits(now: Mapping[str, frozenset[str]], was: Mapping[str, frozenset[str]]) -> bool:
    """Whether who satisfied `was` satisfies `now`."""
    return all(scheme in was and scopes <= was[scheme] for scheme, scopes in now.items())


def _enum(schema: Node) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    given = schema.get("enum")
    return given if isinstance(given, list) else None


def _tighter(narrow: Node, wide: Node) -> Iterator[str]:
    """Keywords whose bound leaves out some of what `narrow` allows."""
    for keyword in _UPPER:
        bound, most = wide.get(keyword), narrow.get(keyword)
        if isinstance(bound, int | float) and not (isinstance(most, int | float) and most <= bound):
            yield keyword
    for keyword in _LOWER:
        bound, least = wide.get(keyword), narrow.get(keyword)
        if isinstance(bound, int | float) and bound > 0 and not (isinstance(least, int | float) and least >= bound):
            yield keyword
    for keyword, exclusive, sign in (("maximum", "exclusiveMaximum", 1), ("minimum", "exclusiveMinimum", -1)):
        limit, reach = upper_bound(wide, keyword, exclusive), upper_bound(narrow, keyword, exclusive)
        if limit is None:
            continue
        if reach is None or sign * reach[0] > sign * limit[0] or (reach[0] == limit[0] and limit[1] and not reach[1]):
            yield keyword


def _flat(document: Document, schema: object) -> dict[str, Any]:
    """A schema with its references followed and `allOf` put together, one level deep."""
    node = dict(document.resolve(schema))
    parts = node.pop("allOf", None)
    for part in parts if isinstance(parts, list) else ():
        resolved = _flat(document, part) if part is not schema else {}
        for keyword, value in resolved.items():
            if keyword == "properties":
                node["properties"] = {**value, **node.get("properties", {})}
            elif keyword == "required":
                node["required"] = [*node.get("required", ()), *value]
            else:
                node.setdefault(keyword, value)
    return node


def _words(names: frozenset[str]) -> str:
    return "/".join(sorted(names)) or "any"
