"""Rules of channels: which caller may subscribe to a topic and publish on it. Pure; the first rule that fits a topic holds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from spork.domain.identity.authorization import AuthorizationInput, AuthPolicy, authorize
from spork.domain.identity.tokens import Principal

SUBSCRIBE: Final = "subscribe"
PUBLISH: Final = "publish"
#: Topics whose rule is remembered.
_MOST_REMEMBERED: Final = 4096


@dataclass(frozen=True, slots=True)
class Demand:
    """What a caller must be for one action. `anonymous`: anybody; otherwise a verified caller whom `policy` accepts."""

    anonymous: bool = False
    policy: AuthPolicy = AuthPolicy()


@dataclass(frozen=True, slots=True)
class ChannelRule:
    """One rule. `match` is a pattern over topics: `{name}` stands for one part, `*` for anything.

    `subscribe` and `publish` are None where only a token's own grants open the topic. `tenant` names the part that must be
    the caller's tenant, `owner` the one that must be its subject or consumer. `presence`: who is there can be asked.
    """

    match: str
    subscribe: Demand | None = None
    publish: Demand | None = None
    tenant: str = ""
    owner: str = ""
    presence: bool = False

    def demand(self, action: str) -> Demand | None:
        return self.subscribe if action == SUBSCRIBE else self.publish


@dataclass(slots=True)
class Found:
    """The rule of a topic, and what its named parts are there."""

    rule: ChannelRule
    parts: Mapping[str, str] = field(default_factory=dict)


class ChannelRules:
    """The rules of a configuration, compiled."""

    def __init__(self, rules: Sequence[ChannelRule]) -> None:
        self._rules = [(rule, re.compile(expression(rule.match), re.DOTALL).fullmatch) for rule in rules]
        self._known: dict[str, Found | None] = {}

    def __repr__(self) -> str:
        return f"ChannelRules({len(self._rules)})"

    def of(self, topic: str) -> Found | None:
        """The rule that holds for `topic`."""
        try:
            return self._known[topic]
        except KeyError:
            pass
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        found = None
        for rule, test in self._rules:
            if (fits := test(topic)) is not None:
                found = Found(rule, fits.groupdict())
                break
        self._known[topic] = found
        return found

    def allows(self, action: str, topic: str, principal: Principal | None, now: float) -> bool:
        """Whether the rules let `principal` (None: nobody known) do `action` on `topic` at `now`, Unix seconds."""
        found = self.of(topic)
        demand = None if found is None else found.rule.demand(action)
        if found is None or demand is None:
            return False
        if demand.anonymous and not found.rule.tenant and not found.rule.owner:
            return True
        if principal is None or not _is_theirs(found, principal):
            return False
        return demand.anonymous or authorize(principal, demand.policy, AuthorizationInput("GET", now)) is None

    def open_to_all(self, topic: str) -> bool:
        """Whether anybody may subscribe to `topic`."""
        return self.allows(SUBSCRIBE, topic, None, 0.0)

    def forbids(self, topic: str, principal: Principal | None) -> bool:
        """Whether a topic is somebody else's, whatever grants the caller shows: another tenant's or another owner's."""
        found = self.of(topic)
        if found is None or not (found.rule.tenant or found.rule.owner):
            return False
        return principal is None or not _is_theirs(found, principal)

    def presence(self, topic: str) -> bool:
        found = self.of(topic)
        return found is not None and found.rule.presence


def _is_theirs(found: Found, principal: Principal) -> bool:
    rule, parts = found.rule, found.parts
    if rule.tenant and (not principal.tenant or parts.get(rule.tenant) != principal.tenant):
        return False
    return not rule.owner or parts.get(rule.owner) in (principal.subject, principal.consumer or principal.subject)


def expression(match: str) -> str:
    """The regular expression of a rule's pattern. A named part ends before the character that follows it in the pattern, and
    before every slash, so that there is one way only to read a topic. Raises ValueError with a sentence."""
    made: list[str] = []
    pieces = re.split(r"(\{[^{}]*\}|\*)", match)
    names: set[str] = set()
    for at, piece in enumerate(pieces):
        if piece == "*":
            if at != len(pieces) - 2 or pieces[-1]:
                raise ValueError("* stands at the end of a pattern only")
            made.append(".*")
        elif piece.startswith("{"):
            name = piece[1:-1]
            if not name.isidentifier() or name in names:
                raise ValueError(f"{piece} needs a name of its own: letters, digits and _")
            names.add(name)
            behind = pieces[at + 1][:1]
            if not behind and at + 2 < len(pieces) - 1:
                raise ValueError(f"{piece} needs something between it and the next part")
            made.append(f"(?P<{name}>[^/{re.escape(behind) if behind else ''}]+)")
        elif "{" in piece or "}" in piece:
            raise ValueError("a brace without its other half")
        else:
            made.append(re.escape(piece))
    return "".join(made)


def part_names(match: str) -> frozenset[str]:
    """The named parts of a rule's pattern."""
    return frozenset(re.findall(r"\{([^{}]*)\}", match))
