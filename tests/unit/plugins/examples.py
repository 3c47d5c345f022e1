"""Plugins that do what plugins do, and what they must not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from spork.adapters.memory.upstream_transport import MemoryResponse, MemoryTransport, Reply
from spork.plugins import (
    Check,
    Deny,
    Plugin,
    PluginContext,
    Principal,
    Reason,
    Refused,
    Request,
    Respond,
    Summary,
    Verdict,
    Verified,
    identity_headers,
)


class What(msgspec.Struct, frozen=True):
    what: str


class Wild(Plugin):
    """Does whatever its route says."""

    name = "wild"
    route_options = What
    timeout = 0.05
    reasons: ClassVar[Mapping[str, Reason]] = {"said_no": Reason(418, "No tea here")}

    def guard(self, options: What, route: str) -> Check:
        what = options.what

        async def hang() -> Verdict:
            await asyncio.sleep(30)
            return None

        async def late() -> Verdict:
            await asyncio.sleep(0)
            return Respond(203, b"late")

        def check(request: Request) -> Any:
            if what == "raise":
                raise RuntimeError("boom")
            if what == "hang":
                return hang()
            if what == "late":
                return late()
            if what == "undeclared":
                return Deny("other")
            if what == "nonsense":
                return 7
            if what.startswith("set "):
                request.set_request_header(what[4:], "x")
            if what == "deny":
                return Deny("said_no", "Try coffee.", retry_after=3.0, headers={"x-tea": "no"})
            if what == "who":
                return Respond(200, repr(request.principal and request.principal.subject).encode())
            return None

        return check


class Lenient(Wild):
    """Fails and lets pass."""

    name = "lenient"
    on_failure = "pass"


class Watching(Plugin):
    """Remembers what it hears."""

    name = "watching"
    heard: ClassVar[list[Summary]] = []

    def observe(self, summary: Summary) -> None:
        self.heard.append(summary)
        raise RuntimeError("boom")


class Words(msgspec.Struct, frozen=True):
    words: tuple[str, ...]


class Passwords(Plugin):
    """Takes tokens from a list."""

    name = "passwords"
    options = Words

    def verifier(self) -> PasswordVerifier:
        return PasswordVerifier(self.context)


class PasswordVerifier:
    def __init__(self, context: PluginContext) -> None:
        self.words = {word.encode() for word in context.options.words}

    def verify(self, token: bytes, now: float) -> Verified | Refused:
        if token not in self.words:
            return Refused("not_listed")
        principal = Principal(subject=token.decode(), method="plugin")
        return Verified(principal, identity_headers(principal))


class Canned(Plugin):
    """Sends nothing anywhere."""

    name = "canned"

    def transport(self) -> MemoryTransport:
        return MemoryTransport(lambda received: Reply(200, pieces=[b"canned"]))


class NoName(Plugin):
    """Has no name."""


class Unreadable(Plugin):
    """Takes what YAML cannot say."""

    name = "unreadable"

    class route_options(msgspec.Struct):
        what: complex


assert MemoryResponse
