"""Whose subject is meant: one name space for each issuer of tokens, and one for client certificates.

A subject is only unique at whoever issues it (RFC 7519 4.1.2), so a consumer's `subjects` are placed in exactly one name
space when a configuration is compiled, and nothing of another one can meet them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from spork.domain.identity.certificates import CertificateName, written_name
from spork.domain.identity.consumers import Consumer
from spork.domain.identity.tokens import Principal, claim_at

#: What the name spaces of client certificates and of the auth service are called; no issuer may have these names.
CERTIFICATES: Final = "mtls"
AUTH_SERVICE: Final = "auth_service"
RESERVED: Final = frozenset((CERTIFICATES, AUTH_SERVICE, "api_key", "basic", "signature"))


@dataclass(frozen=True, slots=True)
class NameSpaces:
    """Who names callers in a configuration: its issuers by name, in their order (the auth service last), and whether
    client certificates are taken."""

    issuers: tuple[str, ...] = ()
    certificates: bool = False


#: Of a configuration that takes neither tokens nor certificates.
NOBODY: Final = NameSpaces()


@dataclass(frozen=True, slots=True)
class PlacedSubject:
    """A subject in its name space: an issuer's name, or `mtls`. `assumed`: it was not written, and could be another."""

    space: str
    value: str
    assumed: bool = False


def placed(subject: str, spaces: NameSpaces) -> PlacedSubject | None:
    """The name space of a consumer's subject as written; None when nobody in the configuration could issue it.

    `ISSUER|SUBJECT` and `mtls|NAME` say it. A bare one is of the only name space there is; with several, of client
    certificates if these are taken and it has the form of one of their names (a host name, URI or distinguished name),
    else of the first issuer.
    """
    space, separator, rest = subject.partition("|")
    if separator and (space in spaces.issuers or space == CERTIFICATES):
        return PlacedSubject(space, rest)
    several = len(spaces.issuers) + spaces.certificates > 1
    if spaces.certificates and (not spaces.issuers or names_a_machine(subject)):
        return PlacedSubject(CERTIFICATES, subject, several)
    return PlacedSubject(spaces.issuers[0], subject, several) if spaces.issuers else None


def names_a_machine(subject: str) -> bool:
    """Whether a text has the form of a certificate's name rather than a person's: URI, distinguished or host name."""
    if "://" in subject or "=" in subject:
        return True
    labels = subject.split(".")
    return len(labels) > 1 and all(label.replace("-", "").isalnum() and label.isascii() for label in labels)


class SubjectIndex:
    """Finds the consumer of a verified principal or certificate, each in its own name space."""

    __slots__ = ("_certificates", "_claims", "_names", "_tokens")

    def __init__(self, consumers: Iterable[Consumer], spaces: NameSpaces) -> None:
        self._tokens: dict[tuple[str, str], Consumer] = {}
        self._claims: dict[str, list[tuple[str, str, Consumer]]] = {}
        self._certificates: dict[tuple[str, str], Consumer] = {}
        self._names: dict[tuple[str, str], Consumer] = {}
        for consumer in consumers:
            self._names[("", consumer.name)] = consumer
            self._add(consumer, spaces)

    def _add(self, consumer: Consumer, spaces: NameSpaces) -> None:
        for subject in consumer.subjects:
            place = placed(subject, spaces)
            if place is None:
                continue
            if place.space == CERTIFICATES:
                self._certificates[written_name(place.value)] = consumer
            else:
                self._tokens[(place.space, place.value)] = consumer
        for name in consumer.certificates:
            self._certificates[written_name(name)] = consumer
        for claim in consumer.claims:
            self._claims.setdefault(claim.issuer, []).append((claim.claim, claim.value, consumer))

    def of_token(self, principal: Principal) -> Consumer | None:
        """The consumer that this issuer's subject, or else a claim of its token, means."""
        found = self._tokens.get((principal.issuer, principal.subject))
        if found is None:
            for claim, value, consumer in self._claims.get(principal.issuer, ()):
                given = claim_at(principal.claims, claim)
                if given == value or (isinstance(given, list) and value in given):
                    return consumer
        return found

    def of_certificate(self, name: CertificateName) -> Consumer | None:
        """The consumer that a certificate's name means: one of its `certificates`, its `subjects`, or its own name."""
        return (
            self._certificates.get((name.kind, name.value))
            or self._certificates.get(("", name.value))
            or self._names.get(("", name.value))
        )
