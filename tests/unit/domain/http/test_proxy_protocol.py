"""Headers of the PROXY protocol: what they say, and that nothing else is taken for one."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.domain.http.proxy_protocol import (
    HEAD_2,
    SIGNATURE,
    NotProxied,
    Origin,
    block_origin,
    length_of,
    line_origin,
)

_PORTS = st.integers(0, 65535)
_ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


def block(source: str, port: int, extensions: bytes = b"", command: int = 0x21) -> tuple[bytes, bytes]:
    address = ip_address(source)
    rest = address.packed + address.packed + struct.pack("!HH", port, 443) + extensions
    family = 0x11 if address.version == 4 else 0x21
    return SIGNATURE + bytes((command, family)) + struct.pack("!H", len(rest)), rest


def extension(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


def shown(address: IPv4Address | IPv6Address) -> str:
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


@given(_ADDRESSES, _PORTS)
def test_both_versions_say_the_same_of_every_address(address: IPv4Address | IPv6Address, port: int) -> None:
    kind = "TCP4" if address.version == 4 else "TCP6"
    line = f"PROXY {kind} {address} {address} {port} 443\r\n".encode()
    assert line_origin(line) == block_origin(*block(str(address), port)) == Origin(shown(address), port)


def test_a_balancer_that_speaks_for_itself_names_nobody() -> None:
    assert line_origin(b"PROXY UNKNOWN\r\n") is None
    assert line_origin(b"PROXY UNKNOWN ffff:f:f ffff 1 2\r\n") is None
    assert block_origin(*block("10.0.0.1", 1, command=0x20)) is None
    assert block_origin(SIGNATURE + b"\x21\x00\x00\x03", b"abc") is None


def test_whether_the_client_came_by_tls_is_said_by_an_extension_of_version_2() -> None:
    other = extension(0x02, b"api.example.com") + extension(0x04, b"")
    for flags, secure in ((1, True), (0, False), (7, True)):
        said = extension(0x20, bytes((flags, 0, 0, 0, 0)) + extension(0x21, b"TLSv1.3"))
        found = block_origin(*block("192.0.2.1", 5, other + said))
        assert found == Origin("192.0.2.1", 5, secure)


@pytest.mark.parametrize(
    "line",
    [
        b"", b"PROXY\r\n", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\n", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2 3\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1\r\n", b"PROXY TCP4 ::1 ::1 1 2\r\n", b"PROXY TCP6 10.0.0.1 10.0.0.2 1 2\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 65536 2\r\n", b"PROXY TCP4 10.0.0.1 10.0.0.2 -1 2\r\n",
        b"PROXY TCP4 010.0.0.1 10.0.0.2 1 2\r\n", b"PROXY  TCP4 10.0.0.1 10.0.0.2 1 2\r\n", b"proxy TCP4 1.1.1.1 1.1.1.1 1 2\r\n",
        b"PROXY UDP4 10.0.0.1 10.0.0.2 1 2\r\n", b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", b"PROXY UNKNOWN" + b" " * 120 + b"\r\n",
        b"PROXY TCP4 evil 10.0.0.2 1 2\r\n", b"GET / HTTP/1.1\r\n", b"PROXY TCP4 \xff 10.0.0.2 1 2\r\n",
    ],
)  # fmt: skip
def test_lines_that_are_none(line: bytes) -> None:
    with pytest.raises(NotProxied):
        line_origin(line)


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_whatever_comes_is_read_or_refused_in_words(head: bytes, rest: bytes) -> None:
    for begun in (head, SIGNATURE + head[:4].ljust(4, b"\0")):
        for read in (lambda begun=begun: block_origin(begun, rest), lambda begun=begun: line_origin(begun)):
            try:
                found = read()
            except NotProxied:
                continue
            assert found is None or ip_address(found.address)


@pytest.mark.parametrize(
    ("head", "rest"),
    [
        (SIGNATURE + b"\x11\x11\x00\x0c", b"\0" * 12),
        (SIGNATURE + b"\x22\x11\x00\x0c", b"\0" * 12),
        (SIGNATURE + b"\x21\x12\x00\x0c", b"\0" * 12),
        (SIGNATURE + b"\x21\x31\x00\xd8", b"\0" * 216),
        (SIGNATURE + b"\x21\x11\x00\x0b", b"\0" * 11),
        (SIGNATURE + b"\x21\x11\x00\x0d", b"\0" * 13),
        (SIGNATURE + b"\x21\x11\x00\x0f", b"\0" * 12 + b"\x20\x00\x05"),
        (SIGNATURE + b"\x21\x11\x00\x0f", b"\0" * 12 + b"\x20\x00\x00"),
        (SIGNATURE + b"\x21\x11\x00\x0c", b"\0" * 11),
    ],
)
def test_blocks_that_are_none(head: bytes, rest: bytes) -> None:
    with pytest.raises(NotProxied):
        block_origin(head, rest)


def test_how_much_may_follow_is_bounded() -> None:
    assert length_of(SIGNATURE + b"\x21\x11\x10\x00") == 4096
    assert len(SIGNATURE) + 4 == HEAD_2
    for head in (SIGNATURE + b"\x21\x11\x10\x01", SIGNATURE, b"\0" * 16):
        with pytest.raises(NotProxied):
            length_of(head)
