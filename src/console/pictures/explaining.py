"""An Explanation and a configuration, as lines."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from spork.console.pictures.details import fact, text_fact, title
from spork.console.text.formats import MISSING, since, stamp
from spork.console.text.moment import Moment
from spork.console.text.spans import BLANK, Line

if TYPE_CHECKING:
    from spork.application.views import ConfigView, Explanation

VERDICTS = {
    "pass": ("  pass", "ok"),
    "answer": ("> answer", "ok"),
    "refuse": ("x refuse", "bad"),
    "unknown": ("? unknown", "unknown"),
}


def explanation(found: Explanation, width: int) -> list[Line]:
    """Which route wins, why the others lost, and what would be asked and sent."""
    lines: list[Line] = []
    if found.refusal:
        lines.append(fact("verdict", ("x REFUSED ", "bad"), found.refusal))
    else:
        lines.append(fact("verdict", ("MATCHES ", "ok"), (found.route or MISSING, "bold")))
    lines.append(
        fact(
            "goes to",
            found.upstream or MISSING,
            f" → {found.target or MISSING}",
            f"   as {found.wire_target or MISSING}",
        )
    )
    if found.breaker:
        lines.append(fact("breaker", found.breaker))
    if found.params:
        lines += text_fact("params", "  ".join(f"{name}={value}" for name, value in found.params.items()), width)
    lines += [BLANK, title("Routes looked at"), BLANK]
    for candidate in found.candidates:
        mark = ("> ", "ok") if candidate.won else ("  ", "")
        tone = "bold" if candidate.won else ""
        lines.append(
            [mark, (f"{candidate.route:<18} ", tone), (f"{candidate.pattern:<28} ", tone), (candidate.why, "dim")]
        )
    if found.guards:
        lines += [BLANK, title("Guards, in order"), BLANK]
        for guard in found.guards:
            word, tone = VERDICTS.get(guard.verdict, (f"? {guard.verdict}", "unknown"))
            lines.append([(f"{word:<10} ", tone), (f"{guard.phase:<14} ", ""), (guard.detail, "dim")])
    if found.request_headers:
        lines += [BLANK, title("Headers on the wire"), BLANK]
        lines += [[(f"  {name}: ", "dim"), (value, "")] for name, value in found.request_headers]
    return lines + [[("note  ", "dim"), (note, "")] for note in found.notes]


CONFIG_TABS = ("file", "previous", "running", "history", "problems")


def config_head(view: ConfigView, moment: Moment) -> list[Line]:
    """Which revision runs, since when, whose."""
    line = fact(
        "running",
        (view.revision, "bold"),
        f"   applied {stamp(view.applied_at)} ({since(view.applied_at, moment.now)} ago)",
        f" by {view.author or MISSING}",
    )
    lines = [line]
    if view.restart_needed:
        lines.append(fact("restart", ("~ needed for ", "warn"), ", ".join(view.restart_needed)))
    if view.problems:
        lines.append(
            fact(
                "problems",
                (f"x the last reload failed ({len(view.problems)}); the old revision serves", "bad"),
            )
        )
    return lines


def config_tab(view: ConfigView, tab: str) -> list[Line]:
    """The body of one tab."""
    if tab == "file":
        return diff(view.diff_file) or [[("  the file on disk is what runs", "ok")]]
    if tab == "previous":
        return diff(view.diff_previous) or [[("no earlier revision, or no difference to it", "dim")]]
    if tab == "running":
        return [
            [(f"{number:>4}  ", "dim"), (text, _yaml_tone(text))]
            for number, text in enumerate(view.running.splitlines(), 1)
        ]
    if tab == "history":
        return [
            [
                (("> " if row.current else "  "), "ok"),
                (f"{row.revision:<14} ", "bold" if row.current else ""),
                (f"{stamp(row.at)}  ", "dim"),
                (f"{row.author:<14} ", ""),
                (f"{row.source:<16} ", "dim"),
                (row.note, ""),
            ]
            for row in view.history
        ] or [[("no history", "dim")]]
    return _problems(view) or [[("  the last reload had no problems", "ok")]]


def _problems(view: ConfigView) -> list[Line]:
    lines: list[Line] = []
    for problem in view.problems:
        where = ":".join(str(problem[part]) for part in ("file", "line", "column") if problem.get(part) is not None)
        lines.append([("x ", "bad"), (where or MISSING, "bold"), (f"  {problem.get('path', '')}", "dim")])
        lines.append([("    ", ""), (str(problem.get("message", "")), "")])
        if problem.get("suggestion"):
            lines.append([("    ", ""), (str(problem["suggestion"]), "ok")])
        lines.append(BLANK)
    return lines


def diff(text: str) -> list[Line]:
    """A unified diff, each line in the tone of its sign."""
    lines: list[Line] = []
    for line in text.splitlines():
        if line.startswith(("+++", "---")):
            tone = "dim"
        else:
            tone = {"+": "add", "-": "del", "@": "hunk"}.get(line[:1], "")
        lines.append([(line, tone)])
    return lines


def _yaml_tone(text: str) -> str:
    return "dim" if text.lstrip().startswith("#") else ""


class BadQuestion(ValueError):
    """What was typed is no request; the message says what is."""


def question(typed: str) -> tuple[str, str, dict[str, str]]:
    """Method, URL and headers of a request as typed: `GET /path -H 'accept: text/html'`, the method may be left out.
    Raises BadQuestion."""
    try:
        words = shlex.split(typed)
    except ValueError as error:
        raise BadQuestion(f"{error}; headers are written -H 'name: value'") from error
    headers: dict[str, str] = {}
    plain: list[str] = []
    while words:
        word = words.pop(0)
        if word != "-H":
            plain.append(word)
            continue
        name, colon, value = (words.pop(0) if words else "").partition(":")
        if not colon or not name.strip():
            raise BadQuestion("headers are written -H 'name: value'")
        headers[name.strip().lower()] = value.strip()
    if len(plain) == 1:
        plain = ["GET", *plain]
    if len(plain) != 2:
        raise BadQuestion("a request is written METHOD URL, such as GET /users/1 -H 'accept: text/html'")
    return plain[0].upper(), plain[1], headers
