"""Transforms as written, to the domain's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from spork.adapters.yaml import written
from spork.adapters.yaml.decode import FAILED, Findings
from spork.application.configuration.problems import child
from spork.domain.routing.patterns import Conditions
from spork.domain.transforms.masks import Mask, Masker
from spork.domain.transforms.operations import Operation, compile_operation
from spork.domain.transforms.policy import AnswerRule, TransformPolicy, When
from spork.domain.transforms.queries import QueryEdit

#: Reads header or query conditions: what was written, its path, whether names are lower-cased.
ReadConditions = Callable[[Mapping[str, str | None], str, bool], Conditions]
_KINDS = ("set", "remove", "rename", "move", "merge")


def translate_transform(
    transform: written.Transform | None, path: str, findings: Findings, conditions: ReadConditions
) -> TransformPolicy | None:
    if transform is None:
        return None
    when = transform.when
    query = transform.request.query
    below = child(path, "response")
    return TransformPolicy(
        query=None
        if query is None
        else QueryEdit(
            tuple(query.set.items()), tuple(query.rename.items()), frozenset(query.remove), frozenset(query.keep)
        ),
        request=_operations(transform.request.json, child(child(path, "request"), "json"), findings),
        response=tuple(
            _rule(rule, f"{below}[{index}]", findings)
            for index, rule in enumerate(transform.response)
            if rule is not FAILED
        ),
        when=When(
            conditions(when.headers, child(child(path, "when"), "headers"), True),
            conditions(when.query, child(child(path, "when"), "query"), False),
            frozenset(when.methods),
            frozenset(when.consumers),
            frozenset(when.plans),
            frozenset(when.roles),
        ),
        shape=transform.shape,
        maximum=transform.bytes,
        larger=transform.larger,
        on_other=transform.on_other,
        strict=transform.strict,
    )


def _operations(given: tuple[Any, ...], path: str, findings: Findings) -> tuple[Operation, ...]:
    made = []
    for index, one in enumerate(given):
        if one is FAILED:
            continue
        place = f"{path}[{index}]"
        kinds = [kind for kind in _KINDS if getattr(one, kind) is not None]
        if len(kinds) != 1:
            findings.add(place, f"is one of {', '.join(_KINDS)}", "write each operation as an item of its own")
            continue
        kind = kinds[0]
        if kind in ("rename", "move") and not isinstance(one.to, str):
            findings.add(place, f"{kind} needs `to`")
            continue
        operation = (
            Operation("merge", "", one.merge) if kind == "merge" else Operation(kind, getattr(one, kind), one.to)
        )
        try:
            compile_operation(operation)
        except ValueError as error:
            message, _, suggestion = str(error).partition("|")
            findings.add(place, message, suggestion)
            continue
        made.append(operation)
    return tuple(made)


def _rule(rule: written.ResponseTransform, path: str, findings: Findings) -> AnswerRule:
    spans = [text.partition("-") for text in rule.statuses]
    if rule.problem and not rule.problem.replace("_", "").isalnum():
        findings.add(child(path, "problem"), "is a slug of letters, digits and _")
    return AnswerRule(
        statuses=tuple((int(low), int(high or low)) for low, _, high in spans),
        operations=_operations(rule.json, child(path, "json"), findings),
        mask=_mask(rule.mask, child(path, "mask"), findings),
        to=rule.to or 0,
        body=rule.body,
        replaces=rule.body is not None,
        problem=rule.problem,
    )


def _mask(mask: written.MaskFields | None, path: str, findings: Findings) -> Mask | None:
    if mask is None:
        return None
    exempt = frozenset() if mask.except_ is None else frozenset(mask.except_.scopes)
    made = Mask(mask.fields, mask.how, mask.keep_last, exempt)
    try:
        Masker(made)
    except ValueError as error:
        findings.add(child(path, "fields"), str(error).partition("|")[0])
    return made
