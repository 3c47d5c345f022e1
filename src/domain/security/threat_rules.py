"""A threat screen: SQL injection, cross-site scripting, path traversal and shell commands as sequences of words.

It is a net under services, not a wall: it sees the common, automated attempts. A text is decoded, lower-cased and cut
into words and signs; a rule is a short sequence of them. Matching a rule at a place looks at no more than the rule's
own length, so the work is linear in the text whatever it says: there is no pattern that can blow up.

In a rule, `a|b` is either, `?x` may be there or not, `+x` stands directly behind what is before it and `_x` apart from
it; `*` is any one word or sign, `#` a number, `ON` an event handler's name, `PIPE` the sign `|`, `END` the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_plus

#: Longest text looked at, characters; the rest of a longer one is not screened. A text that is made to be slow takes
#: about 5 ms of CPU for each KiB.
MAX_TEXT = 64 * 1024

#: One word, or one sign. Each character is looked at once: a class and its complement, nothing to backtrack into.
_PIECES = re.compile(r"[a-z0-9_]+|[^a-z0-9_\s]")


@dataclass(frozen=True, slots=True)
class Rule:
    """`name` is the stable slug, `family` sql, xss, traversal or shell. `words` is the sequence, space-separated."""

    name: str
    family: str
    words: str


RULES = (
    # SQL: joining another query, always-true conditions after a quote, stacked statements, probing functions
    Rule("sql-union-value", "sql", "union ?all|distinct select #|null|@|(|'|\"|char|concat|group_concat|version|user"),
    Rule("sql-union-column", "sql", "union ?all|distinct select * ,|from|(|."),
    Rule("sql-union-comment", "sql", "union / +* +* +/ ?all select"),
    Rule("sql-or-true-text", "sql", "' ?) or|and|xor ?not ?( ' * ' = ' *"),
    Rule("sql-or-true-number", "sql", "'|) or|and|xor ?not # = #"),
    Rule("sql-or-true-bare", "sql", "or # = # END|-|#|;|)"),
    Rule("sql-or-true-comment", "sql", "'|) or|and * =|<|> * ?' - +-"),
    Rule("sql-quote-comment", "sql", "' ?) - +- END"),
    Rule("sql-quote-comment-text", "sql", "' ?) - +- _*"),
    Rule("sql-stacked", "sql", "; drop|truncate|alter|create table|database|schema|view|index|user"),
    Rule("sql-stacked-insert", "sql", "; insert into *"),
    Rule("sql-stacked-delete", "sql", "; delete from *"),
    Rule("sql-stacked-update", "sql", "; update * set"),
    Rule("sql-stacked-exec", "sql", "; exec|execute xp_cmdshell|sp_executesql|sp_oacreate|master|immediate|(|@"),
    Rule("sql-sleep", "sql", "sleep|pg_sleep|benchmark|waitfor +( #"),
    Rule("sql-waitfor", "sql", "waitfor delay|time '"),
    Rule("sql-schema", "sql", "from information_schema|pg_catalog|mysql +. *"),
    Rule("sql-schema-table", "sql", "from sqlite_master|sysobjects|syscolumns"),
    Rule("sql-order-probe", "sql", "' order|group by #"),
    Rule("sql-function", "sql", "load_file|xp_cmdshell|extractvalue|updatexml|utl_http ("),
    Rule("sql-into-outfile", "sql", "into outfile|dumpfile '|\""),
    # XSS: markup that runs, or attributes that do
    Rule("xss-script", "xss", "< ?/ script >|/"),
    Rule("xss-script-attribute", "xss", "< script src|type|async|defer|language ="),
    Rule("xss-embedding", "xss", "< iframe|object|embed|applet|base|meta|link src|srcdoc|href|data|http|rel|code ="),
    Rule(
        "xss-tag-handler",
        "xss",
        "< +svg|math|body|img|video|audio|details|input|marquee|select|a|div|p ?/ ?* ?= ?* ON =",
    ),
    Rule("xss-attribute-handler", "xss", "'|\" ?> ?/ ON = *"),
    Rule("xss-script-url", "xss", "javascript|vbscript +: +*"),
    Rule("xss-data-url", "xss", "data +: +text +/ +html"),
    Rule("xss-document", "xss", "document +. +cookie|location|write|domain"),
    # traversal: climbing out, or well-known files
    Rule("traversal-up", "traversal", ". +. +/|\\ ?/ . +. +/|\\"),
    Rule("traversal-up-to", "traversal", ". +. +/|\\ ?/ etc|windows|winnt|proc|boot|root"),
    Rule("traversal-file", "traversal", "/ +etc +/ +passwd|shadow|group|hosts|sudoers"),
    Rule("traversal-proc", "traversal", "/ +proc +/ +self +/"),
    Rule("traversal-windows", "traversal", "c +: +\\|/ +windows|winnt|boot +\\|/|."),
    Rule("traversal-php", "traversal", "php +: +/ +/ filter|input|stdin|memory|temp"),
    Rule("traversal-local-url", "traversal", "file +: +/ +/ +/"),
    Rule("traversal-wrapper", "traversal", "phar|zip|expect +: +/ +/ id|ls|whoami|cat|uname|/|."),
    # shell: a separator and a command that only a shell would want, or a substitution
    Rule("shell-alone", "shell", ";|&|`|PIPE id|ls|whoami|uname|bash|sh|printenv END|;|&|PIPE|>"),
    Rule("shell-option", "shell", ";|&|`|PIPE cat|ls|id|uname|wget|curl|nc|netcat|bash|sh|ping|rm|chmod _- +*"),
    Rule("shell-path", "shell", ";|&|`|PIPE cat|ls|bash|sh|rm|chmod|head|tail|more|less _/ +*"),
    Rule("shell-fetch", "shell", ";|&|`|PIPE wget|curl|fetch ?' http|https|ftp +:"),
    Rule("shell-connect", "shell", ";|&|`|PIPE nc|netcat|telnet|nslookup|ping * +. +*"),
    Rule("shell-substitution", "shell", "$ +( cat|ls|id|whoami|uname|wget|curl|nc|bash|sh|ping|nslookup|printenv"),
    Rule("shell-backtick", "shell", "` +id|whoami|uname|hostname|printenv +` END|;|&|PIPE|'|\""),
    Rule("shell-reverse", "shell", "/ +dev +/ +tcp|udp +/"),
    Rule("shell-binary", "shell", "/ +bin +/ +sh|bash|dash|zsh|nc|cat"),
    Rule("shell-log4j", "shell", "$ +{ jndi +: ldap|ldaps|rmi|dns|http|iiop|corba|nis|$"),
    Rule("shell-shellshock", "shell", "( ) { : ;"),
)


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that matched, and where: path, query, header or body."""

    rule: str
    family: str
    place: str


class _Step:
    """One place of a rule: the words it takes, whether it may be left out, and whether it must be glued or apart."""

    __slots__ = ("glued", "optional", "words")

    def __init__(self, text: str) -> None:
        mark = text[0] if len(text) > 1 else ""
        self.optional = mark == "?"
        self.glued = {"+": True, "_": False}.get(mark) if text[1:2] != "" else None
        self.words = frozenset((text[1:] if mark in ("?", "+", "_") else text).split("|"))

    def takes(self, word: str, glued: bool) -> bool:
        """Whether the word (or "" at the end of the text) fits here."""
        words = self.words
        if self.glued is not None and self.glued is not glued:
            return False
        if not word:
            return "END" in words
        if word in words or "*" in words:
            return True
        if word == "|":
            return "PIPE" in words
        if "#" in words and word.isdigit():
            return True
        return "ON" in words and word[:2] == "on" and len(word) > 4


class Screen:
    """Rules compiled, found by the word they begin with."""

    def __init__(self, rules: tuple[Rule, ...] = RULES) -> None:
        self._begin: dict[str, list[tuple[Rule, tuple[_Step, ...]]]] = {}
        for rule in rules:
            steps = tuple(_Step(text) for text in rule.words.split())
            if steps[0].optional or steps[0].words & {"*", "#", "END", "ON"}:
                raise ValueError(f"rule {rule.name} must begin with words of its own")
            for word in steps[0].words:
                self._begin.setdefault("|" if word == "PIPE" else word, []).append((rule, steps[1:]))

    def look(self, text: str, place: str) -> Hit | None:
        """The first rule that this text meets, decoded once and, where that leaves escapes, once more."""
        text = text[:MAX_TEXT]
        for _ in range(3):
            rule = self._match(text)
            if rule is not None:
                return Hit(rule.name, rule.family, place)
            decoded = unquote_plus(text)
            if decoded == text:
                return None
            text = decoded
        return None

    def _match(self, text: str) -> Rule | None:
        begin = self._begin
        words: list[str] = []
        glued: list[bool] = []
        started: list[int] = []
        behind = -1
        for piece in _PIECES.finditer(text.lower()):
            word = piece.group()
            if word in begin:
                started.append(len(words))
            words.append(word)
            glued.append(piece.start() == behind)
            behind = piece.end()
        for index in started:
            for rule, steps in begin[words[index]]:
                if _follows(words, glued, index + 1, steps, 0):
                    return rule
        return None


def _follows(words: list[str], glued: list[bool], at: int, steps: tuple[_Step, ...], step: int) -> bool:
    """Whether `steps` from `step` on match at `at`. Only an optional step branches, and rules have few."""
    while step < len(steps):
        wanted = steps[step]
        fits = wanted.takes(words[at], glued[at]) if at < len(words) else wanted.takes("", False)
        if wanted.optional:
            if fits and at < len(words) and _follows(words, glued, at + 1, steps, step + 1):
                return True
        elif fits:
            at += 1
        else:
            return False
        step += 1
    return True


#: Characters that by themselves cannot be part of an attack: a text of nothing else is not looked at.
_HARMLESS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-~=&,@."
_HARMLESS_IN_PATHS = _HARMLESS + b"/"


def harmless(raw: bytes) -> bool:
    """Whether `raw` cannot match any rule, told without decoding it: one pass in C."""
    return not raw.translate(None, _HARMLESS) and b".." not in raw


def harmless_path(raw: bytes) -> bool:
    """The same for a path, whose slashes matter only before the few places that attackers look for."""
    if raw.translate(None, _HARMLESS_IN_PATHS) or b".." in raw:
        return False
    return b"/etc/" not in raw and b"/proc/" not in raw and b"/bin/" not in raw and b"/dev/" not in raw


def texts_of_query(query: bytes) -> Iterator[str]:
    """Names and values of a query, still encoded, each on its own: what stands in two parameters is no sequence."""
    for pair in query.split(b"&"):
        name, _, value = pair.partition(b"=")
        # A further `=` may belong to the text: `<svg/onload=x>` without escapes.
        for part in (name, value, pair) if b"=" in value else (name, value):
            if part and not harmless(part):
                yield part.decode("latin-1")
