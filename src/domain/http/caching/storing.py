"""Whether an answer may be stored, and for how long (RFC 9111 3, 4.2.1; RFC 5861; RFC 9213)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from spork.domain.http.caching.facts import ResponseFacts
from spork.domain.http.caching.policy import CachePolicy
from spork.domain.http.forwarding import named_by_connection
from spork.domain.http.head import HOP_BY_HOP, Header

#: Statuses whose caching rules are known here, so that `must-understand` means us (RFC 9111 5.2.2.3).
UNDERSTOOD: Final = frozenset((200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 451, 500, 501))
#: Statuses that may be given a life by estimate (RFC 9110 15.1).
HEURISTIC: Final = frozenset((200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501))
#: Refusals of a request's form: an attacker's odd request must not become everybody's answer (CPDoS), so no default keeps them.
NEVER_BY_DEFAULT: Final = frozenset((400, 403, 405, 413, 414, 431))
#: The longest estimated life, and its share of the time since the last change (RFC 9111 4.2.2).
_HEURISTIC_MOST: Final = 86400.0
_HEURISTIC_SHARE: Final = 0.1
#: Share by which a default life is shortened at most, so that what was stored together does not end together.
JITTER: Final = 0.1

#: Never stored (RFC 9111 3.1), beside what Connection names.
_NOT_STORED: Final = HOP_BY_HOP | {b"proxy-authentication-info", b"x-request-id", b"age"}


class Store:
    """The answer may be stored. Times in seconds; `lifetime` is its freshness, counted from the moment the origin made it.

    `drop` are the fields that are not stored. `may_be_stale` is False when it must never be given stale.
    """

    __slots__ = ("drop", "lifetime", "may_be_stale", "stale_if_error", "stale_while_revalidate", "validate_always")

    def __init__(
        self,
        lifetime: float,
        stale_while_revalidate: float,
        stale_if_error: float,
        may_be_stale: bool,
        validate_always: bool,
        drop: frozenset[bytes],
    ) -> None:
        self.lifetime = lifetime
        self.stale_while_revalidate = stale_while_revalidate
        self.stale_if_error = stale_if_error
        self.may_be_stale = may_be_stale
        self.validate_always = validate_always
        self.drop = drop

    def __repr__(self) -> str:
        return f"<Store {self.lifetime:g} s, stale {self.stale_while_revalidate:g}/{self.stale_if_error:g}>"


class Pass:
    """The answer is not stored; `why` is a short word for Cache-Status and explain."""

    __slots__ = ("why",)

    def __init__(self, why: str) -> None:
        self.why = why

    def __repr__(self) -> str:
        return f"<Pass {self.why}>"


def storable(
    status: int, facts: ResponseFacts, policy: CachePolicy, credentials: bool, now: float, jitter: float = 0.0
) -> Store | Pass:
    """Whether the answer to a GET may be stored. `credentials`: the request proved who asks, and answers are not kept apart by
    that; `jitter` in 0..1 shortens lives that the route gave by default."""
    said = facts.directives
    refused = _refused(status, facts, credentials)
    if refused is not None:
        return Pass(refused)
    life = _life(status, facts, policy, now, jitter)
    if life is None:
        return Pass("no-freshness")
    life = min(life, policy.max_ttl)
    may_be_stale = not (said.no_cache or said.must_revalidate or said.proxy_revalidate)
    while_revalidating, if_error = _stale_windows(facts, policy, may_be_stale)
    age = max(facts.age, now - facts.date if facts.has_date else 0.0)
    useless = said.no_cache or life <= age
    if useless and not (facts.etag or facts.last_modified or while_revalidating or if_error):
        return Pass("expired")
    drop = said.no_cache_fields | said.private_fields
    return Store(life, while_revalidating, if_error, may_be_stale, said.no_cache, drop)


def _refused(status: int, facts: ResponseFacts, credentials: bool) -> str | None:
    said = facts.directives
    if status < 200 or status in (206, 304):
        return f"status-{status}"
    if said.must_understand:
        if status not in UNDERSTOOD:
            return f"status-{status}"
    elif said.no_store:
        return "no-store"
    if said.private:
        return "private"
    if facts.sets_cookie:
        return "set-cookie"
    if facts.vary_all:
        return "vary-star"
    if credentials and not (said.public or said.s_maxage is not None or said.must_revalidate):
        return "credentials"
    return None


def _life(status: int, facts: ResponseFacts, policy: CachePolicy, now: float, jitter: float) -> float | None:
    """Seconds of freshness, or None when nobody says any (RFC 9111 4.2.1, in its order)."""
    said = facts.directives
    if said.s_maxage is not None:
        return float(said.s_maxage)
    if said.max_age is not None:
        return float(said.max_age)
    if facts.expires_given and not facts.targeted:
        return 0.0 if facts.expires is None else max(0.0, facts.expires - facts.date)
    given = policy.life_of(status)
    if given is not None:
        return given * (1.0 - JITTER * jitter)
    if policy.heuristics and status in HEURISTIC and facts.last_modified:
        return _estimated(facts, now)
    return 0.0 if said.no_cache else None


def _estimated(facts: ResponseFacts, now: float) -> float | None:
    from spork.domain.http.caching.dates import parse_date

    changed = parse_date(facts.last_modified, now)
    return None if changed is None else min(_HEURISTIC_MOST, max(0.0, (facts.date - changed) * _HEURISTIC_SHARE))


def _stale_windows(facts: ResponseFacts, policy: CachePolicy, may_be_stale: bool) -> tuple[float, float]:
    """How long it may be given stale while revalidating, and on errors (RFC 5861 3, 4).

    The target's own directives count beside its s-maxage, which otherwise forbids stale answers (RFC 9111 5.2.2.10); the
    route's defaults do not.
    """
    if not may_be_stale:
        return 0.0, 0.0
    said = facts.directives
    defaults = said.s_maxage is None
    while_revalidating = said.stale_while_revalidate
    if_error = said.stale_if_error
    return (
        float(while_revalidating) if while_revalidating is not None else policy.stale_while_revalidate * defaults,
        float(if_error) if if_error is not None else policy.stale_if_error * defaults,
    )


def stored_fields(headers: Sequence[Header], drop: frozenset[bytes] = frozenset()) -> list[Header]:
    """The fields that are stored of a response (RFC 9111 3.1)."""
    left_out = _NOT_STORED | drop | named_by_connection(headers)
    return [header for header in headers if header[0] not in left_out]
