"""The walk along X-Forwarded-For."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.domain.http.proxies import TrustedProxies, client_address

TRUSTED = TrustedProxies(["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"])


@pytest.mark.parametrize(
    ("peer", "chain", "client"),
    [
        ("203.0.113.1", [b"198.51.100.1"], "203.0.113.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b"198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [b"1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [b"1.1.1.1", b"198.51.100.1, 10.2.3.4"], "198.51.100.1"),
        ("10.0.0.1", [b"10.0.0.9, 10.0.0.8"], "10.0.0.9"),
        ("10.0.0.1", [b"198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", [b'1.1.1.1,[2001:db9::5]:80 ,\t[2001:db8::5]'], "2001:db9::5"),
        ("10.0.0.1", [b"2001:DB9::5"], "2001:db9::5"),
        ("10.0.0.1", [b"198.51.100.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", [b"198.51.100.1, _hidden, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [b""], "10.0.0.1"),
        ("10.0.0.1", [b"198.51.100.1,,10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [b"fe80::1%eth0"], "10.0.0.1"),
        ("::ffff:10.0.0.1", [b"198.51.100.1"], "198.51.100.1"),
        ("192.0.2.7", [b"198.51.100.1"], "198.51.100.1"),
        ("192.0.2.8", [b"198.51.100.1"], "192.0.2.8"),
        ("", [b"198.51.100.1"], ""),
    ],
)  # fmt: skip
def test_client_address(peer: str, chain: list[bytes], client: str) -> None:
    assert client_address(peer, chain, TRUSTED) == client


def test_nobody_is_trusted_by_default() -> None:
    nobody = TrustedProxies()
    assert not nobody
    assert client_address("127.0.0.1", [b"1.1.1.1"], nobody) == "127.0.0.1"


def test_unreadable_blocks_are_errors() -> None:
    with pytest.raises(ValueError):
        TrustedProxies(["10.0.0.0/33"])


@given(st.binary(max_size=60))
def test_what_an_untrusted_hop_says_is_never_the_answer(forged: bytes) -> None:
    """Whatever stands to the left of the first hop that nobody vouches for changes nothing."""
    assert client_address("10.0.0.1", [forged, b"198.51.100.1, 10.9.9.9"], TRUSTED) == "198.51.100.1"


def test_a_long_chain_is_not_walked_to_its_end() -> None:
    chain = b"1.1.1.1" + b",10.0.0.1" * 100_000
    assert client_address("10.0.0.1", [chain], TRUSTED) == "10.0.0.1"
