"""Reads a response head strictly (RFC 9112 4 and 5), and says how its body is framed.

A head is split into lines, and each line is looked up among lines already seen: servers say `Server: nginx` and
`Content-Type: application/json` over and over, and a line that was valid once needs no second look. An unknown line
is validated byte by byte. Everything llhttp accepts and a gateway must not is refused here: other protocols and
versions, empty or long codes, control bytes in the reason, folded lines, a second Content-Length, any transfer coding
but one `chunked`.
"""

from __future__ import annotations

from typing import Any, Final

from spork.adapters.http1 import faults
from spork.domain.http.head import HOP_BY_HOP, Header
from spork.domain.outcomes import FaultKind

MAX_FIELDS: Final = 512
MAX_KNOWN: Final = 4096
MAX_KNOWN_LINE: Final = 128
_MAX_LENGTH_DIGITS: Final = 18

_TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CONTROLS: Final = bytes(i for i in range(32) if i != 9) + b"\x7f"


#: What a field means to the connection. PLAIN ones are end-to-end and go on as they are; SILENT ones say nothing that
#: HTTP/1.1 does not say by default and go no further. Plain integers, because this is compared for every field.
PLAIN: Final = 0
LENGTH: Final = 1
SILENT: Final = 2
CODING: Final = 3
CONNECTION: Final = 4
KEEP_ALIVE: Final = 5
UPGRADE: Final = 6

_KINDS: Final = dict.fromkeys(HOP_BY_HOP, SILENT) | {
    b"content-length": LENGTH,
    b"transfer-encoding": CODING,
    b"connection": CONNECTION,
    b"keep-alive": KEEP_ALIVE,
    b"upgrade": UPGRADE,
}
#: Values that are somebody's secret are not kept beyond their response.
_NEVER_KNOWN: Final = frozenset((b"set-cookie", b"authorization", b"www-authenticate"))


class _Line:
    """A field line that was valid once. `header` is a `Header`, kept whole: compiled code would unpack a typed one.

    `length` is the number that a Content-Length says.
    """

    __slots__ = ("header", "kind", "length")

    def __init__(self, name: bytes, value: bytes, kind: int) -> None:
        self.header: Any = (name, value)
        self.kind = kind
        self.length = int(value) if kind == LENGTH else 0


_known: Final[dict[bytes, _Line]] = {}
_status_lines: Final[dict[bytes, tuple[int, bool]]] = {}
_names: Final[dict[bytes, bytes]] = {}


class Head:
    """A response head. `headers` are the end-to-end ones, names lower-case, order and duplicates kept.

    `length` is the validated Content-Length or None; `chunked` excludes it. `persistent` says that the target means to
    keep the connection. `upgrade` is the Upgrade field when Connection names it. `keep_alive` is the target's own
    idle limit in seconds where it told one.
    """

    __slots__ = ("chunked", "headers", "keep_alive", "length", "persistent", "status", "upgrade")

    def __init__(self, status: int, persistent: bool) -> None:
        self.status = status
        self.persistent = persistent
        self.headers: list[Header] = []
        self.length: int | None = None
        self.chunked = False
        self.upgrade = b""
        self.keep_alive: float | None = None


def parse(block: bytes) -> Head:
    """The head in `block`, which excludes the empty line. Raises FaultError."""
    lines = block.split(b"\r\n")
    if len(lines) > MAX_FIELDS:
        raise faults.upstream(FaultKind.HTTP_RESPONSE_HEADER_SECTION_SIZE, "too many fields")
    first = lines.pop(0)
    status, newer = _status_lines.get(first) or _learn_status_line(first)
    head = Head(status, newer)
    headers = head.headers
    special: list[_Line] | None = None
    for line in lines:
        entry = _known.get(line)
        if entry is None:
            entry = _learn(line)
        kind = entry.kind
        if kind == PLAIN:
            headers.append(entry.header)
        elif kind == LENGTH:
            _take_length(head, entry)
        elif kind != SILENT or not newer:
            special = [*special, entry] if special else [entry]
    if special is not None:
        _take_special(head, special, newer)
    return head


def _take_length(head: Head, entry: _Line) -> None:
    if head.length is not None:
        raise faults.protocol("two Content-Length fields")
    head.length = entry.length
    head.headers.append(entry.header)


def _take_special(head: Head, special: list[_Line], newer: bool) -> None:
    options: set[bytes] = set()
    upgrade = b""
    for entry in special:
        name, value = entry.header
        kind = entry.kind
        if kind in (CONNECTION, SILENT) and name == b"connection":
            options.update(option.strip(b" \t") for option in value.lower().split(b","))
        elif kind == CODING:
            if head.chunked or value.lower() != b"chunked":
                raise faults.protocol("unknown transfer coding")
            head.chunked = True
        elif kind == UPGRADE:
            upgrade = value.lower()
        elif kind == KEEP_ALIVE:
            head.keep_alive = _keep_alive_seconds(value)
    if head.chunked and (head.length is not None or not newer):
        raise faults.protocol("Transfer-Encoding with Content-Length or on HTTP/1.0")
    if options:
        _apply_options(head, options, upgrade, newer)


def _apply_options(head: Head, options: set[bytes], upgrade: bytes, newer: bool) -> None:
    head.persistent = b"close" not in options and (newer or b"keep-alive" in options)
    if b"upgrade" in options:
        head.upgrade = upgrade
    named = options - {b"close", b"keep-alive", b"upgrade", b"content-length", b""}
    if named:
        head.headers = [header for header in head.headers if header[0] not in named]


def _keep_alive_seconds(value: bytes) -> float | None:
    for part in value.lower().split(b","):
        name, _, number = part.strip(b" \t").partition(b"=")
        if name == b"timeout" and number.isdigit() and len(number) < 9:
            return float(number)
    return None


def _learn_status_line(line: bytes) -> tuple[int, bool]:
    """Status and whether the version is 1.1. The reason phrase may be missing with its space, as some servers do."""
    version, code, rest = line[:9], line[9:12], line[12:]
    if (
        version not in (b"HTTP/1.1 ", b"HTTP/1.0 ")
        or len(code) != 3
        or not code.isdigit()
        or not b"1" <= code[:1] <= b"5"
    ):
        raise faults.protocol("bad status line")
    if rest and (rest[:1] != b" " or len(rest.translate(None, _CONTROLS)) != len(rest)):
        raise faults.protocol("bad status line")
    entry = (int(code), version == b"HTTP/1.1 ")
    if len(line) <= MAX_KNOWN_LINE:
        if len(_status_lines) >= MAX_KNOWN:
            _status_lines.clear()
        _status_lines[line] = entry
    return entry


def _learn(line: bytes) -> _Line:
    name, colon, value = line.partition(b":")
    if not colon:
        raise faults.protocol("field without colon")
    lower = _names.get(name) or _learn_name(name)
    if len(value.translate(None, _CONTROLS)) != len(value):
        raise faults.protocol("control byte in field value")
    value = value.strip(b" \t")
    kind = _KINDS.get(lower, PLAIN)
    if kind == LENGTH and not (value.isdigit() and len(value) <= _MAX_LENGTH_DIGITS):
        raise faults.protocol("bad Content-Length")
    if kind == CONNECTION and value.lower() == b"keep-alive":
        kind = SILENT
    entry = _Line(lower, value, kind)
    if len(line) <= MAX_KNOWN_LINE and lower not in _NEVER_KNOWN:
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        _known[line] = entry
    return entry


def _learn_name(name: bytes) -> bytes:
    if not name or name.translate(None, _TOKEN):
        raise faults.protocol("bad field name")
    lower = name.lower()
    if len(name) <= MAX_KNOWN_LINE:
        if len(_names) >= MAX_KNOWN:
            _names.clear()
        _names[name] = lower
    return lower
