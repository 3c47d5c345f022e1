"""Consumers as they stand now: what the configuration declares, overlaid with what operators assigned at run time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from spork.application.callers.ports import ConsumerRecords
from spork.domain.identity.certificates import CertificateName
from spork.domain.identity.consumers import Consumer
from spork.domain.identity.subjects import NOBODY, NameSpaces, SubjectIndex
from spork.domain.identity.tokens import Principal


class UnknownConsumer(LookupError):
    """A credential names a consumer that there is not."""


class Consumers:
    """Finds consumers by name and by token subject. Declared ones come with each configuration, assigned ones from
    the records; an assignment changes plan and owner of a declared consumer and nothing else of it."""

    def __init__(
        self,
        declared: Iterable[Consumer] = (),
        records: ConsumerRecords | None = None,
        spaces: NameSpaces = NOBODY,
    ) -> None:
        self._spaces = spaces
        self._declared = {consumer.name: consumer for consumer in declared}
        self._records = records
        self._assigned: dict[str, Consumer] = {}
        self._names: dict[str, Consumer] = {}
        self._compile()

    def __repr__(self) -> str:
        return f"Consumers({len(self._names)})"

    def declare(self, consumers: Iterable[Consumer], spaces: NameSpaces) -> None:
        """The consumers of a new configuration, and who issues their names in it."""
        self._spaces = spaces
        self._declared = {consumer.name: consumer for consumer in consumers}
        self._compile()

    async def reload(self) -> None:
        """Read the assignments again."""
        if self._records is not None:
            self._assigned = {consumer.name: _assignment(consumer) for consumer in await self._records.consumers()}
            self._compile()

    async def assign(self, name: str, plan: str) -> Consumer:
        """Put a consumer on a plan, now and for later."""
        consumer = replace(_assignment(self._names.get(name, Consumer(name))), plan=plan)
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
        self._index = SubjectIndex(self._names.values(), self._spaces)

    def named(self, name: str) -> Consumer | None:
        return self._names.get(name)

    def plan_and_owner(self, name: str) -> tuple[str | None, str | None]:
        """What operators are shown beside a consumer's name; None for what nobody has said."""
        consumer = self._names.get(name)
        return (None, None) if consumer is None else (consumer.plan or None, consumer.owner or None)

    def of(self, principal: Principal) -> Consumer | None:
        """The consumer of a token's principal: named by the token, or found by its issuer's subject or claims.

        Raises UnknownConsumer when the token names one and there are others, but not this one: what a typing error
        names must not be a consumer without a plan. Where nobody is declared, the issuer's names are taken as they are.
        """
        if principal.consumer:
            found = self._names.get(principal.consumer)
            if found is None and self._names:
                raise UnknownConsumer(principal.consumer)
            return found or Consumer(principal.consumer)
        return self._index.of_token(principal)

    def of_certificate(self, name: CertificateName) -> Consumer | None:
        """The consumer that a client certificate's name means."""
        return self._index.of_certificate(name)

    def all(self) -> dict[str, Consumer]:
        return self._names


def _assignment(consumer: Consumer) -> Consumer:
    """What the records say of a consumer: nothing that lets anybody in, for that is the configuration's to give and take."""
    return Consumer(consumer.name, plan=consumer.plan, owner=consumer.owner)
