"""The lines around every screen: who and where, how fresh, which keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from spork.console.gateway.link_state import CONNECTING, DENIED, THROTTLED, UNAUTHENTICATED, UP
from spork.console.keys.keymap import key_name
from spork.console.text.formats import clock, until
from spork.console.text.freshness import DOWN, age, skewed
from spork.console.text.spans import Line, line_cells, spread

if TYPE_CHECKING:
    from spork.console.gateway.contexts import Context
    from spork.console.gateway.link_state import Link
    from spork.console.keys.actions import Command
    from spork.console.session.store import Store
    from spork.console.session.tiers import Lock
    from spork.console.text.freshness import Freshness

TABS = (
    ("1", "Pulse", "pulse"),
    ("2", "Services", "services"),
    ("3", "Breakers", "breakers"),
    ("4", "Quotas", "quotas"),
    ("5", "Routes", "routes"),
    ("6", "Traffic", "traffic"),
    ("7", "Events", "events"),
    ("8", "Config", "config"),
)


SHOWN_REVISION = 10**8
"""Revisions longer than this are clock readings, which say nothing to people."""


def link_words(link: Link, fresh: Freshness, now: float) -> Line:
    """How the data arrives and how old it is; a lost link says since when and when it is tried again."""
    seconds = "" if fresh.age is None else f" {age(fresh.age)}"
    if link.state == UP:
        return [(f"{fresh.word}", fresh.tone), (f" {link.mode}{seconds}", "dim")]
    if link.state == CONNECTING:
        return [("CONNECTING", "warn")]
    retry = (
        "r retries" if link.retry_at is None else f"retry in {max(0.0, link.retry_at - now):.0f}s (try {link.attempt})"
    )
    if link.state == UNAUTHENTICATED:
        return [("UNAUTHENTICATED", "bad"), (" :login", "")]
    if link.state == DENIED:
        return [("DENIED", "bad"), (f" {retry}", "dim")]
    if link.state == THROTTLED:
        return [("THROTTLED", "warn"), (f" {retry}", "dim")]
    lost = f" {age(now - link.lost_at)}" if link.lost_at is not None else ""
    data = "" if fresh.age is None else f", data {age(fresh.age)} old"
    return [(DOWN if fresh.word == DOWN else "LOST", "bad"), (lost, "bad"), (data, "warn"), (f" {retry}", "")]


def gateway_name(context: Context) -> Line:
    """Where writes would go: the first thing on every screen."""
    left: Line = [(" PROD ", "prod"), (" ", "")] if context.production else [(" ■ ", "accent")]
    return [*left, (context.name, "bold")]


def opening_header(context: Context, wall: float, width: int) -> Line:
    """The status line before anything is known."""
    right: Line = [(CONNECTING, "warn"), (f" · {clock(wall)}Z ", "dim")]
    return spread([*gateway_name(context), ("  READ-ONLY", "dim")], right, width)


def header(store: Store, context: Context, lock: Lock, fresh: Freshness, now: float, wall: float, width: int) -> Line:
    """The status line. At its right end, what must never be cut: freshness, nodes, the time."""
    left = gateway_name(context)
    who = store.who
    if who is not None and who.gateway and who.gateway != context.name and width >= 100:
        left.append((f" {who.gateway}", "dim"))
    if who is not None:
        left.append((f"  {who.name}/{who.role}", "dim"))
    if lock.open(now):
        left.append((f"  WRITE {until(lock.until, now)}", "forced"))
    else:
        left.append(("  READ-ONLY", "dim"))
    right = link_words(store.link, fresh, now)
    right += _fleet(store)
    if skewed(store.skew):
        right.append((f" · CLOCK SKEW {store.skew:+.0f}s", "warn"))
    if width >= 100 and store.rev < SHOWN_REVISION:
        right.append((f" · rev {store.rev}", "dim"))
    right.append((f" · {clock(wall)}Z ", "dim"))
    return spread(left, right, width)


def _fleet(store: Store) -> Line:
    nodes = store.nodes
    if nodes is None:
        return []
    if nodes.seen < nodes.total:
        return [(" · ", "dim"), (f"PARTIAL {nodes.seen}/{nodes.total}", "warn")]
    return [(f" · nodes {nodes.seen}/{nodes.total}", "dim")]


def tabs(
    current: str, width: int, denied: Sequence[str] = (), keys: Mapping[str, str] | None = None, more: str = ""
) -> list[tuple[Line, str]]:
    """The screens' names with their keys (by place; their numbers if not given); (spans, place) each, so that a click
    finds its place. `more` is a place without a tab of its own, while one is there."""
    found: list[tuple[Line, str]] = []
    for number, name, place in TABS:
        here = place == current
        lock, end = "!" if place in denied else "", " " if width >= 100 else ""
        label = f"{name}{lock}{end}"
        key = number if keys is None else keys.get(place, "")
        found.append(([(f" {key} ", "tab" if here else "key"), (label, "tab" if here else "dim")], place))
    if more:
        found.append(([(f" :{more} ", "tab")], more))
    return found


def footer(commands: Sequence[Command], width: int) -> list[tuple[Line, str]]:
    """Key hints that fit; back and help always. (spans, command name) each."""
    hints = [c for c in commands if c.footer]
    chosen: list[Command] = []
    room = width - 1
    for command in sorted(hints, key=_worth):
        size = line_cells(hint(command))
        if size <= room:
            chosen.append(command)
            room -= size
    chosen.sort(key=lambda c: c.rank)
    return [(hint(command), command.name) for command in chosen]


def _worth(command: Command) -> tuple[bool, bool, int]:
    """What to leave out last: back and help, how to move and type, what may be changed here, then the rest."""
    basic = command.rank < 5 or command.rank >= 90
    return (not basic, command.tier is None and command.name != "unlock", command.rank)


def hint(command: Command) -> Line:
    """One key and its label."""
    keys = "/".join(key_name(key) for key in command.keys[:1])
    if command.name == "down":
        keys = "j/k"
    elif command.name == "back":
        keys = "esc"
    return [(f" {keys} ", "key"), (f"{command.footer}  ", "dim")]


def crumbs(trail: Sequence[str]) -> Line:
    """Where one is: Services › billing › 10.0.0.7:80."""
    line: Line = []
    for index, part in enumerate(trail):
        if index:
            line.append((" › ", "dim"))
        line.append((part, "title" if index == len(trail) - 1 else "dim"))
    return line
