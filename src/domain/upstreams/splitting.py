"""Which upstream of several takes a request: canaries by consumer, by header, or by a share of all requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spork.domain.http.head import RequestHead


@dataclass(frozen=True, slots=True)
class SplitRule:
    """`upstream` takes what names it (`consumers`, or `header` with this value), and the share `weight` of the rest."""

    upstream: str
    weight: float = 0.0
    header: tuple[bytes, bytes] | None = None
    consumers: frozenset[str] = frozenset()


def split(rules: Sequence[SplitRule], head: RequestHead, consumer: str, chance: float) -> str | None:
    """The upstream that takes this request, None for the route's own. `chance` is uniform in [0, 1).

    Who is named explicitly stays where it was named: consumers first, then headers, then shares in the rules' order.
    """
    for rule in rules:
        if consumer and consumer in rule.consumers:
            return rule.upstream
    for rule in rules:
        if rule.header is not None and rule.header in head.headers:
            return rule.upstream
    for rule in rules:
        if chance < rule.weight:
            return rule.upstream
        chance -= rule.weight
    return None
