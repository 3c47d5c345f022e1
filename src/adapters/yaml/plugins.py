"""Reads what is written of plugins by the Structs that they declare, with the place of every complaint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from spork.adapters.yaml.decode import FAILED, Findings, decode
from spork.adapters.yaml.document import ListNode, MappingNode, Node, ScalarNode
from spork.adapters.yaml.shapes import Record, fields_of
from spork.application.configuration.model import PluginUse
from spork.application.configuration.problems import child, did_you_mean
from spork.plugins.finding import find
from spork.plugins.plugin import Plugin, PluginContext, documentation, overrides


@dataclass(frozen=True, slots=True)
class Plugged:
    """The plugins of a configuration, and by index of route in the document what each route says of them."""

    uses: tuple[PluginUse, ...] = ()
    routes: dict[int, tuple[tuple[str, object], ...]] = field(default_factory=dict)


NO_PLUGINS = Plugged()


def read_plugins(root: MappingNode, findings: Findings) -> Plugged:
    """The plugins that `root` names. Complaints go to `findings`."""
    uses: dict[str, PluginUse] = {}
    listed = root.entries.get("plugins")
    for index, node in enumerate(listed.items if isinstance(listed, ListNode) else ()):
        use = _use(node, f"plugins[{index}]", findings)
        if use is not None and use.name in uses:
            findings.add(f"plugins[{index}]", f'there are two plugins called "{use.name}"')
        elif use is not None:
            uses[use.name] = use
    if sum(overrides(use.kind, "limiter") for use in uses.values()) > 1:
        findings.add("plugins", "more than one of them brings a rate limiter", "leave one")
    routes: dict[int, tuple[tuple[str, object], ...]] = {}
    written = root.entries.get("routes")
    for index, node in enumerate(written.items if isinstance(written, ListNode) else ()):
        said = node.entries.get("plugins") if isinstance(node, MappingNode) else None
        if isinstance(said, MappingNode):
            routes[index] = tuple(_of_route(said, f"routes[{index}].plugins", uses, findings))
    return Plugged(tuple(uses.values()), routes)


def _use(node: Node, path: str, findings: Findings) -> PluginUse | None:
    entry = node.entries.get("use") if isinstance(node, MappingNode) else node
    if not isinstance(entry, ScalarNode) or entry.broken:
        return None
    try:
        kind = find(entry.text)
        for struct in (kind.options, kind.route_options):
            _readable(entry.text, struct)
    except ValueError as error:
        message, _, suggestion = str(error).partition("|")
        findings.add(path, message, suggestion, place=entry.place)
        return None
    given = node.entries.get("options") if isinstance(node, MappingNode) else None
    options: Any = None
    if kind.options is not None:
        options = decode(given or MappingNode(entry.place), Record(kind.options), child(path, "options"), findings)
    elif given is not None:
        findings.add(child(path, "options"), f'the plugin "{kind.name}" takes no options')
    if options is FAILED:
        return None
    return PluginUse(kind.name, kind, options)


def _readable(use: str, struct: Any) -> None:
    """Raises ValueError for a Struct whose fields cannot be written in YAML here."""
    if struct is None:
        return
    try:
        fields_of(struct)
    except (KeyError, TypeError, NameError) as error:
        raise ValueError(f"{use}: the fields of {struct.__name__} cannot be read from YAML: {error}") from error


def _of_route(said: MappingNode, path: str, uses: dict[str, PluginUse], findings: Findings) -> list[tuple[str, object]]:
    read: list[tuple[str, object]] = []
    for name, node in said.entries.items():
        below = child(path, name)
        use = uses.get(name)
        if use is None:
            if not any(problem.path.startswith("plugins") for problem in findings.problems):
                findings.add(
                    below, f'no plugin "{name}"', did_you_mean(name, uses, "name it in plugins:"), place=said.keys[name]
                )
            continue
        kind: type[Plugin] = use.kind
        if kind.route_options is None:
            findings.add(below, f'the plugin "{name}" has nothing to say about routes', place=said.keys[name])
            continue
        options = decode(node, Record(kind.route_options), below, findings)
        if options is FAILED:
            continue
        for complaint in _complaints(kind, use, options):
            findings.add(below, complaint, place=said.keys[name])
        read.append((name, options))
    return read


def _complaints(kind: type[Plugin], use: PluginUse, options: object) -> list[str]:
    """What the plugin itself finds wrong; that it cannot say so is a complaint, too."""
    try:
        return list(kind(PluginContext(use.options, _Still())).check_options(options))
    except Exception as error:
        return [f"the plugin failed to look at its options: {type(error).__name__}: {error}"]


class _Still:
    """A clock for a plugin that is made to be asked one question."""

    def monotonic(self) -> float:
        return 0.0

    def unix(self) -> float:
        return 0.0


def described(uses: tuple[PluginUse, ...]) -> list[str]:
    """One line per plugin: its name, what it is, and the refusals it may give."""
    lines = []
    for use in uses:
        kind: type[Plugin] = use.kind
        reasons = ", ".join(f"{use.name}_{slug} {reason.status}" for slug, reason in kind.reasons.items())
        lines.append(f"plugin {use.name}: {documentation(kind)}" + (f" (refusals: {reasons})" if reasons else ""))
    return lines
