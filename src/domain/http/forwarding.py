"""What of a head travels on, and what the gateway adds (RFC 9110 7.6, RFC 7239, SEMANTICS: forwarding).

Three steps in a fixed order: hop-by-hop fields go, then everything only the gateway may say goes, then ours is added.
A client can therefore never make a target believe what the gateway did not say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from spork.domain.http.head import GATEWAY_OWNED, GATEWAY_OWNED_PREFIXES, HOP_BY_HOP, Header, header_name
from spork.domain.tracing.propagation import TRACE_FIELDS

PSEUDONYM: Final = b"spork"
VIA: Final = (b"via", b"1.1 spork")

#: Replaced on the way, whatever the client sent: framing is the transport's, Host and the rest are ours.
#: Trace fields too: those of strangers go no further, those of trusted callers are set anew.
_DROPPED_FROM_REQUESTS: Final = (
    HOP_BY_HOP | GATEWAY_OWNED | TRACE_FIELDS | {b"host", b"content-length", b"expect", b"http2-settings"}
)
_CONNECTION_OPTIONS_WITHOUT_FIELDS: Final = frozenset((b"close", b"keep-alive", b"upgrade", b""))
#: Fields that Connection may not name away: losing them would change what a request means (RFC 9110 7.6.1 allows it,
#: and stripping a credential or an address this way is a known attack).
_NEVER_NAMED_AWAY: Final = frozenset(
    (b"host", b"content-length", b"authorization", b"cookie", b"cache-control", b"content-type")
)


def named_by_connection(headers: Sequence[Header]) -> frozenset[bytes]:
    """The field names that Connection declares to be of this hop only."""
    named: set[bytes] = set()
    for name, value in headers:
        if name == b"connection":
            named.update(token.strip().lower() for token in value.split(b","))
    return frozenset(named - _CONNECTION_OPTIONS_WITHOUT_FIELDS - _NEVER_NAMED_AWAY)


_KEPT: Final = 0
_DROPPED: Final = 1
_CONNECTION: Final = 2
#: What becomes of a field, by names that were seen.
_fates: Final[dict[bytes, int]] = {}
_REMEMBERED: Final = 1024


def _fate(name: bytes) -> int:
    """What becomes of a client's field of this name; remembered."""
    if name == b"connection":
        fate = _CONNECTION
    elif name in _DROPPED_FROM_REQUESTS or name.startswith((b"proxy-", *GATEWAY_OWNED_PREFIXES)):
        fate = _DROPPED
    else:
        fate = _KEPT
    if len(_fates) >= _REMEMBERED:
        _fates.clear()
    if len(name) <= 64:
        _fates[name] = fate
    return fate


#: Names that mean something to whoever reads a message: none with `_` in place of `-` may pass for them.
_MEANT: Final = (b"content-", b"sec-", b"access-control-", b"if-", b"accept-", b"idempotency-")


def underscored_name(raw: bytes, drop: bool, owned: frozenset[bytes]) -> bytes | None:
    """A field name with `_`, where such are let in, in lower case; b"" when its field is to be dropped, None when refused.

    Servers behind CGI-like interfaces take `_` and `-` for one: a name that stands for one of the gateway's own, for one in
    `owned` or for a field of HTTP's own is refused whatever was chosen.
    """
    lower = raw.lower()
    alias = header_name(lower.replace(b"_", b"-"))
    if alias is None:
        return None
    if drop:
        return b""
    if alias in owned or alias.startswith(_MEANT) or _fate(alias) != _KEPT:
        return None
    return lower


def end_to_end_request(headers: Sequence[Header], consumed: frozenset[bytes] = frozenset()) -> list[Header]:
    """A client's fields that may reach a target, in order. `consumed` are credentials the gateway took for itself."""
    kept: list[Header] = []
    named: frozenset[bytes] | None = None
    for header in headers:
        fate = _fates.get(header[0], -1)
        if fate != _KEPT:
            if fate == -1:
                fate = _fate(header[0])
            if fate == _CONNECTION and named is None:
                named = named_by_connection(headers)
            if fate != _KEPT:
                continue
        kept.append(header)
    if named:
        kept = [header for header in kept if header[0] not in named]
    if consumed:
        kept = [header for header in kept if header[0] not in consumed]
    return kept


def passed_through(headers: Sequence[Header]) -> bool:
    """True when our own pseudonym stands in Via: the request has been here before (RFC 9110 7.6.3)."""
    for name, value in headers:
        if name == b"via":
            for entry in value.split(b","):
                words = entry.split()
                if len(words) >= 2 and words[1].lower() == PSEUDONYM:
                    return True
    return False


def forwarded_for(client: str) -> str:
    """The `for=` value of RFC 7239: IPv6 in brackets and quoted."""
    return f'"[{client}]"' if ":" in client else client or "unknown"


def gateway_headers(client: str, scheme: str, host: bytes) -> tuple[Header, ...]:
    """What the gateway says about a client whose peer is not a trusted proxy. Worth caching per (client, scheme, host)."""
    address = client.encode("ascii")
    proto = scheme.encode("ascii")
    forwarded = f"for={forwarded_for(client)};proto={scheme}".encode("ascii")
    if host:
        forwarded += b';host="' + host + b'"'
    return (
        (b"x-forwarded-for", address),
        (b"x-forwarded-proto", proto),
        (b"x-forwarded-host", host),
        (b"x-real-ip", address),
        (b"forwarded", forwarded),
    )


def gateway_headers_behind_proxy(
    peer: str, client: str, scheme: str, host: bytes, headers: Sequence[Header]
) -> tuple[Header, ...]:
    """The same when `peer` is a trusted proxy: its chain is kept and our peer appended."""
    chain = [value for name, value in headers if name == b"x-forwarded-for"]
    elements = [value for name, value in headers if name == b"forwarded"]
    base = dict(gateway_headers(client, scheme, host))
    base[b"x-forwarded-for"] = b", ".join([*chain, *([peer.encode("ascii")] if peer else ())])
    own = f"for={forwarded_for(peer)};proto={scheme}".encode("ascii")
    base[b"forwarded"] = b", ".join([*elements, own]) if elements else base[b"forwarded"]
    return tuple(base.items())
