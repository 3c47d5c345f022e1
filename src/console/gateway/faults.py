"""How talking to a gateway's admin API goes wrong, as the console tells it apart.

Every fault has a `word` (what a box shows instead of data) and a sentence for people. The exit codes of the commands
without a screen come from here as well.
"""

from __future__ import annotations


class LinkFault(Exception):
    """Base of all; `str()` is one clean line for people."""

    word = "FAULT"
    exit_code = 3


class Unreachable(LinkFault):
    """No answer: refused, reset, timed out, not HTTP. A write may or may not have been applied."""

    word = "DOWN"


class Broken(Unreachable):
    """The gateway answered, with a 5xx or something that is no answer of an admin API."""

    word = "ERROR"


class Unauthenticated(LinkFault):
    """401: no token, a wrong one, or one that expired."""

    word = "UNAUTHENTICATED"
    exit_code = 4


class AccessDenied(LinkFault):
    """403: the token is good, its role is not enough. `needs` names what is."""

    word = "DENIED"
    exit_code = 4

    def __init__(self, message: str, needs: str = "") -> None:
        super().__init__(message)
        self.needs = needs


class Absent(LinkFault):
    """404: no such object, or a gateway too old to know the call."""

    word = "ABSENT"
    exit_code = 1


class Changed(LinkFault):
    """409 or 412: the object is not what the operator saw. `current` tells what it is now."""

    word = "CHANGED"
    exit_code = 5

    def __init__(self, message: str, current: str = "", rev: int | None = None) -> None:
        super().__init__(message)
        self.current = current
        self.rev = rev


class Invalid(LinkFault):
    """400 or 422: the server refuses the values; `errors` one line each."""

    word = "INVALID"
    exit_code = 5

    def __init__(self, message: str, errors: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.errors = errors


class TooManyRequests(LinkFault):
    """429, or 503 with Retry-After: ask again after `retry_after` seconds."""

    word = "THROTTLED"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BadData(LinkFault):
    """An answer that does not have the agreed shape; the message says where."""

    word = "BAD DATA"
    exit_code = 5
