"""Lines of toned text, the console's only drawing material.

A span is `(text, tone)`; a line is a list of spans. Screens, dialogs, `get` tables and tests are all made of lines.
A tone is a word for meaning (`bad`, `warn`, `dim`), never a colour: themes give it one. No text in a span is ever
parsed for markup.
"""

from __future__ import annotations

from collections.abc import Iterable
from unicodedata import category, east_asian_width

Span = tuple[str, str]
Line = list[Span]

BLANK: Line = []


def cells(text: str) -> int:
    """How many terminal cells `text` takes. Control characters do not occur: `clean` came first."""
    if text.isascii():
        return len(text)
    total = 0
    for char in text:
        if east_asian_width(char) in "WF":
            total += 2
        elif category(char) not in ("Mn", "Me"):
            total += 1
    return total


def line_cells(line: Iterable[Span]) -> int:
    return sum(cells(text) for text, _ in line)


def crop(text: str, width: int) -> str:
    """`text` in at most `width` cells, with an ellipsis where something is missing."""
    if cells(text) <= width:
        return text
    if width <= 0:
        return ""
    if text.isascii():
        return text[: width - 1] + "…"
    out: list[str] = []
    left = width - 1
    for char in text:
        left -= cells(char)
        if left < 0:
            break
        out.append(char)
    return "".join(out) + "…"


def crop_middle(text: str, width: int) -> str:
    """`text` in at most `width` cells, with an ellipsis in its middle: `geo/127…:24199`."""
    if cells(text) <= width or width < 5 or not text.isascii():
        return crop(text, width)
    tail = (width - 1) * 3 // 5
    return f"{text[: width - 1 - tail]}…{text[-tail:]}"


def quiet(lines: Iterable[Line]) -> list[Line]:
    """Lines without their tones: their numbers are old."""
    return [[(text, "dim") for text, _ in line] for line in lines]


def titled(text: str) -> str:
    """`text` with a capital letter in front, the others as they are."""
    return text[:1].upper() + text[1:]


def fit(text: str, width: int, right: bool = False) -> str:
    """`text` in exactly `width` cells."""
    text = crop(text, width)
    pad = " " * (width - cells(text))
    return pad + text if right else text + pad


def crop_line(line: Iterable[Span], width: int) -> Line:
    """The line in at most `width` cells."""
    out: Line = []
    left = width
    for text, tone in line:
        if left <= 0:
            break
        size = cells(text)
        if size > left:
            text, size = crop(text, left), left
        out.append((text, tone))
        left -= size
    return out


def spread(left: Line, right: Line, width: int, gap: int = 2) -> Line:
    """`left` and `right` at the two ends of `width` cells; `left` gives way."""
    right = crop_line(right, width)
    room = width - line_cells(right)
    head = crop_line(left, max(0, room - gap))
    return [*head, (" " * max(0, room - line_cells(head)), ""), *right]


def plain(line: Iterable[Span]) -> str:
    """The line's text, tones dropped, no blanks at its end."""
    return "".join(text for text, _ in line).rstrip()


def wrap(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` cells, broken at blanks where there are any."""
    lines: list[str] = []
    current = ""
    for word in text.split(" "):
        while cells(word) > width:
            if current:
                lines.append(current)
                current = ""
            lines.append(word[:width])
            word = word[width:]
        joined = f"{current} {word}" if current else word
        if cells(joined) <= width:
            current = joined
        else:
            lines.append(current)
            current = word
    return [*lines, current]
