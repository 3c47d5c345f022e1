"""The one gate between the outside world and the terminal.

A gateway's rows hold text that strangers chose: paths, host names, error messages of a target. A terminal obeys some
of that text (escape sequences move the cursor and rename the window, bidirectional marks reorder a line, zero-width
characters hide in a name) and a UI library may obey more of it (markup). `clean` turns each character that is not
plainly visible into its visible escape, so that the operator reads what was sent and nothing else happens:

    C0, DEL, C1, line and paragraph separators, bidirectional and zero-width characters, unassigned and private code
    points, lone surrogates, blanks other than the space, invisible fillers, variation selectors, and combining marks
    past the second in a row.

`scrub` applies it to a whole decoded JSON document. Nothing of the console decodes JSON without it.
"""

from __future__ import annotations

from unicodedata import category

CAP = 400
"""Longest text kept, in characters; more is cut and ends in an ellipsis."""

LINES_CAP = 20_000
"""Most lines kept of a text of many lines (a configuration)."""

_FILLERS = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5")
_MARKS_IN_A_ROW = 2


def clean(text: str, cap: int = CAP) -> str:
    """`text` as one visible line of at most `cap` characters. Idempotent on its own output unless cut."""
    cut = len(text) > cap
    if cut:
        text = text[: cap - 1]
    if not (text.isascii() and text.isprintable()):
        text = _escaped(text)
        if len(text) > cap:
            cut, text = True, text[: cap - 1]
    return text + "…" if cut else text


def clean_lines(text: str, cap: int = CAP) -> str:
    """Like `clean`, for a text whose line feeds are kept: each line is cleaned by itself. Tabs become two spaces."""
    lines = text.replace("\r\n", "\n").replace("\t", "  ").split("\n")
    return "\n".join(clean(line, cap) for line in lines[:LINES_CAP])


def scrub(document: object, texts: frozenset[str] = frozenset()) -> object:
    """`document` (decoded JSON: dict, list, str, number, None) with every string cleaned, keys too; in place.

    Strings under a key named in `texts` keep their line feeds.
    """
    kind = type(document)
    if kind is str:
        return clean(document)  # type: ignore[arg-type]
    if kind is list:
        return _scrub_list(document, texts)  # type: ignore[arg-type]
    if kind is dict:
        return _scrub_dict(document, texts)  # type: ignore[arg-type]
    return document


def _scrub_list(items: list[object], texts: frozenset[str]) -> list[object]:
    for index, item in enumerate(items):
        if type(item) is str:
            if not (item.isascii() and item.isprintable() and len(item) <= CAP):
                items[index] = clean(item)
        elif type(item) is dict:
            items[index] = _scrub_dict(item, texts)
        elif type(item) is list:
            _scrub_list(item, texts)
    return items


def _scrub_dict(fields: dict[str, object], texts: frozenset[str]) -> dict[str, object]:
    odd: list[str] = []
    for name, value in fields.items():
        if not (name.isascii() and name.isprintable() and len(name) <= CAP):
            odd.append(name)
        if type(value) is str:
            if name in texts:
                fields[name] = clean_lines(value)
            elif not (value.isascii() and value.isprintable() and len(value) <= CAP):
                fields[name] = clean(value)
        elif type(value) is dict:
            _scrub_dict(value, texts)
        elif type(value) is list:
            _scrub_list(value, texts)
    for name in odd:
        fields[clean(name)] = fields.pop(name)
    return fields


def _escaped(text: str) -> str:
    out: list[str] = []
    marks = 0
    for char in text:
        code = ord(char)
        if code < 0x7F:
            marks = 0
            out.append(char if code >= 0x20 else _escape(code))
            continue
        mark = category(char) in ("Mn", "Me")
        marks = marks + 1 if mark else 0
        hidden = marks > _MARKS_IN_A_ROW or char in _FILLERS or (mark and (0xFE00 <= code <= 0xFE0F or code >= 0xE0100))
        out.append(_escape(code) if hidden or not char.isprintable() else char)
    return "".join(out)


def _escape(code: int) -> str:
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
