"""What a token itself grants on topics: Mercure authorization details (RFC 9396), and the older `mercure` claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from spork.domain.channels.topics import EVERY, EXACT, URI_TEMPLATE, URL_PATTERN, BadTopic, Matcher, matcher
from spork.domain.identity.tokens import Principal

DETAIL_TYPE: Final = "https://mercure.rocks/authorization-detail"
_MOST_DETAILS: Final = 64
_MOST_TOPICS: Final = 256
_TYPES: Final = frozenset((EXACT, URL_PATTERN))


class BadGrants(ValueError):
    """A token whose grants cannot be read: it is refused as a whole, for part of it would say something else."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Actions on the topics of some matchers. `payload` is what others are told of a subscription."""

    actions: frozenset[str]
    topics: tuple[Matcher, ...]
    payload: Mapping[str, Any] | None = None

    def covers(self, action: str, topic: str) -> bool:
        return action in self.actions and any(each.matches(topic) for each in self.topics)


Grants = Sequence[Grant]
NONE: Final[Grants] = ()


def grants_of(principal: Principal | None, hub: str, legacy: bool = False) -> Grants:
    """The grants in a caller's verified claims. `hub` is the hub's path. Raises BadGrants."""
    if principal is None:
        return NONE
    details = principal.claims.get("authorization_details")
    found: list[Grant] = []
    if details is not None:
        if not isinstance(details, list | tuple) or len(details) > _MOST_DETAILS:
            raise BadGrants("authorization_details is no short list")
        for detail in details:
            if not isinstance(detail, Mapping):
                raise BadGrants("an authorization detail is no object")
            if detail.get("type") == DETAIL_TYPE:
                found.append(_grant(detail, hub))
    if legacy and not found:
        found = _of_older_hubs(principal.claims.get("mercure"), hub)
    return tuple(found)


def granted(grants: Grants, action: str, topic: str) -> bool:
    return any(each.covers(action, topic) for each in grants)


def payload_of(grants: Grants, subscription: str) -> Mapping[str, Any] | None:
    """The payload of the first grant whose topics match a subscription's own matcher, taken as a topic."""
    for each in grants:
        if each.covers("subscribe", subscription):
            return each.payload
    return None


def _grant(detail: Mapping[str, Any], hub: str) -> Grant:
    actions, topics, payload = detail.get("actions"), detail.get("topics"), detail.get("payload")
    if not isinstance(actions, list | tuple) or not actions or not all(isinstance(each, str) for each in actions):
        raise BadGrants("actions is no list of words")
    if not isinstance(topics, list | tuple) or not 0 < len(topics) <= _MOST_TOPICS:
        raise BadGrants("topics is no list of matchers")
    if payload is not None and not isinstance(payload, Mapping):
        raise BadGrants("payload is no object")
    matchers = []
    for topic in topics:
        text = topic.get("match") if isinstance(topic, Mapping) else None
        kind = topic.get("match_type", EXACT) if isinstance(topic, Mapping) else None
        if not isinstance(text, str) or not isinstance(kind, str) or kind not in _TYPES:
            raise BadGrants("a topic matcher has no form that is known here")
        try:
            matchers.append(matcher(kind, text, hub))
        except BadTopic as error:
            raise BadGrants(str(error)) from error
    return Grant(frozenset(actions), tuple(matchers), payload)


def _of_older_hubs(claim: object, hub: str) -> list[Grant]:
    """`{"mercure": {"publish": [...], "subscribe": [...]}}`: lists of exact topics, URI templates or `*`."""
    if not isinstance(claim, Mapping):
        return []
    found = []
    for action in ("publish", "subscribe"):
        topics = claim.get(action)
        if not isinstance(topics, list | tuple):
            continue
        matchers = []
        for text in topics[:_MOST_TOPICS]:
            if not isinstance(text, str):
                raise BadGrants("the mercure claim lists something that is no text")
            try:
                matchers.append(matcher(EXACT if text == EVERY else URI_TEMPLATE, text, hub))
            except BadTopic as error:
                raise BadGrants(str(error)) from error
        payload = claim.get("payload")
        found.append(Grant(frozenset((action,)), tuple(matchers), payload if isinstance(payload, Mapping) else None))
    return found
