"""A target's answers told from the client's point of view: addresses in Location and cookies, put back.

A target behind a gateway knows its own address and the path that it was asked for, not the client's. Where the gateway
changed the path on the way there, what the target says of paths is changed back; where it names a target's own address,
the client's is put in its place (what nginx's proxy_redirect and proxy_cookie_path do). Another site's address stays.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from spork.domain.http.head import Header

_LOCATIONS: Final = frozenset((b"location", b"content-location"))
_DEFAULT_PORTS: Final = {b"http": b":80", b"https": b":443"}


@dataclass(frozen=True, slots=True)
class RewriteBack:
    """What is told anew: Location and Content-Location, Path and Domain of cookies."""

    location: bool = True
    cookies: bool = True


@dataclass(frozen=True, slots=True)
class WayBack:
    """How one answer is told. `stripped` was taken off the front of the request's path and `added` put there, both without
    a slash at the end. `own` are authorities by which targets know themselves, lower-case; `origin` is the client's
    `scheme://authority`."""

    stripped: bytes
    added: bytes
    own: Collection[bytes]
    origin: bytes

    def fields(self, headers: list[Header], policy: RewriteBack) -> list[Header]:
        """The answer's fields; the list that was given when nothing in it changes."""
        told: list[Header] | None = None
        for at, (name, value) in enumerate(headers):
            changed = value
            if name in _LOCATIONS and policy.location:
                changed = self.location(value)
            elif name == b"set-cookie" and policy.cookies:
                changed = self.cookie(value)
            if changed is not value:
                told = list(headers) if told is None else told
                told[at] = (name, changed)
        return headers if told is None else told

    def location(self, value: bytes) -> bytes:
        """A URI reference; one that names another site or is relative to the path stays."""
        scheme, separator, rest = value.partition(b"://")
        lowered = scheme.lower()
        if separator and lowered in _DEFAULT_PORTS:
            end = min((at for at in (rest.find(mark) for mark in (b"/", b"?", b"#")) if at >= 0), default=len(rest))
            if rest[:end].lower().removesuffix(_DEFAULT_PORTS[lowered]) not in self.own:
                return value
            return self.origin + self.path(rest[end:] if rest[end : end + 1] == b"/" else b"/" + rest[end:])
        if value[:1] != b"/" or value[:2] == b"//":
            return value
        return self.path(value)

    def path(self, path: bytes) -> bytes:
        """A path of the target, with whatever follows it, as the client would ask for it."""
        if self.stripped and below(path, self.stripped):
            return path  # it knows the prefix (X-Forwarded-Prefix)
        if self.added and below(path, self.added):
            path = path[len(self.added) :]
        if not self.stripped and path[:1] != b"/":
            return b"/" + path
        return self.stripped + path

    def cookie(self, value: bytes) -> bytes:
        """A Set-Cookie value: its Path changed back, a Domain that only targets know taken out (RFC 6265 5.2)."""
        parts = value.split(b";")
        kept = parts[:1]
        for part in parts[1:]:
            name, _, content = part.strip().partition(b"=")
            lowered = name.strip().lower()
            if lowered == b"path" and content[:1] == b"/":
                part = b" Path=" + self.path(b"" if self.stripped and content == b"/" else content)
            elif lowered == b"domain" and any(host_of(own) == content.lower().lstrip(b".") for own in self.own):
                continue
            kept.append(part)
        changed = b";".join(kept)
        return value if changed == value else changed


def below(path: bytes, prefix: bytes) -> bool:
    """Whether `path` is `prefix` or goes on below it, at the boundary of a segment."""
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in (b"", b"/", b"?", b"#")


def host_of(authority: bytes) -> bytes:
    """The host of an authority, without its port."""
    if authority[-1:] == b"]":
        return authority
    host, colon, _ = authority.rpartition(b":")
    return host if colon else authority
