"""Routes as written, to `spork.application.configuration.model`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from spork.adapters.yaml import written
from spork.adapters.yaml.auth import translate_auth
from spork.adapters.yaml.cache import translate_cache
from spork.adapters.yaml.decode import FAILED, Findings
from spork.adapters.yaml.headers import octets, translate_edit
from spork.adapters.yaml.limits import translate_limits
from spork.adapters.yaml.telemetry import translate_route_trace
from spork.adapters.yaml.transforms import translate_transform
from spork.adapters.yaml.versions import check_apis, expand
from spork.adapters.yaml.written.form import WrittenPolicy
from spork.application.configuration.model import Mirror, RouteConfig, Split
from spork.application.configuration.problems import child
from spork.domain.http.answers_back import RewriteBack
from spork.domain.http.coding import CompressionPolicy, DecodePolicy
from spork.domain.http.static_answers import StaticAnswer
from spork.domain.identity.authorization import CorsPolicy, RequestSecurity
from spork.domain.routing.regexps import PathRegexp
from spork.domain.routing.table import Match, PathPattern, Redirect, Rewrite
from spork.domain.transforms.policy import TransformPolicy


def translate_routes(
    routes: tuple[Any, ...],
    findings: Findings,
    body_bytes: int,
    apis: Mapping[str, Any] | None = None,
    plugged: Mapping[int, tuple[tuple[str, object], ...]] | None = None,
) -> tuple[tuple[RouteConfig, ...], tuple[int, ...]]:
    """The routes that could be read, and the index each has in what was written. `body_bytes` is what the cache stores at most."""
    translated: list[RouteConfig] = []
    indexes: list[int] = []
    names = {r.name for r in routes if r is not FAILED and r.name}
    for index, route in enumerate(routes):
        if route is not FAILED:
            name = route.name or _free_name(route, names)
            place = f"routes[{index}]"
            made = [_route(route, name, place, findings, body_bytes)]
            if plugged and index in plugged:
                made = [replace(made[0], plugins=plugged[index])]
            if route.api:
                made = _versions(route, made[0], place, apis or {}, findings)
            translated += made
            indexes += [index] * len(made)
    check_apis(apis or {}, {r.api for r in routes if r is not FAILED and r.api}, findings)
    return tuple(translated), tuple(indexes)


def _versions(
    route: written.Route, base: RouteConfig, place: str, apis: Mapping[str, Any], findings: Findings
) -> list[RouteConfig]:
    """One route per version of the API that `route` serves."""
    if route.upstream is not None or route.redirect is not None:
        findings.add(child(place, "api"), "stands beside upstream or redirect", "the versions say where requests go")
    api = apis.get(route.api)
    transforms = {}
    if api is not None and api is not FAILED:
        below = child(child("apis", route.api), "versions")
        for name, version in api.versions.items():
            if version is not FAILED:
                path = child(child(below, name), "transform")
                transforms[name] = _transform(version.transform, path, findings)
    return expand(base, route.api, place, apis, transforms, findings)


def _transform(transform: written.Transform | None, path: str, findings: Findings) -> TransformPolicy | None:
    return translate_transform(
        transform, path, findings, lambda given, below, lower: _conditions(given, below, findings, lower=lower)
    )


def _free_name(route: written.Route, names: set[str]) -> str:
    """A name made from the path: `/api/v1/users/*` is api-v1-users."""
    match = route.match
    if isinstance(match, str):
        path = match
    else:
        path = match.path or next(iter(match.paths), None) or match.path_regexp or ""
    stem = re.sub(r"[^A-Za-z0-9_]+", "-", path).strip("-") or "root"
    name, number = stem, 2
    while name in names:
        name, number = f"{stem}-{number}", number + 1
    names.add(name)
    return name


def _route(route: written.Route, name: str, path: str, findings: Findings, body_bytes: int) -> RouteConfig:
    match, *also = _matches(route.match, child(path, "match"), findings)
    if also and route.api:
        findings.add(f"{path}.match", "has several paths, but the versions of an API share one", "keep one path")
    return RouteConfig(
        name=name,
        match=match,
        also=tuple(also),
        upstream=route.upstream,
        redirect=_redirect(route.redirect),
        respond=_respond(route.respond, child(path, "respond"), findings),
        rewrite=Rewrite(route.strip_prefix, route.add_prefix, route.rewrite),
        auth=translate_auth(route.auth, child(path, "auth"), findings),
        limits=translate_limits(route.limits, child(path, "limits"), findings, "ip"),
        cors=_cors(route.cors),
        security=_security(route.security),
        request_headers=translate_edit(route.headers.request, f"{path}.headers.request", findings),
        response_headers=translate_edit(route.headers.response, f"{path}.headers.response", findings),
        timeout=route.timeout,
        first_byte=route.timeouts.first_byte,
        idle=route.timeouts.idle,
        rewrite_back=_rewrite_back(route.rewrite_back),
        encoded_slashes=route.encoded_slashes == "keep",
        body_bytes=route.body_bytes,
        splits=tuple(_split(s, f"{path}.splits[{i}]", findings) for i, s in enumerate(route.splits) if s is not FAILED),
        mirror=Mirror(route.mirror) if isinstance(route.mirror, str) else _mirror(route.mirror),
        priority=route.priority,
        server_timing=route.server_timing,
        transform=_transform(route.transform, child(path, "transform"), findings),
        compression=_compression(route.compression),
        decode=None if route.decode is None else DecodePolicy(route.decode.codings, route.decode.ratio),
        trace=translate_route_trace(route.trace),
        cache=translate_cache(route.cache, f"{path}.cache", findings, body_bytes),
        metadata=dict(route.metadata),
        policies=_policies(route, path, findings),
        origin=str(findings.place(path)),
    )


def _policies(route: written.Route, path: str, findings: Findings) -> tuple[object, ...]:
    """What the written policies compile to that need no translation of their own."""
    compiled: list[object] = []
    for key in route.__struct_fields__:
        value = getattr(route, key)
        if value is True and key == "maintenance":
            value = written.Maintenance()
        if isinstance(value, WrittenPolicy):
            try:
                compiled.append(value.compiled())
            except ValueError as error:
                findings.add(child(path, key), str(error))
    return tuple(compiled)


def _matches(match: str | written.Match, path: str, findings: Findings) -> list[Match]:
    """One match for each path, the first path's first."""
    if isinstance(match, str):
        return [Match(PathPattern.parse(match))]
    if match.path is not None and match.paths:
        findings.add(child(path, "path"), "stands beside paths", "put it into paths")
    if match.host is not None and match.hosts:
        findings.add(child(path, "host"), "stands beside hosts", "put it into hosts")
    hosts = match.hosts if match.host is None else (match.host, *match.hosts)
    paths = tuple(dict.fromkeys(match.paths)) if match.path is None else (match.path,)
    if (
        not paths
        and match.path_regexp is None
        and not any(findings.complained(child(path, key)) for key in ("path", "path_regexp", "paths", "paths[0]"))
    ):
        findings.add(path, '"path" is missing', "for example path: /users/*")
    first = Match(
        path=PathPattern.parse(paths[0] if paths else "/*"),
        hosts=tuple(dict.fromkeys(host.lower() for host in hosts)),
        methods=frozenset(match.methods),
        headers=_conditions(match.headers, child(path, "headers"), findings, lower=True),
        query=_conditions(match.query, child(path, "query"), findings, lower=False),
        regexp=None if match.path_regexp is None else PathRegexp(match.path_regexp),
        body=tuple(sorted(match.body.items())),
    )
    return [first, *(replace(first, path=PathPattern.parse(each)) for each in paths[1:])]


def _conditions(
    wanted: Mapping[str, str | None], path: str, findings: Findings, *, lower: bool
) -> tuple[tuple[bytes, bytes | None], ...]:
    pairs = []
    for name, value in wanted.items():
        key = octets(name.lower() if lower else name, child(path, name), findings)
        pairs.append((key, None if value is None else octets(value, child(path, name), findings)))
    return tuple(sorted(pairs, key=lambda pair: (pair[0], pair[1] or b"")))


def _redirect(redirect: str | written.Redirect | None) -> Redirect | None:
    if redirect is None:
        return None
    return Redirect(redirect) if isinstance(redirect, str) else Redirect(redirect.to, redirect.status)


def _respond(respond: str | written.Respond | None, path: str, findings: Findings) -> StaticAnswer | None:
    if respond is None:
        return None
    try:
        return (written.Respond(status=respond) if isinstance(respond, str) else respond).answer()
    except ValueError as error:
        findings.add(path, str(error))
        return None


def _rewrite_back(written_back: bool | written.RewriteBack) -> RewriteBack | None:
    if isinstance(written_back, written.RewriteBack):
        both = RewriteBack(written_back.location, written_back.cookies)
        return both if both.location or both.cookies else None
    return RewriteBack() if written_back else None


def _cors(cors: written.Cors | None) -> CorsPolicy | None:
    if cors is None:
        return None
    return CorsPolicy(
        origins=cors.origins,
        credentials=cors.credentials,
        methods=cors.methods,
        headers=tuple(h.lower() for h in cors.headers),
        expose=cors.expose,
        max_age=int(cors.max_age),
    )


def _security(security: written.Security | None) -> RequestSecurity | None:
    if security is None:
        return None
    return RequestSecurity(**{name: getattr(security, name) for name in security.__struct_fields__})


def _compression(compression: bool | written.Compression | None) -> CompressionPolicy | None:
    if isinstance(compression, written.Compression):
        types = tuple(kind.lower() for kind in compression.types)
        return CompressionPolicy(compression.codings, compression.min, types, compression.secrets == "allow")
    return CompressionPolicy() if compression else None


def _split(split: written.Split, path: str, findings: Findings) -> Split:
    if len(split.header) > 1:
        findings.add(child(path, "header"), "a split goes by one header", "write a second split")
    header = next(iter(split.header.items()), None)
    pair = None if header is None else (header[0].lower().encode(), octets(header[1], child(path, "header"), findings))
    return Split(split.upstream, split.weight, pair, frozenset(split.consumers))


def _mirror(mirror: written.Mirror | None) -> Mirror | None:
    return None if mirror is None else Mirror(mirror.upstream, mirror.share)
