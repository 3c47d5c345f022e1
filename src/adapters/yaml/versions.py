"""APIs as written, to one route per version: `orders` becomes `orders@v1`, `orders@v2`.

Each is an ordinary route: its path has the version in place of `{version}`, further matches name it by header, query or
Accept, and the default version's takes requests that name none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from spork.adapters.yaml import written
from spork.adapters.yaml.decode import FAILED, Findings
from spork.adapters.yaml.scalars import parse_instant
from spork.application.configuration.model import RouteConfig
from spork.application.configuration.problems import child, did_you_mean
from spork.domain.routing.patterns import Match, PathPattern, Rewrite
from spork.domain.routing.versions import AcceptVersion, ApiVersion, Brownout, Selectors
from spork.domain.transforms.policy import TransformPolicy

_VARIABLE = "{version}"


def expand(
    base: RouteConfig,
    name: str,
    path: str,
    apis: Mapping[str, Any],
    transforms: Mapping[str, TransformPolicy | None],
    findings: Findings,
) -> list[RouteConfig]:
    """The routes of every version of the API `name`, in the place of `base` written at `path`. `transforms` are those of the
    versions."""
    api = apis.get(name)
    if api is None or api is FAILED:
        if api is None:
            findings.add(child(path, "api"), f'no API "{name}"', did_you_mean(name, list(apis)))
        return []
    selectors = _selectors(api, base.match, path, findings)
    if selectors is None:
        return []
    names = tuple(version for version, given in api.versions.items() if given is not FAILED)
    if not names:
        return []
    default = _default(api, names)
    declared = {
        version: _declared(name, version, names, default, selectors, given, child(child(child("apis", name), "versions"), version), findings)
        for version, given in api.versions.items()
        if given is not FAILED
    }  # fmt: skip
    made = [
        _route(base, declared[version], api.versions[version], transforms.get(version), default == version)
        for version in names
    ]
    if default == "pinned" or (default == "none" and (selectors.header or selectors.query or selectors.accept)):
        nameless = ApiVersion(name, "", names, selectors, pinned=default == "pinned")
        # Plain prefix without a condition: whatever names a version is more specific and wins.
        made.append(
            replace(
                base,
                name=f"{base.name}@{default}",
                match=_unnamed(base.match),
                upstream=api.versions[names[0]].upstream,
                rewrite=_rewrite(base.rewrite, "", Selectors(keep=True)),
                version=nameless,
            )
        )
    return made


def check_apis(apis: Mapping[str, Any], used: set[str], findings: Findings) -> None:
    """What is wrong about APIs whoever uses them."""
    for name, api in apis.items():
        if api is FAILED:
            continue
        path = child("apis", name)
        words = ("none", "pinned", "latest", *api.versions)
        if api.default not in words:
            findings.add(child(path, "default"), f'no version "{api.default}"', did_you_mean(api.default, list(words)))
        if not api.versions:
            findings.add(child(path, "versions"), "has no version")
        if name not in used:
            findings.add(path, "is used by no route", f"write api: {name} at a route", "warning")


def _default(api: written.Api, names: tuple[str, ...]) -> str:
    if api.default == "latest":
        dated = [(api.versions[name].since or 0.0, index) for index, name in enumerate(names)]
        return names[max(dated)[1]]
    return api.default


def _selectors(api: written.Api, match: Match, path: str, findings: Findings) -> Selectors | None:
    header = query = b""
    accept = ""
    by_path = False
    for index, one in enumerate(api.select):
        if one is FAILED:
            continue
        if one == "path":
            by_path = True
        elif isinstance(one, written.Select):
            if sum(given is not None for given in (one.header, one.accept, one.query)) != 1:
                findings.add(f"{path}.api", f"select[{index}] is one of header, accept and query")
            header = one.header.lower().encode("latin-1") if one.header else header
            query = one.query.encode("latin-1", "replace") if one.query else query
            accept = one.accept.lower() if one.accept else accept
    segments = match.path.segments
    variable = _VARIABLE.encode()
    if by_path != (variable in segments):
        said = (
            "has no {version}, by which `select: [path]` finds one"
            if by_path
            else "has {version}, but `select` has no path"
        )
        findings.add(
            child(path, "match"),
            said,
            "put {version} where it stands, as in /api/{version}/orders/*" if by_path else "",
        )
        return None
    index = segments.index(variable) if by_path else -1
    return Selectors(index, header, query, accept, api.keep_selector)


def _declared(
    api: str,
    name: str,
    names: tuple[str, ...],
    default: str,
    selectors: Selectors,
    given: written.Version,
    path: str,
    findings: Findings,
) -> ApiVersion:
    at = names.index(name)
    going = given.deprecated is not None or given.sunset is not None
    successor = names[at + 1] if going and at + 1 < len(names) else ""
    return ApiVersion(
        api,
        name,
        names,
        selectors,
        default if default in names else "",
        False,
        successor,
        given.deprecated,
        given.sunset,
        given.docs,
        tuple(
            made
            for index, one in enumerate(given.brownouts)
            if one is not FAILED and (made := _brownout(one, f"{path}.brownouts[{index}]", findings)) is not None
        ),
        frozenset() if given.except_ is None else frozenset(given.except_.consumers),
    )


def _brownout(given: written.BrownoutTime, path: str, findings: Findings) -> Brownout | None:
    try:
        if given.every is None:
            return Brownout(parse_instant(given.at), given.for_)
        hours, colon, minutes = given.at.partition(":")
        if not (colon and hours.isdigit() and minutes.isdigit() and int(hours) < 24 and int(minutes) < 60):
            raise ValueError(f"{given.at!r} is not a time of day such as 10:00")
        if given.every <= given.for_:
            raise ValueError("it would never be back: `for` is as long as `every`")
    except ValueError as error:
        findings.add(child(path, "at"), str(error).partition("|")[0])
        return None
    day = (given.from_ or 0.0) // 86400 * 86400
    return Brownout(day + int(hours) * 3600 + int(minutes) * 60, given.for_, given.every)


def _route(
    base: RouteConfig, version: ApiVersion, given: written.Version, transform: TransformPolicy | None, default: bool
) -> RouteConfig:
    matches = _matches(base.match, version, default)
    return replace(
        base,
        name=f"{base.name}@{version.name}",
        match=matches[0],
        also=tuple(matches[1:]),
        upstream=given.upstream,
        rewrite=_rewrite(base.rewrite, version.name, version.selectors),
        transform=base.transform if given.transform is None else transform,
        version=version,
    )


def _matches(match: Match, version: ApiVersion, default: bool) -> list[Match]:
    selectors, name = version.selectors, version.name.encode("latin-1", "replace")
    matches: list[Match] = []
    if selectors.segment >= 0:
        matches.append(replace(match, path=PathPattern.parse(match.path.text.replace(_VARIABLE, version.name))))
    plain = _unnamed(match)
    if selectors.header:
        matches.append(replace(plain, headers=tuple(sorted((*plain.headers, (selectors.header, name))))))
    if selectors.query:
        matches.append(replace(plain, query=tuple(sorted((*plain.query, (selectors.query, name))))))
    if selectors.accept:
        matches.append(replace(plain, accept=AcceptVersion(version.name, version.names, selectors.accept)))
    if default:
        matches.append(plain)
    return matches


def _unnamed(match: Match) -> Match:
    """The match of requests whose path names no version."""
    text = match.path.text.replace("/" + _VARIABLE, "")
    return replace(match, path=PathPattern.parse(text or "/"))


def _rewrite(rewrite: Rewrite, name: str, selectors: Selectors) -> Rewrite:
    """What a version's target does not see: the segment that named it, unless it is asked for."""
    keep = selectors.keep or selectors.segment < 0
    there = "/" + name if keep and selectors.segment >= 0 else ""
    return replace(
        rewrite,
        strip=rewrite.strip.replace("/" + _VARIABLE, there),
        add=rewrite.add.replace(_VARIABLE, name),
        path=rewrite.path.replace(_VARIABLE, name),
        drop=None if keep or not name else (selectors.segment, name.encode("latin-1", "replace")),
    )
