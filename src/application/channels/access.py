"""What one caller may hear and say: the operator's rules, and what its token grants."""

from __future__ import annotations

from spork.domain.channels.events import ChannelEvent
from spork.domain.channels.grants import Grants, granted
from spork.domain.channels.rules import PUBLISH, SUBSCRIBE, ChannelRules
from spork.domain.identity.tokens import Principal

#: Topics whose verdict is remembered for one connection.
_MOST_REMEMBERED = 256


class Access:
    """One caller's access. `principal` is None for somebody unknown. Asks the rules once a topic.

    A topic that a rule binds to a tenant or an owner stays closed to others, whatever a token grants.
    """

    __slots__ = ("_now", "_verdicts", "grants", "principal", "rules")

    def __init__(self, rules: ChannelRules, principal: Principal | None, grants: Grants, now: float) -> None:
        self.rules = rules
        self.principal = principal
        self.grants = grants
        self._now = now
        self._verdicts: dict[str, tuple[bool, bool]] | None = None

    def may_subscribe(self, topic: str) -> bool:
        """Whether public updates of `topic` may be heard."""
        return self._verdict(topic)[0]

    def may_publish(self, topic: str) -> bool:
        rules, principal = self.rules, self.principal
        if rules.allows(PUBLISH, topic, principal, self._now):
            return True
        return granted(self.grants, PUBLISH, topic) and not rules.forbids(topic, principal)

    def may_read(self, topic: str) -> bool:
        """Whether private updates of `topic` may be heard: somebody said so of this caller, not of everybody."""
        return self._verdict(topic)[1]

    def may_hear(self, event: ChannelEvent) -> bool:
        """Whether this caller is of an event's audience: that of any of its topics."""
        place = 1 if event.private else 0
        verdicts = self._verdicts
        for topic in event.topics:
            known = verdicts.get(topic) if verdicts is not None else None
            if (self._verdict(topic) if known is None else known)[place]:
                return True
        return False

    def _verdict(self, topic: str) -> tuple[bool, bool]:
        verdicts = self._verdicts
        if verdicts is None or len(verdicts) >= _MOST_REMEMBERED:
            verdicts = self._verdicts = {}
        known = verdicts.get(topic)
        if known is None:
            known = verdicts[topic] = self._judge(topic)
        return known

    def _judge(self, topic: str) -> tuple[bool, bool]:
        rules, principal = self.rules, self.principal
        by_rule = rules.allows(SUBSCRIBE, topic, principal, self._now)
        by_grant = granted(self.grants, SUBSCRIBE, topic) and not rules.forbids(topic, principal)
        return by_rule or by_grant, by_grant or (by_rule and not rules.open_to_all(topic))
