"""Regular expressions of paths, matched in linear time: a small dialect turned into a finite automaton when it is read.

Theory. A pattern is parsed to an automaton without choices (Thompson's construction, then the subset construction), whose
size is bounded. What it costs to look at a path is one step per octet, whatever the pattern and the path are; there is no
backtracking to exploit. A pattern whose automaton would be too large is refused when it is read, never at a request.

The dialect is what such automata can do: literals, `.`, classes, `\\d \\w`, groups, `|`, `* + ? {m,n}`, `(?i)` in front. The
whole path has to match, as if between ^ and $. No captures, no look-around, no references back.
"""

from __future__ import annotations

from typing import Final

#: Positions of the automaton with choices, and states of the one without, that a pattern may make.
MOST_POSITIONS: Final = 2000
MOST_STATES: Final = 512
_MOST_REPEATS: Final = 256
_DEEPEST: Final = 50

#: Octets that a canonical path has: printable ASCII. A class or `.` never means others.
_ALL: Final = frozenset(range(0x21, 0x7F))
_DIGITS: Final = frozenset(b"0123456789")
_WORD: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_CLASSES: Final = {"d": _DIGITS, "D": _ALL - _DIGITS, "w": _WORD, "W": _ALL - _WORD}


class PathRegexp:
    """A compiled pattern. Equal when the text is. Raises ValueError with a sentence that says what is wrong."""

    __slots__ = ("_accepting", "_classes", "_steps", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        positions, start, end = _Parser(text).positions()
        self._classes, octets = _octet_classes(positions)
        self._steps, self._accepting = _subsets(positions, start, end, octets)

    def __repr__(self) -> str:
        return f"<PathRegexp {self.text} of {len(self._steps)} states>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PathRegexp) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def matches(self, path: bytes) -> bool:
        """Whether the whole canonical path is one that the pattern means. One step per octet."""
        steps = self._steps
        state = 0
        for octet in path.translate(self._classes):
            state = steps[state][octet]
            if state < 0:
                return False
        return state in self._accepting

    def example(self) -> bytes | None:
        """A shortest path that it matches; None when there is none that begins with a slash."""
        first = {self._classes[octet]: octet for octet in sorted(_ALL, reverse=True)}
        begun = self._steps[0][self._classes[0x2F]]
        waiting = [(begun, b"/")] if begun >= 0 else []
        seen = {begun}
        for state, path in waiting:
            if state in self._accepting:
                return path
            for octet_class, octet in sorted(first.items(), key=lambda pair: pair[1]):
                found = self._steps[state][octet_class]
                if found >= 0 and found not in seen:
                    seen.add(found)
                    waiting.append((found, path + bytes((octet,))))
        return None


class _Position:
    """A place of the automaton with choices: by `octets` on to `target`, and at once to each of `leads`."""

    __slots__ = ("leads", "octets", "target")

    def __init__(self) -> None:
        self.octets: frozenset[int] | None = None
        self.target = -1
        self.leads: list[int] = []


class _Parser:
    """Recursive descent over the pattern; makes positions as it goes."""

    def __init__(self, text: str) -> None:
        if not text:
            raise ValueError("an empty pattern matches no path")
        if any(ord(c) <= 32 or ord(c) > 126 for c in text):
            raise ValueError("a path pattern is printable ASCII; percent-encode the rest")
        self._text = text
        self._at = 0
        self._depth = 0
        self._fold = text.startswith("(?i)")
        if self._fold:
            self._at = 4
        if self._rest().startswith("^"):
            self._at += 1
        self._positions: list[_Position] = []

    def positions(self) -> tuple[list[_Position], int, int]:
        """All positions, the first and the last."""
        begin, end = self._alternatives()
        if self._at < len(self._text):
            raise ValueError(f"{self._text[self._at]!r} closes nothing|write \\{self._text[self._at]}")
        return self._positions, begin, end

    def _rest(self) -> str:
        return self._text[self._at :]

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _new(self) -> int:
        if len(self._positions) >= MOST_POSITIONS:
            raise ValueError("the pattern is too large: its repetitions make too many positions")
        self._positions.append(_Position())
        return len(self._positions) - 1

    def _alternatives(self) -> tuple[int, int]:
        begin, end = self._sequence()
        if self._peek() != "|":
            return begin, end
        fork, join = self._new(), self._new()
        self._positions[fork].leads.append(begin)
        self._positions[end].leads.append(join)
        while self._peek() == "|":
            self._at += 1
            begin, end = self._sequence()
            self._positions[fork].leads.append(begin)
            self._positions[end].leads.append(join)
        return fork, join

    def _sequence(self) -> tuple[int, int]:
        begin = end = self._new()
        while self._peek() not in ("", "|", ")"):
            if self._peek() == "$" and (len(self._rest()) == 1 and self._depth == 0):
                self._at += 1
                break
            first, last = self._repeated()
            self._positions[end].leads.append(first)
            end = last
        return begin, end

    def _repeated(self) -> tuple[int, int]:
        began = self._at
        first, last = self._atom()
        stopped = self._at
        least, most = self._quantifier()
        if (least, most) == (1, 1):
            return first, last
        if self._peek() and self._peek() in "*+?{":
            raise ValueError("a repetition stands behind another one; whether it is greedy plays no part|take one out")
        resume = self._at
        begin = end = self._new()
        optional: list[int] = []
        for number in range(max(least, 1) if most is None else most):
            self._at = began
            first, last = self._atom()
            assert self._at == stopped
            self._positions[end].leads.append(first)
            if number >= least:
                optional.append(end)
            end = last
        self._at = resume
        after = self._new()
        if most is None:  # the last copy may come again, and need not come
            self._positions[end].leads.append(first)
        self._positions[end].leads.append(after)
        for place in optional:
            self._positions[place].leads.append(after)
        return begin, after

    def _quantifier(self) -> tuple[int, int | None]:
        """Least and most times; None is without end."""
        found = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(self._peek())
        if found is not None:
            self._at += 1
            return found
        if self._peek() != "{":
            return 1, 1
        inside, brace, _ = self._rest()[1:].partition("}")
        low, comma, high = inside.partition(",")
        if not brace or not low.isdecimal() or (high and not high.isdecimal()):
            raise ValueError("{ begins a repetition such as {2} or {2,5}|write \\{ for the character")
        self._at += len(inside) + 2
        least = int(low)
        most = None if comma and not high else int(high or low)
        if max(least, most or 0) > _MOST_REPEATS or (most is not None and most < least) or most == 0:
            raise ValueError(f"{{{inside}}} is not a repetition from less to more, up to {_MOST_REPEATS}")
        return least, most

    def _atom(self) -> tuple[int, int]:
        character = self._peek()
        if character == "(":
            return self._group()
        self._at += 1
        if character == "[":
            return self._octets(self._class())
        if character == ".":
            return self._octets(_ALL)
        if character == "\\":
            return self._octets(self._escape())
        if character in "*+?{":
            raise ValueError(f"{character!r} repeats nothing|write \\{character}")
        if character in "^$":
            raise ValueError(f"{character} may stand only at the end of the pattern: the whole path is matched anyway")
        return self._octets(frozenset((ord(character),)))

    def _octets(self, octets: frozenset[int]) -> tuple[int, int]:
        if self._fold:
            octets = frozenset(ord(c) for octet in octets for c in (chr(octet).lower(), chr(octet).upper()))
        begin, end = self._new(), self._new()
        self._positions[begin].octets = octets
        self._positions[begin].target = end
        return begin, end

    def _group(self) -> tuple[int, int]:
        rest = self._rest()
        if rest.startswith("(?:"):
            self._at += 3
        elif rest.startswith("(?"):
            raise ValueError(
                "look-around, flags and named groups are not taken|use (?:...) or (...), {name} in path for a part by name"
            )
        else:
            self._at += 1
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"groups stand deeper than {_DEEPEST} in each other")
        begin, end = self._alternatives()
        if self._peek() != ")":
            raise ValueError("a group is not closed|add )")
        self._at += 1
        self._depth -= 1
        return begin, end

    def _escape(self) -> frozenset[int]:
        character = self._peek()
        self._at += 1
        if character in _CLASSES:
            return _CLASSES[character]
        if not character or character.isalnum():
            raise ValueError(f"\\{character} is not taken; there are \\d \\D \\w \\W and escaped punctuation")
        return frozenset((ord(character),))

    def _class(self) -> frozenset[int]:
        negated = self._peek() == "^"
        self._at += negated
        found: set[int] = set()
        began = self._at
        while self._peek() != "]" or self._at == began:
            low = self._member()
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", "") and len(low) == 1:
                self._at += 1
                high = self._member()
                if len(high) != 1 or min(high) < min(low):
                    raise ValueError("a range in [ ] goes from the lower character to the higher")
                found.update(range(min(low), min(high) + 1))
            else:
                found |= low
        self._at += 1
        octets = _ALL - found if negated else frozenset(found)
        if not octets:
            raise ValueError("a class that means no character matches nothing")
        return octets

    def _member(self) -> frozenset[int]:
        character = self._peek()
        if not character:
            raise ValueError("a class is not closed|add ]")
        self._at += 1
        return self._escape() if character == "\\" else frozenset((ord(character),))


def _octet_classes(positions: list[_Position]) -> tuple[bytes, list[int]]:
    """A class for each octet, so that octets which the pattern never tells apart are one; and one octet of each class."""
    sets = list({position.octets for position in positions if position.octets is not None})
    seen: dict[tuple[bool, ...], int] = {}
    examples: list[int] = []
    classes = bytearray(256)
    for octet in range(256):
        told = tuple(octet in each for each in sets)
        if told not in seen:
            seen[told] = len(examples)
            examples.append(octet)
        classes[octet] = seen[told]
    return bytes(classes), examples


def _subsets(
    positions: list[_Position], start: int, end: int, octets: list[int]
) -> tuple[list[list[int]], frozenset[int]]:
    """The automaton without choices: for each state the next one by class of octet (-1: none), and which accept."""
    first = _closure(positions, (start,))
    numbers = {first: 0}
    waiting = [first]
    steps: list[list[int]] = []
    for state in waiting:
        row: list[int] = []
        for octet in octets:
            reached = [p.target for p in (positions[at] for at in state) if p.octets is not None and octet in p.octets]
            if not reached:
                row.append(-1)
                continue
            found = _closure(positions, tuple(reached))
            if found not in numbers:
                if len(numbers) >= MOST_STATES:
                    raise ValueError(
                        f"the pattern would need more than {MOST_STATES} states to be matched in linear time"
                        "|repeat less, or split it into several routes"
                    )
                numbers[found] = len(numbers)
                waiting.append(found)
            row.append(numbers[found])
        steps.append(row)
    return steps, frozenset(number for state, number in numbers.items() if end in state)


def _closure(positions: list[_Position], begin: tuple[int, ...]) -> frozenset[int]:
    reached = set(begin)
    waiting = list(begin)
    while waiting:
        for lead in positions[waiting.pop()].leads:
            if lead not in reached:
                reached.add(lead)
                waiting.append(lead)
    return frozenset(reached)
