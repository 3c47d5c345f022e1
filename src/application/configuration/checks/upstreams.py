"""Checks of upstreams: targets, references, and policies whose numbers contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from spork.application.configuration.model import Configuration
from spork.application.configuration.problems import Diagnostic, child, did_you_mean
from spork.domain.upstreams.model import TlsToTarget, Upstream

IsFile = Callable[[str], bool]


def check_upstreams(
    configuration: Configuration, unread: Collection[str], is_file: IsFile | None
) -> Iterator[Diagnostic]:
    names = {u.name for u in configuration.upstreams}
    found = configuration.registration != "off" or bool(configuration.discovery_file)
    for upstream in configuration.upstreams:
        path = child("upstreams", upstream.name)
        yield from _check_targets(upstream, path, found)
        yield from _check_policies(upstream, path)
        yield from _check_tls(upstream, path, is_file)
        yield from _check_proxy(upstream, path)
        yield from _check_external(upstream, path)
        yield from _check_sticky(upstream, path)
        fallback = upstream.fallback
        if fallback is not None and fallback.upstream is not None:
            where = f"{path}.fallback.upstream"
            yield from unknown_upstream(fallback.upstream, names, where, unread)
            if fallback.upstream == upstream.name:
                yield Diagnostic(where, "is the upstream itself")
    yield from _unused(configuration)


def _check_sticky(upstream: Upstream, path: str) -> Iterator[Diagnostic]:
    sticky = upstream.sticky
    if sticky is None:
        return
    where = child(path, "sticky")
    if upstream.balance.algorithm == "hash":
        yield Diagnostic(
            where, "stands beside balance by hash, which keeps callers together too", "keep one of the two"
        )
    if not sticky.path.startswith("/") or not sticky.path.isascii() or any(c in sticky.path for c in " ;,"):
        yield Diagnostic(child(where, "path"), f"{sticky.path!r} is not a path that a cookie can have", "such as /shop")
    if sticky.same_site == "none" and sticky.secure == "never":
        yield Diagnostic(child(where, "same_site"), "browsers take none only with Secure", "write secure: always")


def unknown_upstream(name: str, known: Collection[str], path: str, unread: Collection[str]) -> Iterator[Diagnostic]:
    """Complains when `name` is no upstream."""
    if name not in known and child("upstreams", name) not in unread:
        remedy = did_you_mean(name, known, f"declare it under upstreams:, as `{name}: {{}}` if services register there")
        yield Diagnostic(path, f'no upstream "{name}"', remedy)


def _check_targets(upstream: Upstream, path: str, found: bool) -> Iterator[Diagnostic]:
    if not upstream.targets and not found:
        yield Diagnostic(
            child(path, "targets"),
            "is missing or empty",
            "an upstream needs at least one target, or `registration` or `discovery_file` that bring some",
        )
    seen: dict[str, int] = {}
    for index, target in enumerate(upstream.targets):
        if target.name in seen:
            yield Diagnostic(f"{path}.targets[{index}]", f'"{target.name}" is targets[{seen[target.name]}] too')
        seen.setdefault(target.name, index)
    if upstream.targets and min(t.priority for t in upstream.targets) > 0:
        yield Diagnostic(child(path, "targets"), "no target has priority 0, all are spares", "", "warning")


def _check_policies(upstream: Upstream, path: str) -> Iterator[Diagnostic]:
    times = upstream.timeouts
    for name in ("connect", "first_byte", "idle", "total"):
        if getattr(times, name) <= 0:
            yield Diagnostic(f"{path}.timeouts.{name}", "must be longer than 0")
    if 0 < times.total < times.connect:
        yield Diagnostic(f"{path}.timeouts.connect", "is longer than the total timeout", "", "warning")
    yield from _check_probe(upstream, path)
    yield from _check_breaker(upstream, path)
    outliers = upstream.outliers
    if outliers is not None:
        if outliers.max_eject_for < outliers.eject_for:
            yield Diagnostic(f"{path}.outliers.max_eject_for", "is shorter than eject_for")
        if outliers.eject_for <= 0:
            yield Diagnostic(f"{path}.outliers.eject_for", "must be longer than 0")
    retries = upstream.retries
    if retries is not None:
        if retries.per_try is not None and retries.per_try > times.total:
            yield Diagnostic(f"{path}.retries.per_try", "is longer than timeouts.total", "", "warning")
        if retries.attempts > 10:
            yield Diagnostic(f"{path}.retries.attempts", "more than 10 further tries multiply an outage", "", "warning")
        if retries.backoff_cap < retries.backoff_base:
            yield Diagnostic(f"{path}.retries.backoff_cap", "is shorter than backoff_base")


def _check_probe(upstream: Upstream, path: str) -> Iterator[Diagnostic]:
    probe = upstream.probe
    if probe is None:
        return
    for name in ("every", "timeout"):
        if getattr(probe, name) <= 0:
            yield Diagnostic(f"{path}.probe.{name}", "must be longer than 0")
    if probe.timeout > probe.every > 0:
        yield Diagnostic(f"{path}.probe.timeout", "is longer than every, so probes would overlap")
    if probe.kind == "http" and not probe.path.startswith("/"):
        yield Diagnostic(f"{path}.probe.path", "a path begins with /", f"write /{probe.path}")


def _check_breaker(upstream: Upstream, path: str) -> Iterator[Diagnostic]:
    breaker = upstream.breaker
    if breaker is None:
        return
    for name in ("window", "open_for", "probe_lease"):
        if getattr(breaker, name) <= 0:
            yield Diagnostic(f"{path}.breaker.{name}", "must be longer than 0")
    for name in ("failure_ratio", "slow_ratio"):
        if getattr(breaker, name) <= 0:
            yield Diagnostic(f"{path}.breaker.{name}", "0 would open the circuit at once; write more than 0, up to 1")
    if breaker.slow_call is not None and breaker.slow_call > upstream.timeouts.total:
        yield Diagnostic(
            f"{path}.breaker.slow_call", "is longer than timeouts.total, so no call is ever slow", "", "warning"
        )


def _check_tls(upstream: Upstream, path: str, is_file: IsFile | None) -> Iterator[Diagnostic]:
    secure = any(t.scheme == "https" for t in upstream.targets)
    wanted: list[tuple[str, TlsToTarget]] = [(f"{path}.tls", upstream.tls)]
    wanted += [(f"{path}.targets[{i}].tls", t.tls) for i, t in enumerate(upstream.targets) if t.tls is not None]
    for where, tls in wanted:
        for key in ("ca", "cert", "key"):
            name = getattr(tls, key)
            if name and is_file is not None and not is_file(name):
                yield Diagnostic(f"{where}.{key}", f"no file {name!r}", "paths are relative to the working directory")
        if bool(tls.cert) != bool(tls.key):
            yield Diagnostic(where, "cert and key go together")
        if not tls.verify:
            yield Diagnostic(
                f"{where}.verify", "anybody on the way can answer for this upstream", "set ca instead", "warning"
            )
    if upstream.tls != TlsToTarget() and not secure:
        yield Diagnostic(f"{path}.tls", "has no effect: no target is https", "", "warning")


def _check_external(upstream: Upstream, path: str) -> Iterator[Diagnostic]:
    """What an external API needs: addresses are judged by the transport that connects, secrets go over TLS."""
    if any(target.allow for target in upstream.targets) and (upstream.transport != "httptools" or upstream.pool.proxy):
        yield Diagnostic(
            f"{path}.allow", "is only kept by transport httptools, without a proxy", "leave one of them out"
        )
    if upstream.credentials is None:
        return
    for index, target in enumerate(upstream.targets):
        local = target.unix_path is not None or target.host == "localhost" or target.host.startswith("127.")
        if target.scheme == "http" and not local:
            yield Diagnostic(
                f"{path}.targets[{index}]", "would get the credentials in clear text", "write https://", "warning"
            )


def _check_proxy(upstream: Upstream, path: str) -> Iterator[Diagnostic]:
    if not upstream.pool.proxy:
        return
    if upstream.transport != "httpx":
        yield Diagnostic(f"{path}.proxy", f"transport {upstream.transport} knows no proxies", "write transport: httpx")
    if any(target.unix_path is not None for target in upstream.targets):
        yield Diagnostic(f"{path}.proxy", "leads to no unix socket")
    if upstream.probe is not None:
        yield Diagnostic(f"{path}.probe", "asks targets directly, not through the proxy", "", "warning")


def _unused(configuration: Configuration) -> Iterator[Diagnostic]:
    used: set[str] = set()
    for route in configuration.routes:
        if route.upstream is not None and route.upstream.startswith("{"):
            return
        used |= {
            route.upstream or "",
            *(s.upstream for s in route.splits),
            route.mirror.upstream if route.mirror else "",
        }
    used |= {u.fallback.upstream for u in configuration.upstreams if u.fallback is not None and u.fallback.upstream}
    for upstream in configuration.upstreams:
        if upstream.name not in used:
            yield Diagnostic(child("upstreams", upstream.name), "no route leads here", "", "warning")
