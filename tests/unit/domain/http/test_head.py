"""The rules of HTTP that need no socket, as properties and tables."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spork.domain.http.authority import HostList, authority, without_port
from spork.domain.http.head import (
    BAD_CODING,
    BAD_FRAMING,
    BAD_HOST,
    BAD_TARGET,
    BAD_UPGRADE,
    EDGE_REASONS,
    HOST_MISMATCH,
    UNKNOWN_UPGRADE,
    Denial,
    RequestHead,
    canonical_path,
    expectation,
    header_name,
    split_target,
    transfer_coding,
    websocket_upgrade,
)

#: Bytes that make paths interesting, beside any other.
_PIECES = st.sampled_from(
    [b"/", b"//", b".", b"..", b"/.", b"%2e", b"%2E", b"%2f", b"%5c", b"%25", b"%00", b"%41", b"%7e", b"%", b"%g1",
     b"%c3%A4", b";", b"..;", b"a", b"~", b"\\", b"#", b"?", b" ", b"\xc3\xa4", b"\x7f", b"{", b"%0a", b"%3f"]
)  # fmt: skip
PATHS = st.lists(_PIECES | st.binary(max_size=3), max_size=12).map(lambda pieces: b"/" + b"".join(pieces))


@given(PATHS)
@example(b"/%252e%252e/")
@example(b"/.%2e;a/b")
def test_a_canonical_path_is_canonical(raw: bytes) -> None:
    path = canonical_path(raw)
    if isinstance(path, Denial):
        assert path is BAD_TARGET
        return
    assert canonical_path(path) == path
    assert re.fullmatch(rb"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-F]{2})*", path)
    assert b"" not in path[1:].split(b"/")[:-1]
    assert not {b".", b".."} & {segment.split(b";")[0] for segment in path.split(b"/")}
    decoded = unquote_to_bytes(path)
    assert decoded == unquote_to_bytes(raw)
    assert decoded.count(b"/") == raw.count(b"/")
    assert b"\\" not in decoded
    assert not any(octet < 0x20 or octet == 0x7F for octet in decoded)
    assert not re.search(rb"%(?:2[DE]|3[0-9]|[46][1-9A-F]|[57][0-9A]|5F|7E)", path), "unreserved octets are literal"


@given(st.lists(st.from_regex(rb"[A-Za-z0-9\-_~!$&'()*+,;=:@]{1,9}", fullmatch=True), min_size=1))
def test_plain_paths_stay_as_they_are(segments: list[bytes]) -> None:
    path = b"/" + b"/".join(segments)
    assert canonical_path(path) == path
    assert canonical_path(path + b"/") == path + b"/"


@given(PATHS)
def test_one_spelling_per_path(raw: bytes) -> None:
    """Escaping more of a path, in any case, does not make another path of it."""
    path = canonical_path(raw)
    if isinstance(path, Denial):
        return
    spelled = re.sub(rb"[a-z0-9]", lambda match: b"%%%02x" % match[0][0], re.sub(rb"%..", lambda m: m[0].lower(), path))
    if b"%" not in path:
        assert canonical_path(spelled) == path


@pytest.mark.parametrize(
    "raw", [b"", b"a", b"*", b"a/b", b"%2fa", b"/\x00", b"/ ", b'/"', b"/<", b"/{a}", b"/|", b"/\x80"]
)
def test_no_path(raw: bytes) -> None:
    assert canonical_path(raw) is BAD_TARGET


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", b"/a", (b"/a", None)),
        ("GET", b"/a?", (b"/a", b"")),
        ("GET", b"/a?b?c/../%2f%zz\"{}|^`<>[]\\'", (b"/a", b"b?c/../%2f%zz\"{}|^`<>[]\\'")),
        ("GET", b"/a?b c", BAD_TARGET),
        ("GET", b"/a?b\x7f", BAD_TARGET),
        ("GET", b"/a?b\xe4", BAD_TARGET),
        ("GET", b"/a?b#c", BAD_TARGET),
        ("OPTIONS", b"*", (b"*", None)),
        ("GET", b"*", BAD_TARGET),
        ("OPTIONS", b"*?a", BAD_TARGET),
        ("GET", b"http://h/a?b", (b"/a", b"b")),
        ("GET", b"HTTPS://H", (b"/", None)),
        ("GET", b"http://h?b", (b"/", b"b")),
        ("GET", b"http://h:80/", HOST_MISMATCH),
        ("GET", b"http://x/", HOST_MISMATCH),
        ("GET", b"http://h#/", BAD_TARGET),
        ("GET", b"http://u@h/", BAD_TARGET),
        ("GET", b"http:///a", BAD_TARGET),
        ("GET", b"ws://h/", BAD_TARGET),
        ("GET", b"h:80", BAD_TARGET),
        ("GET", b"", BAD_TARGET),
    ],
)
def test_split_target(method: str, target: bytes, expected: object) -> None:
    assert split_target(method, target, b"h") == expected


def test_every_denial_of_the_edge_has_a_known_reason() -> None:
    import spork.domain.http.head as rules
    from spork.adapters.litestar.problems import REASONS

    denials = [value for value in vars(rules).values() if isinstance(value, Denial)]
    assert {denial.reason for denial in denials} == set(EDGE_REASONS)
    assert set(EDGE_REASONS) <= set(REASONS)


# -- authorities -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        (b"Example.COM", b"example.com"), (b"a.b.:8080", b"a.b:8080"), (b"a:", b"a"), (b"127.0.0.1:80", b"127.0.0.1:80"),
        (b"[::1]", b"[::1]"), (b"[2001:DB8::1]:443", b"[2001:db8::1]:443"), (b"[::1]:", b"[::1]"),
        (b"my_service-1", b"my_service-1"), (b"a:0", b"a:0"), (b"a:65535", b"a:65535"),
        (b"", None), (b".", None), (b":80", None), (b".a", None), (b"a..b", None), (b"a..", None), (b"..", None), (b"a..:80", None), (b"a b", None), (b"a/b", None),
        (b"a?b", None), (b"a#b", None), (b"u@a", None), (b"a,b", None), (b"a%20b", None), (b"a:65536", None),
        (b"a:080000", None), (b"a:-1", None), (b"a:+1", None), (b"a:b", None), (b"a:1:2", None), (b"::1", None),
        (b"[::1", None), (b"[::1]x", None), (b"[::1]:x", None), (b"[fe80::1%25eth0]", None), (b"[1.2.3.4]", None),
        (b"[]", None), (b"a\x00", None), (b"a\x80", None), (b"a" * 256, None), (b"a\\b", None), ("a:²".encode(), None),
    ],
)  # fmt: skip
def test_authority(raw: bytes, normal: bytes | None) -> None:
    assert authority(raw) == normal


@example(b"-..")
@given(st.binary(max_size=20) | st.from_regex(rb"[\[\]a-f0-9:.\-]{0,20}", fullmatch=True))
def test_a_normal_authority_is_normal(raw: bytes) -> None:
    named = authority(raw)
    if named is not None:
        assert authority(named) == named
        assert not re.search(rb"[^a-z0-9\-._~:\[\]]", named)
        assert authority(without_port(named)) == without_port(named)


def test_host_list() -> None:
    assert HostList().accepts(b"anything:80")
    hosts = HostList(["API.example.com", "*.apps.example", "[::1]", "only.example:8443", "*.ports.example:81"])
    for accepted in (b"api.example.com", b"api.example.com:1", b"a.b.apps.example", b"[::1]:80", b"only.example:8443",
                     b"x.ports.example:81"):  # fmt: skip
        assert hosts.accepts(accepted), accepted
    for refused in (b"", b"apps.example", b".apps.example.x", b"example.com", b"xapi.example.com", b"only.example",
                    b"only.example:443", b"apiXexample.com", b"x.ports.example"):  # fmt: skip
        assert not hosts.accepts(refused), refused


# -- fields ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "name"),
    [(b"X-A", b"x-a"), (b"!#$%&'*+-.^`|~0", b"!#$%&'*+-.^`|~0"), (b"", None), (b"a_b", None), (b"a b", None),
     (b"a:", None), (b"a\x80", None), (b"a(", None), (b"a/b", None)],
)  # fmt: skip
def test_header_name(raw: bytes, name: bytes | None) -> None:
    assert header_name(raw) == name


@pytest.mark.parametrize(
    ("values", "version", "has_length", "expected"),
    [
        ([b"chunked"], "1.1", False, None), ([b" Chunked "], "1.1", False, None),
        ([b"chunked"], "1.0", False, BAD_FRAMING), ([b"chunked"], "1.1", True, BAD_FRAMING),
        ([b"chunked", b"chunked"], "1.1", False, BAD_FRAMING), ([b"chunked, chunked"], "1.1", False, BAD_FRAMING),
        ([b"chunked, gzip"], "1.1", False, BAD_FRAMING), ([b""], "1.1", False, BAD_FRAMING),
        ([b"gzip, chunked"], "1.1", False, BAD_CODING), ([b"identity"], "1.1", False, BAD_CODING),
        ([b"\x0bchunked"], "1.1", False, BAD_CODING), ([b"chunked;q=1"], "1.1", False, BAD_CODING),
    ],
)  # fmt: skip
def test_transfer_coding(values: list[bytes], version: str, has_length: bool, expected: Denial | None) -> None:
    assert transfer_coding(values, version, has_length) == expected


def test_expectation() -> None:
    assert expectation([b"100-Continue"]) is None
    assert expectation([b"100-continue", b"x"]) is not None
    assert expectation([b""]) is not None


def handshake(**changes: object) -> RequestHead:
    fields = {
        b"upgrade": b"websocket", b"connection": b"keep-alive, UPGRADE", b"sec-websocket-version": b"13",
        b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    parts: dict[str, object] = {"method": "GET", "version": "1.1"}
    for name, value in changes.items():
        if name in parts:
            parts[name] = value
        else:
            fields[name.replace("_", "-").encode()] = value  # type: ignore[assignment]
    headers = tuple((name, value) for name, value in fields.items() if value is not None)
    return RequestHead(str(parts["method"]), b"/", None, headers, "http", b"h", version=str(parts["version"]))


@pytest.mark.parametrize(
    ("changes", "has_body", "expected"),
    [
        ({}, False, None), ({"upgrade": b"WebSocket"}, False, None), ({}, True, BAD_UPGRADE),
        ({"method": "POST"}, False, BAD_UPGRADE), ({"version": "1.0"}, False, BAD_UPGRADE),
        ({"connection": b"close"}, False, BAD_UPGRADE), ({"connection": None}, False, BAD_UPGRADE),
        ({"sec_websocket_version": b"12"}, False, BAD_UPGRADE), ({"sec_websocket_version": None}, False, BAD_UPGRADE),
        ({"sec_websocket_key": None}, False, BAD_UPGRADE), ({"sec_websocket_key": b"x" * 24}, False, BAD_UPGRADE),
        ({"sec_websocket_key": b"dGhlIHNhbXBsZSBub25jZR=="}, False, BAD_UPGRADE),
        ({"sec_websocket_key": b"dGhlIHNhbXBsZSBub25j*Q=="}, False, BAD_UPGRADE),
        ({"upgrade": b"h2c"}, False, UNKNOWN_UPGRADE), ({"upgrade": b"websocket, h2c"}, False, UNKNOWN_UPGRADE),
        ({"upgrade": None}, False, UNKNOWN_UPGRADE),
    ],
)  # fmt: skip
def test_websocket_upgrade(changes: dict[str, object], has_body: bool, expected: Denial | None) -> None:
    assert websocket_upgrade(handshake(**changes), has_body) is expected


def test_denials_that_doubt_the_framing_close() -> None:
    assert BAD_FRAMING.close
    assert BAD_CODING.close
    assert BAD_HOST.close
    assert BAD_UPGRADE.close
