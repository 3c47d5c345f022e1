"""Contracts of upstreams by which routes check: built beside requests, kept while the document stays the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from spork.application.configuration.model import Configuration
from spork.application.exchange.exchange import Exchange
from spork.application.kernel.slices import in_turns
from spork.application.views import OpenApiRemarkView
from spork.domain.openapi.contract import Compile, Contract, Found
from spork.domain.openapi.policy import ValidationRule
from spork.domain.openapi.publication import UpstreamDocument

#: Labels of `gateway_contract_violations_total` at most; further ones are counted as `other`.
MOST_LABELS: Final = 1000


class Contracts:
    """Finds the operation of a request, and counts what does not fit."""

    def __init__(self, compile_schema: Compile) -> None:
        self._compile = compile_schema
        self._held: Mapping[str, Contract] = {}
        self._counts: dict[tuple[str, str], int] = {}

    async def follow(
        self, sources: Iterable[UpstreamDocument], configuration: Configuration, monotonic: Callable[[], float]
    ) -> None:
        """Have contracts of these documents, as far as routes check by them."""
        wanted = {
            route.upstream or ""
            for route in configuration.routes
            if any(isinstance(policy, ValidationRule) for policy in route.policies)
        }
        by_path = any(name.startswith("{") for name in wanted)
        held: dict[str, Contract] = {}
        for source in sources:
            if source.upstream not in wanted and not by_path:
                continue
            before = self._held.get(source.upstream)
            if before is not None and _same(before.source, source):
                held[source.upstream] = before
                continue
            made = Contract(source, self._compile)
            await in_turns(made.building(), monotonic)
            held[source.upstream] = made
        self._held = held

    def find(self, exchange: Exchange) -> Found:
        """The operation that the target of this exchange will be asked for. () when no document is at hand."""
        plan = exchange.plan
        if plan is None:
            return ()
        name = exchange.params.get(plan.upstream_param, "") if plan.upstream_param else plan.config.upstream or ""
        contract = self._held.get(name)
        if contract is None:
            return ()
        head = exchange.head
        path = head.path if plan.rewriter is None else plan.rewriter.apply(head.path, exchange.params, exchange.rest)
        return contract.find(head.method, path)

    def count(self, route: str, where: str) -> None:
        key = (route, where)
        if key not in self._counts and len(self._counts) >= MOST_LABELS:
            key = ("other", where)
        self._counts[key] = self._counts.get(key, 0) + 1

    def remarks(self) -> tuple[OpenApiRemarkView, ...]:
        """What cannot be checked by."""
        return tuple(
            OpenApiRemarkView(name, place, why)
            for name, contract in self._held.items()
            for place, why in contract.remarks.items()
        )

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        """For `spork.application.telemetry.families`."""
        for key, count in self._counts.items():
            yield "gateway_contract_violations_total", key, float(count)


def _same(one: UpstreamDocument, other: UpstreamDocument) -> bool:
    return (one.digest, one.base_paths) == (other.digest, other.base_paths)
