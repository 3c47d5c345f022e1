"""Whether a stored answer may be given again (RFC 9111 4, 4.2.4, 5.2.1)."""

from __future__ import annotations

from enum import Enum

from spork.domain.http.caching.directives import Directives
from spork.domain.http.caching.stored import StoredResponse


class Use(Enum):
    """What may be done with a stored answer now."""

    FRESH = "fresh"  #: give it
    STALE = "stale"  #: give it, and revalidate behind it
    VALIDATE = "validate"  #: ask the target first


def usable(entry: StoredResponse, now: float, asked: Directives | None = None) -> Use:
    """What may be done with `entry` at `now`. `asked` are the client's directives, where the route obeys clients."""
    until = entry.fresh_until if entry.soft_at is None else min(entry.fresh_until, entry.soft_at)
    if entry.validate_always:
        return Use.VALIDATE
    if asked is not None and asked.present:
        return _as_asked(entry, now, until, asked)
    if now < until:
        return Use.FRESH
    if entry.may_be_stale and now < until + entry.stale_while_revalidate:
        return Use.STALE
    return Use.VALIDATE


def _as_asked(entry: StoredResponse, now: float, until: float, asked: Directives) -> Use:
    if asked.no_cache or (asked.max_age is not None and entry.age(now) >= asked.max_age):
        return Use.VALIDATE
    if asked.min_fresh is not None and until - now < asked.min_fresh:
        return Use.VALIDATE
    if now < until:
        return Use.FRESH
    if not entry.may_be_stale:
        return Use.VALIDATE
    if asked.max_stale is not None and now - until <= asked.max_stale:
        return Use.FRESH
    return Use.STALE if now < until + entry.stale_while_revalidate else Use.VALIDATE


def usable_on_error(entry: StoredResponse, now: float) -> bool:
    """Whether `entry` may stand in for a target that fails (RFC 5861 4)."""
    until = entry.fresh_until if entry.soft_at is None else min(entry.fresh_until, entry.soft_at)
    return entry.may_be_stale and now < until + entry.stale_if_error


def remaining(entry: StoredResponse, now: float) -> int:
    """The `ttl` of Cache-Status (RFC 9211 2.6): seconds of freshness left, negative when stale."""
    until = entry.fresh_until if entry.soft_at is None else min(entry.fresh_until, entry.soft_at)
    return int(until - now) if until >= now else -int(now - until)
