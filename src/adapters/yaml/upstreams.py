"""Upstreams as written, to the domain's."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from typing import Any

from spork.adapters.yaml import written
from spork.adapters.yaml.credentials import check_allowed, translate_credentials
from spork.adapters.yaml.decode import FAILED, Findings
from spork.adapters.yaml.headers import translate_edit
from spork.adapters.yaml.limits import translate_limits
from spork.application.configuration.problems import child
from spork.domain.openapi.policy import DocumentSource
from spork.domain.upstreams.circuit import BreakerPolicy
from spork.domain.upstreams.credentials import RestPolicy
from spork.domain.upstreams.health import OutlierPolicy, ProbePolicy
from spork.domain.upstreams.model import (
    Balance,
    Fallback,
    PoolPolicy,
    StickyCookie,
    Target,
    Timeouts,
    TlsToTarget,
    Upstream,
    parse_target,
    secured,
)
from spork.domain.upstreams.retries import RetryPolicy


def translate_upstream(name: str, upstream: written.Upstream, findings: Findings) -> Upstream:
    path = child("upstreams", name)
    check_allowed(upstream.allow, child(path, "allow"), findings)
    tls = _tls(upstream.tls)
    balance = upstream.balance
    return Upstream(
        name=name,
        targets=tuple(
            replace(_target(t, index, tls), allow=upstream.allow, family=upstream.address_family)
            for index, t in enumerate(upstream.targets)
        ),
        balance=Balance(balance) if isinstance(balance, str) else Balance("hash", balance.hash),
        sticky=_sticky(upstream.sticky),
        timeouts=_timeouts(upstream.timeouts),
        pool=PoolPolicy(**_fields(upstream.pool), proxy=upstream.proxy),
        probe=_probe(upstream.probe),
        outliers=None if upstream.outliers is None else OutlierPolicy(**_fields(upstream.outliers)),
        breaker=None if upstream.breaker is None else BreakerPolicy(**_fields(upstream.breaker)),
        retries=None if upstream.retries is None else RetryPolicy(**_fields(upstream.retries)),
        fallback=_fallback(upstream.fallback),
        slow_start=upstream.slow_start,
        transport=_transport(upstream, path, findings),
        pass_host=upstream.pass_host,
        adaptive_concurrency=upstream.adaptive_concurrency,
        tls=tls,
        request_headers=translate_edit(upstream.headers.request, f"{path}.headers.request", findings),
        response_headers=translate_edit(upstream.headers.response, f"{path}.headers.response", findings),
        credentials=translate_credentials(upstream.credentials, child(path, "credentials"), findings),
        quotas=tuple(
            replace(limit, scope=f"upstream:{name}")
            for limit in translate_limits(upstream.quotas, child(path, "quotas"), findings, "global")
        ),
        openapi=_openapi(upstream.openapi, child(path, "openapi"), findings),
        rest=None if upstream.rest is None else RestPolicy(**_fields(upstream.rest)),
    )


def _openapi(given: written.OpenApiSource | None, path: str, findings: Findings) -> DocumentSource | None:
    if given is None:
        return None
    if bool(given.path) == bool(given.file):
        findings.add(path, "needs exactly one of path and file", "write path: /openapi.json")
        return None
    if given.every < 1.0:
        findings.add(child(path, "every"), "is shorter than a second", "write every: 1m")
    return DocumentSource(given.path or "", given.file, given.every)


def _transport(upstream: written.Upstream, path: str, findings: Findings) -> str:
    """What sends to its targets: applications in this process are called, and stand beside no others."""
    urls = [t if isinstance(t, str) else t.url for t in upstream.targets if t is not FAILED]
    here = [url.startswith("asgi:") for url in urls]
    if not any(here):
        return upstream.transport
    if not all(here):
        findings.add(child(path, "targets"), "has applications in this process beside others", "make two upstreams")
    if upstream.probe is not None:
        findings.add(child(path, "probe"), "asks addresses, and these targets have none", "leave it out")
    return "asgi"


def _fields(struct: Any) -> dict[str, Any]:
    """The Struct's values by name: these policies are written exactly as the domain has them."""
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def _target(target: Any, index: int, upstreams: TlsToTarget) -> Target:
    if target is FAILED:  # complained about; it stands in, so that the others keep their places
        return parse_target("http://unread.invalid", name=f"unread {index}")
    if isinstance(target, str):
        return secured(parse_target(target), upstreams)
    tls = None if target.tls is None else _tls(target.tls)
    found = parse_target(target.url, weight=target.weight, priority=target.priority, name=target.name, tls=tls)
    return secured(found, upstreams) if tls is None else found


def _timeouts(timeouts: written.Timeouts) -> Timeouts:
    total = math.inf if timeouts.total is None else timeouts.total
    return Timeouts(timeouts.connect, timeouts.first_byte, timeouts.idle, total)


def _sticky(sticky: bool | written.Sticky | None) -> StickyCookie | None:
    if isinstance(sticky, written.Sticky):
        return StickyCookie(
            sticky.cookie, sticky.ttl, sticky.path or "/", sticky.secure, sticky.http_only, sticky.same_site
        )
    return StickyCookie() if sticky else None


def _tls(tls: written.TargetTls) -> TlsToTarget:
    return TlsToTarget(**_fields(tls), stamp=_stamp(tls.ca, tls.cert, tls.key))


def _stamp(*names: str | None) -> str:
    """Changes when one of the files does."""
    parts: list[str] = []
    for name in names:
        if name:
            try:
                seen = os.stat(name)
                parts.append(f"{seen.st_ino:x}.{seen.st_size:x}.{seen.st_mtime_ns:x}")
            except OSError:
                parts.append("-")
    return "/".join(parts)


def _probe(probe: written.Probe | None) -> ProbePolicy | None:
    if probe is None:
        return None
    spans = [text.partition("-") for text in probe.statuses]
    statuses = tuple((int(low), int(high or low)) for low, _, high in spans)
    return ProbePolicy(**_fields(probe) | {"statuses": statuses})


def _fallback(fallback: written.Fallback | None) -> Fallback | None:
    if fallback is None:
        return None
    body = fallback.body
    text = body if isinstance(body, str) else "" if body is None else json.dumps(body, ensure_ascii=False)
    return Fallback(
        fallback.status,
        text.encode("utf-8"),
        fallback.content_type,
        fallback.upstream,
        fallback.stale,
        frozenset(fallback.statuses),
    )
