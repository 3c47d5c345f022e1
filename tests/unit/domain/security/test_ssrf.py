"""What may be registered: every way to write an address that must not be reached is refused, with its reason."""

from __future__ import annotations

import ipaddress

import pytest

from spork.domain.security.ssrf import AddressRefused, Origin, parse_origin, vet


def outcome(url: str, resolved: tuple[str, ...] = (), allowed: tuple[str, ...] = ()) -> str:
    """The reason of the refusal, or the vetted address."""
    origin = parse_origin(url)
    if isinstance(origin, AddressRefused):
        return origin.reason
    vetted = vet(origin, resolved, allowed)
    return vetted.reason if isinstance(vetted, AddressRefused) else str(vetted)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data", "metadata"),
        ("http://169.254.10.1", "link_local"),
        ("http://[fe80::1]:80", "link_local"),
        ("http://[fe80::1%25eth0]:80", "link_local"),
        ("http://100.100.100.200", "metadata"),
        ("http://[fd00:ec2::254]", "metadata"),
        ("http://[::ffff:169.254.169.254]", "metadata"),
        ("http://[::ffff:a9fe:a9fe]", "metadata"),
        ("http://[64:ff9b::a9fe:a9fe]", "metadata"),
        ("http://[2002:a9fe:a9fe::]", "metadata"),
        ("http://metadata.google.internal", "metadata"),
        ("http://METADATA.google.internal./", "metadata"),
        ("http://127.0.0.1:7001", "loopback"),
        ("http://[::1]:7001", "loopback"),
        ("http://[::ffff:127.0.0.1]", "loopback"),
        ("http://10.1.2.3", "private"),
        ("http://192.168.1.1", "private"),
        ("http://[fd12::1]", "private"),
        ("http://[::ffff:10.0.0.1]", "private"),
        ("http://100.64.0.1", "private"),
        ("http://0.0.0.0", "unspecified"),
        ("http://0.1.2.3", "unspecified"),
        ("http://[::]", "unspecified"),
        ("http://224.0.0.1", "multicast"),
        ("http://[ff02::1]", "multicast"),
        ("http://255.255.255.255", "reserved"),
        ("http://240.0.0.1", "reserved"),
        ("http://127.1", "malformed"),
        ("http://2130706433", "malformed"),
        ("http://0x7f.0.0.1", "malformed"),
        ("http://0x7f000001", "malformed"),
        ("http://0177.0.0.1", "malformed"),
        ("http://127.0.0.1\\@example.com", "malformed"),
        ("http://user@example.com", "userinfo"),
        ("http://example.com#@169.254.169.254", "malformed"),
        ("http://example.com?x", "malformed"),
        ("http://exam ple.com", "malformed"),
        ("http://", "malformed"),
        ("http://-bad.example", "malformed"),
        ("http://example.com:0", "malformed"),
        ("http://example.com:99999", "malformed"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://example.com", "scheme"),
        ("unix:/run/x.sock", "scheme"),
        ("example.com", "scheme"),
    ],
)
def test_what_is_refused(url: str, reason: str) -> None:
    assert outcome(url, ("93.184.215.14",)) == reason


def test_public_addresses_and_names_are_taken() -> None:
    assert outcome("http://93.184.215.14:8080") == "93.184.215.14"
    assert outcome("https://api.example.com", ("2606:2800:21f::1", "93.184.215.14")) == "2606:2800:21f::1"


def test_a_name_that_resolves_to_both_is_refused() -> None:
    assert outcome("http://sneaky.example", ("93.184.215.14", "127.0.0.1")) == "loopback"
    assert outcome("http://sneaky.example", ("93.184.215.14", "169.254.169.254")) == "metadata"
    assert outcome("http://sneaky.example", ("10.0.0.1", "93.184.215.14"), ("10.0.0.0/8",)) == "10.0.0.1"
    assert outcome("http://nowhere.example") == "unresolved"


def test_networks_of_the_operator_are_taken_but_never_link_local_or_metadata() -> None:
    everything = ("0.0.0.0/0", "::/0")
    assert outcome("http://127.0.0.1:7001", (), ("127.0.0.0/8",)) == "127.0.0.1"
    assert outcome("http://[::1]:7001", (), ("::1/128",)) == "::1"
    assert outcome("http://10.9.8.7", (), ("10.0.0.0/8",)) == "10.9.8.7"
    assert outcome("http://10.9.8.7", (), ("192.168.0.0/16",)) == "private"
    assert outcome("http://[::ffff:10.0.0.1]", (), ("::/0",)) == "private", "the address inside counts"
    for url in ("http://169.254.169.254", "http://169.254.0.1", "http://[fe80::1]", "http://[fd00:ec2::254]"):
        assert outcome(url, (), everything) in ("metadata", "link_local")


def test_the_parts_of_an_origin() -> None:
    assert parse_origin("https://users.example/api/") == Origin(
        "https://users.example/api/", "https", "users.example", 443, "/api", None
    )
    assert parse_origin("http://[2606:2800::1]:8080") == Origin(
        "http://[2606:2800::1]:8080", "http", "2606:2800::1", 8080, "", ipaddress.ip_address("2606:2800::1")
    )
