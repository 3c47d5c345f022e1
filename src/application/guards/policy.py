"""The home of a policy: what one policy of routes declares of itself, in its one file.

A policy is four places: its rule (domain), its guard and policy class (a file here), its written struct
(adapters/yaml/written) and its line in `order.py`. Everything else asks the policy: the compiler for guards, `spork check`
for problems, problem documents for the meaning of its reasons, explain for its words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.configuration.problems import Diagnostic
from spork.application.exchange.exchange import Guard
from spork.domain.outcomes import DenialCategory

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reason:
    """What a refusal's slug means. `category` decides the status (adapters/litestar/problems), `title` is the problem's."""

    category: DenialCategory
    title: str


class Policy:
    """Compiles the guard of one policy for each route. One instance per process, made by composition."""

    #: Its word in metrics, traces, explain and docs.
    phase: ClassVar[str] = ""
    #: Refusals it may give beside those of the table in adapters/litestar/problems.
    reasons: ClassVar[Mapping[str, Reason]] = {}

    def compile(self, route: RouteConfig, configuration: Configuration) -> Guard | None:
        """The guard of `route`, or None when the route does not ask for this policy. Called once per configuration."""
        raise NotImplementedError

    @classmethod
    def check(cls, route: RouteConfig, configuration: Configuration) -> Iterator[Diagnostic]:
        """What is wrong or unwise about this policy on `route`. Never raises."""
        yield from ()


def ordinary(kind: type[T]) -> type[T]:
    """Marks a policy in a compiled module: it stays an ordinary class there, as its base is one that plugins derive from."""
    return kind


def declared(route: RouteConfig, kind: type[T]) -> T | None:
    """What `route` says of a policy whose written struct compiles to `kind`; None where it says nothing."""
    for value in route.policies:
        if isinstance(value, kind):
            return value
    return None
