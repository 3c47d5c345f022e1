"""Every command of the console, once: keys, `:` words, palette, footer, `?` help and docs read this table.

A command's handler is found by its name (`do_NAME` of the current pane or of the app); commands with a `tier` open the
dialog of the write of that name (`spork.console.session.writes`). Keys are Textual's names, and those of a console whose file gives
no others (`spork.console.keys.keymap`). Writes have shifted letters only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SCREEN, MOVE, VIEW, ROW, WRITE, CONSOLE = "Screens", "Moving", "Looking", "The row", "Acting", "The console"
GROUPS = (SCREEN, MOVE, VIEW, ROW, WRITE, CONSOLE)


@dataclass(frozen=True, slots=True)
class Command:
    """`words` are what `:` takes; `places` where the command means something (none: everywhere); `footer` its short
    label there, `rank` its order. `argument` describes what may follow the word."""

    name: str
    keys: tuple[str, ...]
    help: str
    group: str
    words: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    footer: str = ""
    rank: int = 50
    argument: str = ""
    tier: int | None = None
    role: str = ""


LISTS = (
    "services",
    "targets",
    "breakers",
    "quotas",
    "routes",
    "traffic",
    "events",
    "keys",
    "sessions",
    "consumers",
    "limits",
    "nodes",
    "components",
    "objectives",
    "audit",
    "usage",
    "connections",
)
TAILS = ("pulse", "traffic", "events")
MARKABLE = tuple(name for name in LISTS if name not in TAILS)


def _screen(number: str, name: str, help: str, *words: str) -> Command:
    return Command(f"screen_{name}", (number,) if number else (), help, SCREEN, (name, *words), argument="[filter]")


COMMANDS: tuple[Command, ...] = (
    _screen("1", "pulse", "Pulse: traffic, breakers, targets and what needs attention", "p"),
    _screen("2", "services", "Services; enter shows a service's targets", "svc"),
    _screen("3", "breakers", "Breakers: state, error share, when the next try comes", "brk"),
    _screen("4", "quotas", "Quota windows: who is near or over a limit", "quota", "q4"),
    _screen("5", "routes", "Routes; enter explains which route wins and why", "route"),
    _screen("6", "traffic", "Traffic: a sampled tail of finished requests", "tail"),
    _screen("7", "events", "Events: what happened, newest first", "ev"),
    _screen("8", "config", "Configuration: running against file and previous revision", "conf"),
    _screen("", "targets", "All targets of all services", "tgt"),
    _screen("", "nodes", "Gateway processes; :components their parts", "node"),
    _screen("", "components", "Parts of this gateway: Redis, records, loop, log, certificates", "health", "parts"),
    _screen("", "objectives", "Objectives: budget left and burn rates", "slo"),
    _screen("", "audit", "Audit trail, newest first"),
    _screen("", "usage", "Usage per hour, consumer and route"),
    _screen("", "connections", "Live WebSockets, event streams and long downloads", "conn"),
    _screen("", "limits", "Limits and their stores"),
    _screen("", "consumers", "Consumers and their use"),
    _screen("", "keys", "API keys"),
    _screen("", "sessions", "Sessions"),
    Command("down", ("j", "down"), "Next row or line", MOVE, footer="move", rank=1),
    Command("up", ("k", "up"), "Previous row or line", MOVE),
    Command("page_down", ("ctrl+f", "pagedown"), "One page down", MOVE),
    Command("page_up", ("ctrl+b", "pageup"), "One page up", MOVE),
    Command("half_down", ("ctrl+d",), "Half a page down", MOVE),
    Command("half_up", ("ctrl+u",), "Half a page up", MOVE),
    Command("top", ("g", "home"), "First row", MOVE),
    Command("bottom", ("G", "end"), "Last row", MOVE),
    Command("left", ("h", "left"), "Scroll left (wide tables); previous tab (configuration)", MOVE),
    Command("right", ("l", "right"), "Scroll right; next tab", MOVE),
    Command("next_part", ("tab",), "Next list or field on the screen", MOVE),
    Command("open", ("enter",), "Open the row: details, targets, explanation", ROW, footer="open", rank=2),
    Command("back", ("escape", "q"), "Clear the filter, or go back; never quits", MOVE, footer="back", rank=99),
    Command("last", ("minus",), "The view before this one", MOVE, words=("last",)),
    Command("history_back", ("left_square_bracket",), "Back in the history of views", MOVE),
    Command("history_forward", ("right_square_bracket",), "Forward in the history of views", MOVE),
    Command(
        "filter",
        ("slash",),
        "Filter rows: words, a|b, !not, field:word, err>5, re:expression",
        VIEW,
        ("filter",),
        footer="filter",
        rank=3,
        argument="text",
    ),
    Command("command", ("colon",), "Command line; tab completes", VIEW, footer="cmd", rank=4),
    Command(
        "sort",
        ("s",),
        "Choose the column to sort by; again on it turns the order",
        VIEW,
        ("sort",),
        LISTS,
        footer="sort",
        rank=5,
        argument="column",
    ),
    Command("reverse", ("S",), "Turn the sort order", VIEW, places=LISTS),
    Command("faults", ("z",), "Show faults only", VIEW, ("faults",), ("pulse", *LISTS), footer="faults", rank=6),
    Command("wide", ("w",), "Show every column; scroll with h and l", VIEW, ("wide",), LISTS),
    Command(
        "group",
        ("b",),
        "Quotas by key, user, ip, route, tenant, or all",
        VIEW,
        ("group",),
        ("quotas",),
        footer="group",
        rank=7,
        argument="kind",
    ),
    Command(
        "pause",
        ("p", "space"),
        "Hold the tail still (space marks rows in other lists); new rows are counted",
        VIEW,
        ("pause",),
        TAILS,
        footer="pause",
        rank=7,
    ),
    Command("follow", ("f",), "Follow the tail: newest first, no pause", VIEW, ("follow",), TAILS),
    Command(
        "acknowledge",
        ("a",),
        "Acknowledge the concern: it moves down and is not heard, until it clears; again takes that back",
        ROW,
        ("ack", "acknowledge"),
        ("pulse",),
        footer="ack",
        rank=9,
    ),
    Command("snooze", (), "The same for a time, 30m if none is given", ROW, ("snooze",), ("pulse",), argument="[time]"),
    Command(
        "range",
        ("t",),
        "How far back lines go: 5, 15 or 60 minutes",
        VIEW,
        ("range",),
        ("services", "service", "routes"),
        argument="[minutes]",
    ),
    Command(
        "export", (), "Write the rows shown to a file, CSV or JSON by its name", CONSOLE, ("export",), argument="[file]"
    ),
    Command(
        "bell",
        (),
        "Hear new errors: off, bell, notice (bell and a desktop notice, OSC 9)",
        CONSOLE,
        ("bell",),
        argument="[how]",
    ),
    Command("redraw", ("ctrl+l",), "Draw everything anew", CONSOLE, ("redraw",)),
    Command("mark", ("space",), "Mark the row, at most 20; actions then take all marked rows", ROW, places=MARKABLE),
    Command(
        "copy", ("y",), "Copy the row's id, or the audit id of the last action", ROW, ("copy",), footer="copy", rank=8
    ),
    Command("copy_curl", ("Y",), "Copy the row's admin call as a curl line, token left out", ROW, ("curl",)),
    Command(
        "jump",
        ("o",),
        "Jump to what belongs to the row: route, service, target, breaker, consumer, requests, trace",
        ROW,
        ("jump", "go"),
        footer="jump",
        rank=7,
        argument="[name]",
    ),
    Command("trace", (), "Copy the link of the request's trace; open it where a browser is at hand", ROW, ("trace",)),
    Command("reread", ("r",), "Read again now; retry a lost connection at once", VIEW, ("reread", "refresh"), rank=9),
    Command(
        "explain",
        (),
        "Which route wins for METHOD URL, and why; sends nothing",
        ROW,
        ("explain",),
        argument="METHOD URL",
    ),
    Command(
        "trip",
        ("T",),
        "Force a breaker open for a time",
        WRITE,
        ("trip",),
        ("breakers", "breaker"),
        "trip",
        20,
        tier=2,
        role="operator",
    ),
    Command(
        "reset",
        ("R",),
        "Reset a breaker to closed",
        WRITE,
        ("reset",),
        ("breakers", "breaker"),
        "reset",
        21,
        tier=1,
        role="operator",
    ),
    Command(
        "drain",
        ("D",),
        "Drain a target: no new requests",
        WRITE,
        ("drain",),
        ("targets", "service", "target"),
        "drain",
        20,
        tier=2,
        role="operator",
    ),
    Command(
        "undrain",
        ("U",),
        "Take a drained target back",
        WRITE,
        ("undrain",),
        ("targets", "service", "target"),
        "undrain",
        21,
        tier=1,
        role="operator",
    ),
    Command(
        "probe",
        ("P",),
        "Probe a target now",
        WRITE,
        ("probe",),
        ("targets", "service", "target"),
        "probe",
        22,
        tier=0,
        role="operator",
    ),
    Command(
        "raise",
        ("E",),
        "Change a subject's limit until it expires",
        WRITE,
        ("raise",),
        ("quotas", "quota"),
        "limit",
        20,
        tier=2,
        role="operator",
    ),
    Command(
        "renew",
        ("N",),
        "Reset a window: its use becomes 0",
        WRITE,
        ("renew",),
        ("quotas", "quota"),
        "new window",
        21,
        tier=2,
        role="operator",
    ),
    Command(
        "issue",
        ("I",),
        "Issue an API key; its secret is shown once",
        WRITE,
        ("issue",),
        ("keys", "consumers", "consumer"),
        "issue",
        19,
        tier=2,
        role="admin",
        argument="[consumer]",
    ),
    Command(
        "rotate",
        ("R",),
        "Give a key another secret, shown once; the old one ends after an overlap",
        WRITE,
        ("rotate",),
        ("keys",),
        "rotate",
        20,
        tier=2,
        role="admin",
    ),
    Command(
        "revoke",
        ("X",),
        "Revoke a key, a session, or all tokens of a user",
        WRITE,
        ("revoke",),
        ("keys", "sessions", "quotas", "quota"),
        "revoke",
        22,
        tier=3,
        role="admin",
    ),
    Command(
        "reload",
        ("L",),
        "Reload the configuration file",
        WRITE,
        ("reload",),
        ("config",),
        "reload",
        20,
        tier=2,
        role="admin",
    ),
    Command(
        "rollback",
        ("B",),
        "Put a former revision of the configuration into force again",
        WRITE,
        ("rollback",),
        ("config",),
        "roll back",
        21,
        tier=3,
        role="admin",
    ),
    Command(
        "plan",
        ("M",),
        "Move a consumer to another plan",
        WRITE,
        ("plan",),
        ("consumers", "consumer"),
        "plan",
        20,
        tier=2,
        role="admin",
    ),
    Command(
        "unlock",
        ("W",),
        "Unlock writes for ten minutes; again locks",
        WRITE,
        ("unlock", "lock"),
        footer="unlock",
        rank=30,
    ),
    Command(
        "context",
        (),
        "Switch to another gateway; without a name, list them",
        CONSOLE,
        ("ctx", "context"),
        argument="name",
    ),
    Command("login", (), "Fetch the token again (command, file or environment)", CONSOLE, ("login",)),
    Command("mouse", ("m",), "Mouse to the console, or to the terminal to select text", CONSOLE, ("mouse",)),
    Command("theme", (), "Theme: dark, light, cvd, ansi", CONSOLE, ("theme",), argument="name"),
    Command("save", ("ctrl+s",), "Save the view as text, secrets left out", CONSOLE, ("save",), argument="[file]"),
    Command("palette", ("ctrl+p",), "Find a command by its words", CONSOLE, ("palette",)),
    Command("help", ("question_mark", "f1"), "This help", CONSOLE, ("help",), footer="help", rank=98),
    Command("suspend", ("ctrl+z",), "Back to the shell; `fg` comes back", CONSOLE, ("suspend",)),
    Command("quit", ("ctrl+q",), "Quit", CONSOLE, ("quit", "q")),
)

BY_NAME = {command.name: command for command in COMMANDS}


def for_place(place: str, commands: Iterable[Command] = COMMANDS) -> list[Command]:
    """Commands that mean something in a place, footer order."""
    return sorted((c for c in commands if not c.places or place in c.places), key=lambda c: c.rank)
