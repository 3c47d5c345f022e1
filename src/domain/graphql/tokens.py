"""Lexical tokens of GraphQL documents (GraphQL specification, September 2025, 2.1), in time linear to the text.

One regular expression finds every token. Nothing in it has two ways to go: quantifiers of one character are possessive, groups
begin with what nothing else begins with, and what is no token takes the rest of the text with it, so that a hostile text is looked
at once. Groups are not possessive: Pythons before 3.11.5 match such groups wrongly (python/cpython#106052).
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

_ESCAPE = r'\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}|u\{[0-9A-Fa-f]++\})'
_TOKEN: Final = re.compile(
    r"[ \t\n\r,\ufeff]*+(?:\#[^\n\r]*+[ \t\n\r,\ufeff]*+)*"
    r"([_A-Za-z][_0-9A-Za-z]*+"
    r"|[{}()\[\]:!=@$&|]"
    r"|\.\.\."
    r"|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?(?![0-9_A-Za-z.])"
    r'|"""(?:[^"\\]++|\\(?:"""|(?!"""))|"(?!""))*"""'
    r'|"(?!"")[^"\\\n\r]*+(?:' + _ESCAPE + r'[^"\\\n\r]*+)*"'
    r"|\Z"
    r"|(?s:.)(?s:.)*+)"
)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
_TEXT: Final = re.compile(
    r'"""(?:[^"\\]++|\\(?:"""|(?!"""))|"(?!""))*"""|"(?!"")[^"\\\n\r]*+(?:' + _ESCAPE + r'[^"\\\n\r]*+)*"'
)
#: Up to this many characters the whole text is cut at once; longer ones token by token, stopping at the bound.
_AT_ONCE: Final = 16 * 1024
_FIRST: Final = frozenset('_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz{}()[]:!=@$&|-0123456789"')
_SURROGATE: Final = re.compile(r"\\u(?:\{([0-9A-Fa-f]+)\}|([0-9A-Fa-f]{4}))|\\.", re.S)


class TooManyTokens(ValueError):
    """The text has more tokens than may be read."""


class Unreadable(ValueError):
    """The text is no executable document. str() says what stands in the way, without quoting the text."""


def tokens_of(text: str, most: int) -> list[str]:
    """The tokens of `text` in their order, and "" for its end. Raises TooManyTokens, Unreadable."""
    if len(text) <= _AT_ONCE:
        found = _TOKEN.findall(text)
    else:
        found = [match.group(1) for match in islice(_TOKEN.finditer(text), most + 2)]
    if found[-1]:
        if len(found) > most:
            raise TooManyTokens(str(most))
        found.append("")
    elif len(found) > 1 and not found[-2]:
        found.pop()
    if len(found) - 1 > most:
        raise TooManyTokens(str(most))
    last = found[-2] if len(found) > 1 else "{"
    if last[:1] not in _FIRST and last != "...":
        raise Unreadable("a character stands where none may")
    if not _whole(last):
        raise Unreadable("a text or number is not ended")
    return found


def _whole(token: str) -> bool:
    """Whether a token is one, and not the rest of a text in which none was found."""
    if token[:1] == '"':
        return _TEXT.fullmatch(token) is not None
    return token[:1] not in "-0123456789" or _NUMBER.fullmatch(token) is not None


def checked_text(token: str) -> str:
    """A quoted token whose escapes are all characters (2.9.4). Raises Unreadable."""
    if "\\u" not in token or token.startswith('"""'):
        return token
    high = False
    for match in _SURROGATE.finditer(token):
        code = int(match.group(1) or match.group(2) or "0", 16)
        low = 0xDC00 <= code <= 0xDFFF
        if match.group(1) is not None and (code > 0x10FFFF or 0xD800 <= code <= 0xDFFF):
            raise Unreadable("an escape is no character")
        if low != high or (low and token[match.start() - 6 : match.start() - 4] != "\\u"):
            raise Unreadable("an escape is half a character")
        high = 0xD800 <= code <= 0xDBFF
    if high:
        raise Unreadable("an escape is half a character")
    return token
