"""Cache-Status: what this cache did with a request (RFC 9211)."""

from __future__ import annotations

from spork.domain.http.head import Header


def cache_status(
    *,
    hit: bool = False,
    fwd: str = "",
    fwd_status: int = 0,
    ttl: int | None = None,
    stored: bool = False,
    collapsed: bool = False,
    detail: str = "",
) -> Header:
    """The field with our member. `fwd` is why the request went on: bypass, method, uri-miss, vary-miss, stale, request."""
    parts = [b"spork"]
    if hit:
        parts.append(b"hit")
    elif fwd:
        parts.append(b"fwd=" + fwd.encode("ascii"))
        if fwd_status:
            parts.append(b"fwd-status=%d" % fwd_status)
    if stored:
        parts.append(b"stored")
    if collapsed:
        parts.append(b"collapsed")
    if ttl is not None:
        parts.append(b"ttl=%d" % ttl)
    if detail:
        parts.append(b"detail=" + detail.encode("ascii"))
    return (b"cache-status", b"; ".join(parts))
