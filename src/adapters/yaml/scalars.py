"""The kinds of scalar an operator writes: how each is read, written back and described to an editor.

Durations `500ms 5s 1m30s 1h 1d`, sizes `8KiB 10MiB`, rates `100B/s`, ratios `0.2` or `20%`, addresses `host:port`.
Reading raises ValueError with half a sentence that says what is expected.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

from spork.domain.routing.regexps import PathRegexp
from spork.domain.routing.table import PathPattern
from spork.domain.upstreams.model import parse_target


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of scalar. `parse` turns text into a value, `format` turns it back, `schema` is its JSON Schema."""

    name: str
    parse: Callable[[str], Any]
    format: Callable[[Any], Any]
    schema: dict[str, Any] = field(hash=False)
    secret: bool = False


_DURATION_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{1,9})?(?:us|ms|s|m|h|d|w))+\Z")
_DURATION_PART = re.compile(r"([0-9.]+)(us|ms|s|m|h|d|w)")
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,12})?\Z")
_SIZE_UNITS = {
    "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
    "KB": 10**3, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
}  # fmt: skip
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([A-Za-z]{0,3})\Z")
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*):(?P<port>[0-9]{1,5})\Z")


def parse_duration(text: str) -> float:
    """Seconds."""
    if text == "0":
        return 0.0
    if not _DURATION.match(text):
        if _NUMBER.match(text):
            raise ValueError(f"needs a unit|did you mean {text}s?")
        raise ValueError(f"{text!r} is not a duration such as 500ms, 5s, 1m, 1h or 1d")
    total = 0.0
    for number, unit in _DURATION_PART.findall(text):
        total += float(number) * _DURATION_UNITS[unit]
    return round(total, 9)


def format_duration(seconds: float) -> str:
    """The shortest text that reads back as `seconds`."""
    for unit in ("d", "h", "m", "s", "ms", "us"):
        count = seconds / _DURATION_UNITS[unit]
        if count >= 1 and abs(count - round(count)) < 1e-6:
            return f"{round(count)}{unit}"
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s" if seconds else "0s"


def parse_size(text: str) -> int:
    """Bytes."""
    found = _SIZE.match(text)
    if not found:
        raise ValueError(f"{text!r} is not a size such as 8KiB, 10MiB or 512B")
    number, unit = found.groups()
    factor = _SIZE_UNITS.get(unit or "B")
    if factor is None:
        near = {"k": "KiB", "m": "MiB", "g": "GiB", "t": "TiB"}.get(unit[:1].lower(), "B")
        raise ValueError(f"{unit!r} is not a unit of size|did you mean {number}{near}?")
    return round(float(number) * factor)


def format_size(count: int) -> str:
    for unit in ("GiB", "MiB", "KiB"):
        if count and count % _SIZE_UNITS[unit] == 0:
            return f"{count // _SIZE_UNITS[unit]}{unit}"
    return f"{count}B"


def _parse_rate(text: str) -> float:
    if not text.endswith("/s"):
        raise ValueError(f"{text!r} is not a rate such as 100B/s or 1KiB/s")
    return float(parse_size(text[:-2]))


def _parse_ratio(text: str) -> float:
    number = text[:-1].rstrip() if text.endswith("%") else text
    if not _NUMBER.match(number):
        raise ValueError(f"{text!r} is not a ratio such as 0.2 or 20%")
    value = float(number) / (100 if text.endswith("%") else 1)
    if value > 1:
        hint = f"|did you mean {number}%?" if value <= 100 and not text.endswith("%") else ""
        raise ValueError(f"a ratio is between 0 and 1 (100%), not {text}{hint}")
    return round(value, 12)


def _parse_bool(text: str) -> bool:
    lowered = text.lower()
    if lowered in ("true", "yes", "on"):
        return True
    if lowered in ("false", "no", "off"):
        return False
    raise ValueError(f"{text!r} is not true or false")


def _parse_number(text: str) -> float:
    if not _NUMBER.match(text):
        raise ValueError(f"{text!r} is not a number")
    return float(text)


def _whole(low: int, high: int, what: str = "a whole number") -> Kind:
    span = f"{low} or more" if high >= 10**12 else f"{low} to {high}"

    def parse(text: str) -> int:
        if not re.match(r"-?[0-9_]{1,18}\Z", text) or text.strip("-").startswith("_"):
            raise ValueError(f"{text!r} is not {what} ({span})")
        value = int(text.replace("_", ""))
        if not low <= value <= high:
            raise ValueError(f"{value} is out of range ({span})")
        return value

    return Kind(
        what,
        parse,
        lambda value: value,
        {"type": "integer", "minimum": low} | ({} if high >= 10**12 else {"maximum": high}),
    )


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:8000`, `[::1]:8000` or `:8000` (all IPv4 addresses)."""
    found = _ADDRESS.match(text)
    if not found:
        if text.isdecimal() and len(text) <= 5:
            raise ValueError(f"an address is host:port|did you mean 127.0.0.1:{text}?")
        raise ValueError(f"{text!r} is not an address such as 127.0.0.1:8000|put the host, a colon and the port")
    port = int(found["port"])
    if port > 65535:
        raise ValueError(f"port {port} is out of range (0 to 65535)")
    host = found["host"].strip("[]")
    return host or "0.0.0.0", port  # noqa: S104 - the operator wrote `:port`, which means every address


def split_name_server(text: str) -> tuple[str, int]:
    """Address and port of `10.0.0.2`, `10.0.0.2:5353`, `fd00::53` or `[fd00::53]:5353`; 53 when no port is given."""
    try:
        return str(ipaddress.ip_address(text.strip("[]"))), 53
    except ValueError:
        host, port = split_address(text)
    try:
        return str(ipaddress.ip_address(host)), port
    except ValueError:
        raise ValueError(f"{text!r} is not a name server such as 10.0.0.2:53|a name server has no name") from None


def _checked(check: Callable[[str], object]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        check(text)
        return text

    return parse


def _check_network(text: str) -> None:
    try:
        ipaddress.ip_network(text, strict=True)
    except ValueError:
        try:
            repaired = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f"{text!r} is not an address or network such as 10.0.0.0/8") from None
        raise ValueError(f"{text} has host bits set|did you mean {repaired}?") from None


def _check_decision_listen(text: str) -> None:
    if not text.startswith("unix:"):
        split_address(text)
    elif not 0 < len(text.removeprefix("unix:").encode()) <= 100:
        raise ValueError("a unix socket's path has 1 to 100 bytes|write unix:.spork/decide.sock")


def _check_decision_peer(text: str) -> None:
    if text != "unix":
        _check_network(text)


def _check_transport(text: str) -> None:
    if not re.match(r"[a-z][a-z0-9_]{0,39}\Z", text):
        raise ValueError(f"{text!r} is not httptools, httpx or the name of a plugin")


def _check_host(text: str) -> None:
    name = text[2:] if text.startswith("*.") else text
    if "://" in text or "/" in text:
        raise ValueError(f"{text!r} is a URL; a host is a name such as api.example.com")
    if not re.match(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)\Z", name):
        hint = "|a host matches exactly or by *.suffix" if "*" in name else ""
        raise ValueError(f"{text!r} is not a host such as api.example.com or *.example.com{hint}")


def _check_url(schemes: tuple[str, ...]) -> Callable[[str], None]:
    def check(text: str) -> None:
        scheme, separator, rest = text.partition("://")
        if not separator or not rest or any(c.isspace() for c in text):
            raise ValueError(f"{text!r} is not a URL such as {schemes[0]}://host:port")
        if scheme not in schemes:
            raise ValueError(f"scheme {scheme!r} is not one of {', '.join(schemes)}")

    return check


def _check_store(words: tuple[str, ...], schemes: tuple[str, ...]) -> Callable[[str], None]:
    def check(text: str) -> None:
        if text not in words:
            if "://" not in text:
                raise ValueError(f"{text!r} is not {' or '.join(words)} or a URL with {', '.join(schemes)}")
            _check_url(schemes)(text)

    return check


def _check_token(text: str) -> None:
    if not re.match(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z", text):
        raise ValueError(f"{text!r} is not a header name")


def _check_method(text: str) -> None:
    if not re.match(r"[A-Z][A-Z-]*\Z", text):
        hint = f"|did you mean {text.upper()}?" if re.match(r"[A-Za-z-]+\Z", text) else ""
        raise ValueError(f"{text!r} is not a method; methods are upper-case{hint}")


def _check_key(text: str) -> None:
    """What a limit counts by."""
    if text in ("ip", "consumer", "key", "tenant", "route", "global"):
        return
    kind, separator, name = text.partition(":")
    if kind in ("header", "claim", "json") and separator and name:
        return
    raise ValueError(
        f"{text!r} is not one of ip, consumer, key, tenant, route, global, header:NAME, claim:NAME, json:FIELD"
    )


def _check_hash_key(text: str) -> None:
    kind, separator, name = text.partition(":")
    if text in ("consumer", "ip") or (kind in ("header", "cookie") and separator and name):
        return
    raise ValueError(f"{text!r} is not one of consumer, ip, header:NAME, cookie:NAME")


def _check_statuses(text: str) -> None:
    low, _, high = text.partition("-")
    if not (low.isdecimal() and (high.isdecimal() or not high) and 100 <= int(low) <= int(high or low) <= 599):
        raise ValueError(f"{text!r} is not a status or range such as 200 or 200-399")


def _check_status(text: str) -> None:
    if not (text.isdecimal() and 200 <= int(text) <= 599) or text in ("206", "304"):
        raise ValueError(f"{text!r} is not the status of a whole answer such as 404")


def _check_cache_owner(text: str) -> None:
    kind, separator, name = text.partition(":")
    if text not in ("everyone", "consumer", "tenant") and not (kind == "header" and separator and name):
        raise ValueError(f"{text!r} is not one of everyone, consumer, tenant, header:NAME")


def _check_period(text: str) -> None:
    if text not in ("day", "month") and parse_duration(text) <= 0:
        raise ValueError("a period is longer than 0")


def parse_instant(text: str) -> float:
    """Unix seconds of a date, or of a date and time; without a zone it is UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a date such as 2027-03-01 or 2027-03-01T10:00Z") from None
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()


def format_instant(unix: float) -> str:
    """The shortest text that reads back as `unix`."""
    text = datetime.fromtimestamp(unix, UTC).isoformat().replace("+00:00", "Z")
    return text.removesuffix("T00:00:00Z")


def _check_sha256(text: str) -> None:
    if not re.match(r"[0-9a-f]{64}\Z", text):
        raise ValueError("is not the SHA-256 of a token as 64 lower-case hex digits")


def _text(name: str, check: Callable[[str], object], secret: bool = False, **schema: Any) -> Kind:
    return Kind(name, _checked(check), str, {"type": "string"} | schema, secret)


def _same(value: Any) -> Any:
    return value


def _anything(_: str) -> None:
    return None


_DURATION_SCHEMA = {
    "type": ["string", "integer"],
    "pattern": r"^(([0-9]+(\.[0-9]+)?(us|ms|s|m|h|d|w))+|0)$",
    "maximum": 0,
    "examples": ["500ms", "5s", "1m", "1h", "1d"],
}
_SIZE_SCHEMA = {
    "type": ["string", "integer"],
    "pattern": r"^[0-9]+(\.[0-9]+)? ?(B|KiB|MiB|GiB|TiB|KB|kB|MB|GB|TB)?$",
    "minimum": 0,
    "examples": ["8KiB", "10MiB"],
}
_RATIO_SCHEMA = {
    "type": ["string", "number"],
    "pattern": r"^[0-9]+(\.[0-9]+)? ?%?$",
    "minimum": 0,
    "maximum": 1,
    "examples": [0.2, "20%"],
}

TEXT = Kind("text", str, str, {"type": ["string", "number", "boolean"]})
BOOLEAN = Kind("true or false", _parse_bool, _same, {"type": "boolean"})
WHOLE = _whole(-(10**12), 10**12, "a whole number")
NUMBER = Kind("a number", _parse_number, _same, {"type": "number", "minimum": 0})

Duration = Annotated[float, Kind("a duration", parse_duration, format_duration, _DURATION_SCHEMA)]
Size = Annotated[int, Kind("a size", parse_size, format_size, _SIZE_SCHEMA)]
Rate = Annotated[
    float,
    Kind(
        "a rate",
        _parse_rate,
        lambda v: format_size(round(v)) + "/s",
        {"type": "string", "pattern": r"^[0-9.]+[A-Za-z]*/s$"},
    ),
]
Ratio = Annotated[float, Kind("a ratio", _parse_ratio, _same, _RATIO_SCHEMA)]
Count = Annotated[int, _whole(0, 10**12)]
Positive = Annotated[int, _whole(1, 10**12)]
Cost = Annotated[
    int | str,
    Kind(
        "a whole number, or graphql",
        lambda text: text if text == "graphql" else _whole(1, 10**12).parse(text),
        _same,
        {"type": ["integer", "string"], "minimum": 1, "pattern": "^graphql$"},
    ),
]
Weight = Annotated[int, _whole(1, 1000, "a weight")]
Status = Annotated[int, _whole(100, 599, "an HTTP status")]
CloseCode = Annotated[int, _whole(1000, 4999, "a close code")]
Unix = Annotated[float, Kind("Unix seconds", _parse_number, _same, {"type": "number", "minimum": 0})]
Instant = Annotated[
    float,
    Kind("a date", parse_instant, format_instant, {"type": "string", "examples": ["2027-03-01", "2027-03-01T10:00Z"]}),
]
Address = Annotated[str, _text("an address", split_address, pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*):[0-9]+$")]
DecisionListen = Annotated[
    str, _text("an address", _check_decision_listen, examples=["127.0.0.1:8200", "unix:.spork/decide.sock"])
]
DecisionPeer = Annotated[str, _text("a network", _check_decision_peer, examples=["127.0.0.0/8", "unix"])]
TransportName = Annotated[
    str, _text("a transport", _check_transport, pattern="^[a-z][a-z0-9_]*$", examples=["httptools", "httpx"])
]
NameServer = Annotated[str, _text("a name server", split_name_server, examples=["10.0.0.2", "127.0.0.1:5353"])]
Network = Annotated[str, _text("a network", _check_network, examples=["10.0.0.0/8"])]
Host = Annotated[str, _text("a host", _check_host, examples=["api.example.com", "*.example.com"])]
HttpUrl = Annotated[str, _text("a URL", _check_url(("https", "http")), secret=True, pattern="^https?://")]
TargetUrl = Annotated[
    str,
    _text(
        "a target",
        parse_target,
        pattern=r"^(https?://|(dns|srv)(\+https?)?://|unix:/|asgi:)",
        examples=["http://127.0.0.1:7001"],
    ),
]
RoutePath = Annotated[
    str, _text("a path", PathPattern.parse, pattern="^/", examples=["/users", "/users/*", "/users/{id}"])
]
Slashed = Annotated[str, _text("a path", _anything, pattern="^/")]
PathExpression = Annotated[
    str, _text("a regular expression", PathRegexp, examples=["/users/[0-9]+", "(?i)/legacy/.*\\.php"])
]
HeaderName = Annotated[str, _text("a header name", _check_token)]
CookieName = Annotated[str, _text("a cookie name", _check_token)]
Method = Annotated[str, _text("a method", _check_method, pattern="^[A-Z][A-Z-]*$", examples=["GET", "POST"])]
LimitKey = Annotated[
    str, _text("what is counted", _check_key, pattern="^(ip|consumer|key|tenant|route|global|(header|claim|json):.+)$")
]
HashKey = Annotated[str, _text("a hash key", _check_hash_key, pattern="^(consumer|ip|(header|cookie):.+)$")]
HttpStatus = Annotated[str, _text("a status", _check_status, pattern="^[2-5][0-9][0-9]$")]
CacheOwner = Annotated[
    str, _text("whose answers", _check_cache_owner, pattern="^(everyone|consumer|tenant|header:.+)$")
]
Statuses = Annotated[
    str,
    Kind(
        "statuses",
        _checked(_check_statuses),
        str,
        {"type": ["string", "integer"], "pattern": "^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$"},
    ),
]
Period = Annotated[
    str,
    Kind(
        "a period",
        _checked(_check_period),
        str,
        {
            "type": "string",
            "pattern": r"^(([0-9]+(\.[0-9]+)?(us|ms|s|m|h|d))+|day|month)$",
            "examples": ["1s", "1m", "1d", "month"],
        },
    ),
]
Secret = Annotated[str, Kind("a secret", str, str, {"type": "string"}, secret=True)]
Sha256 = Annotated[str, _text("a SHA-256", _check_sha256, pattern="^[0-9a-f]{64}$")]
Shared = Annotated[
    str,
    _text(
        "a store",
        _check_store(("memory",), ("redis", "rediss", "redis+sentinel", "redis+cluster", "rediss+cluster")),
        secret=True,
    ),
]
Records = Annotated[
    str, _text("a database", _check_store(("sqlite", "memory"), ("postgresql", "postgres", "sqlite")), secret=True)
]
HubUrl = Annotated[
    str, _text("a message hub", _check_url(("redis", "rediss", "nats", "tls", "http", "https")), secret=True)
]
