"""What the environment says: `SPORK_...` overrides of any scalar, and services found by their variables.

Both become nodes of the document, placed at their variable, so that they are read and complained about like any other.

- `SPORK_LISTEN=0.0.0.0:80`, `SPORK_EDGE__BODY_BYTES=1MiB`, `SPORK_ROUTES__0__TIMEOUT=2s`: the path with `__` between
  keys; list values are separated by commas.
- `USERS_SERVICE_URL=http://host:port` gives upstream `users` and route `/api/v1/users/*`. The path is forwarded
  unchanged unless the URL has one: then what is below the prefix goes below the URL's path.
- `UPSTREAM_PRODUCTS_V1=http://host/api/v1/products` gives upstream `products_v1` and the routes `/api/products/*` and
  `/api/v1/products/*`, by the same rule. With several versions the lowest keeps the path without a version, so that
  adding one moves nobody; `UPSTREAM_PRODUCTS` takes it outright.
- `AUTH_SERVICE_URL` and `MESSAGE_HUB_URL` set `auth_service` and `events.url`. Several targets are separated by commas.

What the file says of the same upstream, route name or path wins. `environment_services: false` leaves them all out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from spork.adapters.yaml.document import ListNode, MappingNode, Node, Place, ScalarNode
from spork.adapters.yaml.shapes import Either, Entries, ItemShape, Record, Shape, fields_of
from spork.adapters.yaml.written import Document
from spork.application.configuration.problems import Diagnostic, child, did_you_mean
from spork.domain.upstreams.model import parse_target

PREFIX = "SPORK_"
#: Variables of the commands and of the tests, which configure nothing here.
NOT_CONFIGURATION = frozenset(
    (
        "SPORK_CONFIG",
        "SPORK_URL",
        "SPORK_ADMIN_URL",
        "SPORK_TOKEN",
        "SPORK_ADMIN_TOKEN",
        "SPORK_VIEWER_TOKEN",
        "SPORK_CONTEXT",
        "SPORK_NAME",
        "SPORK_NODE",
        "SPORK_WORKER",
        "SPORK_WORKERS",
        "SPORK_RUN",
        "SPORK_MAIN_PID",
        "SPORK_SOCKETS",
        "SPORK_READY_FD",
        "SPORK_KEY_PEPPER",
        "SPORK_KEY_PEPPER_FILE",
    )
)
_NOT_CONFIGURATION_PREFIXES = ("SPORK_CONSOLE_", "SPORK_DEMO_", "SPORK_TEST_")
#: What Kubernetes sets in every pod beside a Service called spork, or spork-something.
_KUBERNETES = re.compile(
    r"SPORK_([A-Z0-9_]+_)??(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)\Z"
)
_PORT = re.compile(r"SPORK_([A-Z0-9_]+_)?PORT\Z")
_PORT_VALUE = re.compile(r"(tcp|udp|sctp)://")
_SERVICE = re.compile(r"([A-Z][A-Z0-9_]*)_SERVICE_URL\Z")
_UPSTREAM = re.compile(r"UPSTREAM_([A-Z][A-Z0-9_]*?)(?:_V([0-9]{1,6}))?\Z")
_NOT_SERVICES = {"AUTH_SERVICE_URL": ("auth_service",), "MESSAGE_HUB_URL": ("events", "url")}


def place_of(variable: str) -> Place:
    return Place(f"environment {variable}")


# ------------------------------------------------------------------------------------------------------------ overrides


def override(root: MappingNode, environ: Mapping[str, str], asked: Collection[str] = ()) -> list[Diagnostic]:
    """Put `SPORK_...` values into the tree in place of what is written there.

    Variables that the document itself asks for as `${SPORK_...}` are not overrides.
    """
    problems: list[Diagnostic] = []
    for variable in sorted(environ):
        if (
            not variable.startswith(PREFIX)
            or variable in asked
            or variable in NOT_CONFIGURATION
            or of_kubernetes(variable, environ[variable])
        ):
            continue
        if variable.startswith(_NOT_CONFIGURATION_PREFIXES):
            continue
        parts = variable.removeprefix(PREFIX).split("__")
        problem = _set(root, Record(Document), parts, environ[variable], variable)
        if problem is not None:
            problems.append(problem)
    return problems


def of_kubernetes(variable: str, value: str) -> bool:
    """Whether it is one of the variables that Kubernetes makes of a Service whose name begins like ours."""
    if _KUBERNETES.match(variable) or variable == "SPORK_PORT":
        return True
    return _PORT.match(variable) is not None and _PORT_VALUE.match(value) is not None


def _set(root: MappingNode, shape: Shape, parts: list[str], value: str, variable: str) -> Diagnostic | None:
    place = place_of(variable)
    node: Node = root
    path = ""
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        key = _key(node, shape, part)
        if key is None:
            return _unknown(variable, part, node, shape, path)
        path = child(path, key)
        shape = _below(shape, key)
        fresh = ScalarNode(value, place, plain=False) if last else MappingNode(place)
        if isinstance(node, ListNode):
            assert isinstance(key, int)
            if last or isinstance(node.items[key], ScalarNode):
                node.items[key] = fresh
            node = node.items[key]
        elif isinstance(node, MappingNode):
            present = node.entries.get(str(key))
            if last or present is None or isinstance(present, ScalarNode):
                node.put(str(key), place, fresh)
            node = node.entries[str(key)]
    return None


def _options(shape: Shape) -> Shape | None:
    return (shape.mapping or shape.items) if isinstance(shape, Either) else shape


def _key(node: Node, shape: Shape, part: str) -> str | int | None:
    """The key that `part` of a variable names: of the shape, of what is written, or a new name in a section."""
    if isinstance(node, ListNode):
        return int(part) if part.isdecimal() and len(part) < 7 and int(part) < len(node.items) else None
    if not isinstance(node, MappingNode):
        return None
    option = _options(shape)
    if isinstance(option, Record):
        return next((key for key in fields_of(option.struct) if key.upper() == part.upper()), None)
    written = next((k for k in node.entries if re.sub("[^A-Za-z0-9]", "_", k).upper() == part.upper()), None)
    return written or (part.lower() if isinstance(option, Entries) and part else None)


def _below(shape: Shape, key: str | int) -> Shape:
    option = _options(shape)
    if isinstance(option, Record):
        return fields_of(option.struct)[str(key)].shape
    if isinstance(option, Entries):
        return option.value
    return option.item if isinstance(option, ItemShape) else shape


def _unknown(variable: str, part: str, node: Node, shape: Shape, path: str) -> Diagnostic:
    where = place_of(variable)
    if isinstance(node, ListNode):
        message = f"{path} has {len(node.items)} items, counted from 0; {part} is none of them"
        return Diagnostic(path, message, "", "error", where.file)
    option = _options(shape)
    known = list(fields_of(option.struct)) if isinstance(option, Record) else []
    hint = did_you_mean(part, [k.upper() for k in known])
    if not path and not hint:  # perhaps not meant for the gateway at all
        return Diagnostic(path, "is no configuration key and has no effect", hint, "warning", where.file)
    return Diagnostic(path, f'no such key "{part.lower()}"', hint, "error", where.file)


# ------------------------------------------------------------------------------------------------------------- services


@dataclass(frozen=True, slots=True)
class Service:
    """A service found in the environment: its upstream's name, the prefixes it answers, its URLs."""

    variable: str
    upstream: str
    prefixes: tuple[str, ...]
    urls: tuple[str, ...]


def services_in(environ: Mapping[str, str]) -> Iterator[Service]:
    """Services by variable name, in order."""
    versions: dict[str, list[tuple[int, str]]] = {}
    for variable in sorted(environ):
        urls = tuple(u.strip() for u in environ[variable].split(",") if u.strip())
        if variable in _NOT_SERVICES or not urls:
            continue
        if found := _SERVICE.match(variable):
            name = found[1].lower()
            yield Service(variable, name, tuple(f"/api/v1/{s}" for s in _spellings(name)), urls)
        elif found := _UPSTREAM.match(variable):
            version = -1 if found[2] is None else int(found[2])
            versions.setdefault(found[1].lower(), []).append((version, variable))
    for name, found_versions in sorted(versions.items()):
        for place, (version, variable) in enumerate(sorted(found_versions)):
            urls = tuple(u.strip() for u in environ[variable].split(",") if u.strip())
            roots = ["/api"] if place == 0 else []
            roots += [f"/api/v{version}"] if version >= 0 else []
            prefixes = tuple(f"{root}/{s}" for root in roots for s in _spellings(name))
            yield Service(variable, name if version < 0 else f"{name}_v{version}", prefixes, urls)


def _foreign_scheme(service: Service) -> str:
    """The scheme of a `..._SERVICE_URL` that is of another kind than a target's; other programs have such variables."""
    if not service.variable.endswith("_SERVICE_URL"):
        return ""
    for url in service.urls:
        scheme, separator, _ = url.partition("://")
        if separator and scheme.partition("+")[0] not in ("http", "https", "dns", "srv"):
            return scheme if scheme.replace("+", "").isalnum() else "strange"
    return ""


def _spellings(name: str) -> tuple[str, ...]:
    """`user_profiles` is found under /user-profiles and under /user_profiles."""
    return (name.replace("_", "-"), name) if "_" in name else (name,)


def add_services(root: MappingNode, environ: Mapping[str, str]) -> list[Diagnostic]:
    """Put what the environment's variables declare into the tree, where the file does not say otherwise."""
    for variable, keys in _NOT_SERVICES.items():
        if environ.get(variable):
            _default(root, keys, ScalarNode(environ[variable], place_of(variable), plain=False))
    wanted = root.entries.get("environment_services")
    if isinstance(wanted, ScalarNode) and wanted.text.lower() in ("false", "no", "off"):
        return []
    problems: list[Diagnostic] = []
    services: list[Service] = []
    for service in services_in(environ):
        if foreign := _foreign_scheme(service):
            message = f"is a {foreign} URL, no service that speaks HTTP, and has no effect"
            where = place_of(service.variable)
            problems.append(Diagnostic("", message, "set environment_services: false", "warning", where.file))
        else:
            services.append(service)
    if not services:
        return problems
    upstreams = root.entries.get("upstreams")
    routes = root.entries.get("routes")
    if upstreams is None or (isinstance(upstreams, ScalarNode) and upstreams.null):
        upstreams = MappingNode(place_of(services[0].variable))
        root.put("upstreams", upstreams.place, upstreams)
    if routes is None or (isinstance(routes, ScalarNode) and routes.null):
        routes = ListNode(place_of(services[0].variable))
        root.put("routes", routes.place, routes)
    if not isinstance(upstreams, MappingNode) or not isinstance(routes, ListNode):
        return problems
    names, paths = _declared(routes)
    for service in services:
        if service.upstream not in upstreams.entries:
            problems += _add(service, upstreams, routes, names, paths)
    return problems


def _default(root: MappingNode, keys: tuple[str, ...], value: ScalarNode) -> None:
    node = root
    for key in keys[:-1]:
        below = node.entries.get(key)
        if below is None:
            below = MappingNode(value.place)
            node.put(key, value.place, below)
        if not isinstance(below, MappingNode):
            return
        node = below
    if keys[-1] not in node.entries:
        node.put(keys[-1], value.place, value)


def _declared(routes: ListNode) -> tuple[set[str], set[str]]:
    """Names and paths of the routes that are written."""
    names: set[str] = set()
    paths: set[str] = set()
    for route in routes.items:
        if not isinstance(route, MappingNode):
            continue
        name, match = route.entries.get("name"), route.entries.get("match")
        if isinstance(name, ScalarNode):
            names.add(name.text)
        path = match.entries.get("path") if isinstance(match, MappingNode) else match
        if isinstance(path, ScalarNode):
            paths.add(path.text)
    return names, paths


def _add(
    service: Service, upstreams: MappingNode, routes: ListNode, names: set[str], paths: set[str]
) -> list[Diagnostic]:
    place = place_of(service.variable)
    try:
        targets = [parse_target(url) for url in service.urls]
    except ValueError as error:
        message, _, suggestion = str(error).partition("|")
        return [Diagnostic(f"upstreams.{service.upstream}", message, suggestion, "error", place.file)]
    bases = {t.base_path.decode("ascii") for t in targets}
    if len(bases) > 1:
        message = f"its URLs have different paths: {', '.join(sorted(bases))}"
        return [Diagnostic(f"upstreams.{service.upstream}", message, "give all of them one path", "error", place.file)]
    base = bases.pop()
    origins = [
        _scalar(t.url[: len(t.url.rstrip("/")) - len(base)] if base else t.url.rstrip("/"), place) for t in targets
    ]
    upstreams.put(service.upstream, place, _mapping(place, targets=ListNode(place, list(origins))))
    for number, prefix in enumerate(service.prefixes):
        name = service.upstream if number == 0 else f"{service.upstream}-{number + 1}"
        if name in names or f"{prefix}/*" in paths:
            continue
        route = _mapping(place, name=_scalar(name, place), match=_scalar(f"{prefix}/*", place))
        route.put("upstream", place, _scalar(service.upstream, place))
        if base:
            route.put("rewrite", place, _scalar(base + "{rest}", place))
        routes.items.append(route)
        names.add(name)
        paths.add(f"{prefix}/*")
    return []


def _scalar(text: str, place: Place) -> Node:
    return ScalarNode(text, place, plain=False)


def _mapping(place: Place, **entries: Node) -> MappingNode:
    return MappingNode(place, dict(entries), dict.fromkeys(entries, place))
