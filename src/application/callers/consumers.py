"""Consumers as they stand now: what the configuration declares, overlaid with what operators assigned at run time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from spork.application.callers.ports import ConsumerRecords
from spork.domain.identity.consumers import Consumer
from spork.domain.identity.tokens import Principal


class Consumers:
    """Finds consumers by name and by token subject. Declared ones come with each configuration, assigned ones from
    the records; an assignment changes plan and owner of a declared consumer and nothing else of it."""

    def __init__(self, declared: Iterable[Consumer] = (), records: ConsumerRecords | None = None) -> None:
        self._declared = {consumer.name: consumer for consumer in declared}
        self._records = records
        self._assigned: dict[str, Consumer] = {}
        self._names: dict[str, Consumer] = {}
        self._subjects: dict[str, Consumer] = {}
        self._compile()

    def __repr__(self) -> str:
        return f"Consumers({len(self._names)})"

    def declare(self, consumers: Iterable[Consumer]) -> None:
        """The consumers of a new configuration."""
        self._declared = {consumer.name: consumer for consumer in consumers}
        self._compile()

    async def reload(self) -> None:
        """Read the assignments again."""
        if self._records is not None:
            self._assigned = {consumer.name: consumer for consumer in await self._records.consumers()}
            self._compile()

    async def assign(self, name: str, plan: str) -> Consumer:
        """Put a consumer on a plan, now and for later."""
        consumer = replace(self._names.get(name, Consumer(name)), plan=plan, signature_secret="")
        if self._records is not None:
            await self._records.assign(consumer)
        self._assigned[name] = consumer
        self._compile()
        return self._names[name]

    def _compile(self) -> None:
        self._names = {**self._assigned}
        for name, declared in self._declared.items():
            assigned = self._assigned.get(name)
            self._names[name] = (
                replace(declared, plan=assigned.plan, owner=assigned.owner or declared.owner) if assigned else declared
            )
        self._subjects = {subject: consumer for consumer in self._names.values() for subject in consumer.subjects}

    def named(self, name: str) -> Consumer | None:
        return self._names.get(name)

    def plan_and_owner(self, name: str) -> tuple[str | None, str | None]:
        """What operators are shown beside a consumer's name; None for what nobody has said."""
        consumer = self._names.get(name)
        return (None, None) if consumer is None else (consumer.plan or None, consumer.owner or None)

    def of(self, principal: Principal) -> Consumer | None:
        """The consumer of a token's principal: named by the token, or found by `issuer|subject` or subject."""
        if principal.consumer:
            return self._names.get(principal.consumer) or Consumer(principal.consumer)
        return self._subjects.get(f"{principal.issuer}|{principal.subject}") or self._subjects.get(principal.subject)

    def all(self) -> dict[str, Consumer]:
        return self._names
