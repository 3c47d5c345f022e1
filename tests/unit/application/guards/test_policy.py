"""A policy's home: what a new one touches, how the order is kept, what is asked of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest

from spork.adapters.litestar.problems import declared as declared_problem
from spork.adapters.yaml.written.form import WrittenPolicy
from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.configuration.problems import Diagnostic
from spork.application.exchange.exchange import NO_FIELDS, Exchange, Verdict
from spork.application.guards import order
from spork.application.guards.explaining import explained
from spork.application.guards.policy import Policy, Reason, declared
from spork.application.views import GuardVerdict
from spork.domain.outcomes import Denial, DenialCategory
from spork.domain.routing.patterns import Match, PathPattern


@dataclass(frozen=True)
class Siesta:
    """The rule (its place is the domain): between two hours nobody is served."""

    begins: int
    ends: int

    def closed(self, unix: float) -> bool:
        return self.begins <= unix % 86400 // 3600 < self.ends


class WrittenSiesta(WrittenPolicy, frozen=True):
    """The written struct."""

    begins: int
    ends: int

    def compiled(self) -> Siesta:
        if self.begins >= self.ends:
            raise ValueError("begins after it ends")
        return Siesta(self.begins, self.ends)


class SiestaGuard:
    phase = "siesta"
    response_fields = NO_FIELDS

    def __init__(self, siesta: Siesta) -> None:
        self._siesta = siesta

    def admit(self, exchange: Exchange) -> Verdict:
        return Denial("siesta") if self._siesta.closed(exchange.unix) else None

    def explain(self, exchange: Exchange) -> GuardVerdict:
        return explained(self.phase, self.admit(exchange), "awake")


class SiestaPolicy(Policy):
    phase = "siesta"
    reasons: ClassVar = {"siesta": Reason(DenialCategory.ACCESS, "Everybody sleeps")}

    def compile(self, route: RouteConfig, configuration: Configuration) -> SiestaGuard | None:
        siesta = declared(route, Siesta)
        return SiestaGuard(siesta) if siesta is not None else None

    @classmethod
    def check(cls, route: RouteConfig, configuration: Configuration) -> Iterator[Diagnostic]:
        siesta = declared(route, Siesta)
        if siesta is not None and siesta.ends - siesta.begins > 12:
            yield Diagnostic(f"routes.{route.name}.siesta", "is longer than half a day", "", "warning")


@pytest.fixture
def ordered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line in the order."""
    monkeypatch.setattr(order, "ORDER", (*order.ORDER, SiestaPolicy))


def route(*policies: object) -> RouteConfig:
    return RouteConfig("r", Match(PathPattern.parse("/*")), policies=policies)


def test_a_new_policy_is_its_rule_its_guard_its_struct_and_one_line(ordered: None) -> None:
    with_siesta = route(WrittenSiesta(0, 24).compiled())
    guard = SiestaPolicy().compile(with_siesta, Configuration())
    assert guard is not None
    assert SiestaPolicy().compile(route(), Configuration()) is None
    assert declared_problem("siesta") == (403, "Everybody sleeps")
    assert [str(found.path) for found in order.check_policies(Configuration(routes=(with_siesta,)))] == [
        "routes.r.siesta"
    ]


def test_a_reason_that_nobody_declares_is_an_internal_error() -> None:
    assert declared_problem("siesta") == (500, "Internal error")


def test_a_policy_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="SiestaPolicy has no place"):
        order.in_order([SiestaPolicy()])


def test_the_order_does_not_depend_on_how_it_is_given() -> None:
    from spork.application.guards.addresses import AddressPolicy
    from spork.application.guards.security import SecurityPolicy

    made: list[Policy] = [AddressPolicy(), SecurityPolicy()]
    kinds = [kind for kind in order.ORDER if kind in (AddressPolicy, SecurityPolicy)]
    assert kinds == [SecurityPolicy, AddressPolicy]
    assert sorted(made, key=lambda policy: order.ORDER.index(type(policy)))[0] is made[1]
