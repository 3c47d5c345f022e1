"""Puts what a target's answer says of addresses and paths into the client's words (`rewrite_back`)."""

from __future__ import annotations

from spork.application.exchange.exchange import Exchange, RoutePlan
from spork.domain.http.answers_back import RewriteBack, WayBack
from spork.domain.http.head import Header


def told_back(exchange: Exchange, plan: RoutePlan, policy: RewriteBack, headers: list[Header]) -> list[Header]:
    """The target's fields for the client of this exchange."""
    head = exchange.head
    asked = exchange.asked_host or head.host
    own: set[bytes] = set()
    base = b""
    upstream = exchange.snapshot.upstreams.get(exchange.upstream_name) or plan.upstream
    if upstream is not None:
        for target in upstream.targets:
            own.add(target.authority.lower())
            if target.name == exchange.target_name or not base:
                base = target.declared.base_path
        if upstream.declared.pass_host and asked:
            own.add(asked)
    rewriter = plan.rewriter
    stripped = b"" if rewriter is None else rewriter.stripped(head.path)
    added = base if rewriter is None else base + rewriter.added
    origin = head.scheme.encode("ascii") + b"://" + asked if asked else b""
    return WayBack(stripped, added, own, origin).fields(headers, policy)
