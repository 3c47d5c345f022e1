"""Names of client certificates, read by grammar: what their holders chose never becomes a separator."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.domain.identity.certificates import (
    CertificateName,
    NotReadable,
    distinguished_name,
    forwarded_names,
    proxied_names,
    read_distinguished_name,
    subject_names,
    written_name,
)


def names(text: str, form: str = "auto") -> list[tuple[str, str]]:
    return [(name.kind, name.value) for name in proxied_names(text, form)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # nginx, $ssl_client_s_dn
        (r"CN=evil,O=x\,CN=machine.test", [("subject", r"CN=evil,O=x\,CN\=machine.test"), ("cn", "evil")]),
        (r"O=x\2CCN=machine.test,CN=evil", [("subject", r"O=x\,CN\=machine.test,CN=evil"), ("cn", "evil")]),
        (r"CN=zo\C3\AB", [("subject", "CN=zoë"), ("cn", "zoë")]),
        (r"CN=a\\,O=b", [("subject", r"CN=a\\,O=b"), ("cn", "a\\")]),
        (r"CN=a\ ", [("subject", "CN=a\\ "), ("cn", "a ")]),
        ("CN=a+OU=b,O=c", [("subject", "CN=a,OU=b,O=c"), ("cn", "a")]),
        # two common names: none of them
        ("CN=evil,CN=machine.test", [("subject", "CN=evil,CN=machine.test")]),
        # HAProxy, ssl_c_s_dn(cn)
        ("machine.test", [("cn", "machine.test")]),
        # Envoy
        (
            'Hash=ab;Subject="CN=evil,O=x;URI=spiffe://gw.test/machine";URI=spiffe://gw.test/evil',
            [("uri", "spiffe://gw.test/evil")],  # a bare semicolon is no value of RFC 4514: the subject gives no name
        ),
        (
            r'Hash=ab;Subject="CN=evil,O=x\;URI=spiffe://gw.test/machine";URI=spiffe://gw.test/evil',
            [
                ("uri", "spiffe://gw.test/evil"),
                ("subject", r"CN=evil,O=x\;URI\=spiffe://gw.test/machine"),
                ("cn", "evil"),
            ],
        ),
        (
            r'Subject="CN=evil\";URI=spiffe://gw.test/machine;DNS=\"a";URI=spiffe://gw.test/evil',
            [("uri", "spiffe://gw.test/evil")],
        ),
        (r'Hash=1;Subject="CN=a\\";URI=x:a', [("uri", "x:a"), ("subject", r"CN=a\\"), ("cn", "a\\")]),
        ("By=spiffe://us;Hash=1;URI=x:machine,By=spiffe://us;Hash=2;URI=x:evil", [("uri", "x:evil")]),
        ('URI=x:machine;Subject="O=a,By=b",Hash=2;URI=x:evil', [("uri", "x:evil")]),
        ("By=a;URI=x:1;URI=x:2;DNS=d.test", [("uri", "x:1"), ("uri", "x:2"), ("dns", "d.test")]),
        ('Hash=1;Subject="";URI=', []),
    ],
)
def test_what_a_proxy_says_of_a_certificate(text: str, found: list[tuple[str, str]] | None) -> None:
    if found is None:
        with pytest.raises(NotReadable):
            proxied_names(text)
    else:
        assert names(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "CN=a,", "CN=a;O=b", 'CN="a"', "CN=a\\", "CN=a\\q", r"CN=\C3", "=a", "CN", "CN=a,,O=b", "CN=<a>", "C N=a",
        "Hash=1;", ";Hash=1", "Hash=1,", "Hash=1;Hash=2", "Hash=1;What=2", 'Hash="1', 'URI="a"b', "Hash=1;URI",
        'Subject="CN=a";Subject="CN=b"', 'URI=a"b', "URI=x:a;CN=machine.test",
    ],
)  # fmt: skip
def test_what_does_not_follow_its_grammar_names_nobody(text: str) -> None:
    form = "xfcc" if text.startswith(("Hash", "URI", "Subject", ";")) else "subject"
    with pytest.raises(NotReadable):
        proxied_names(text, form)


def test_a_bare_name_is_never_read_as_anything_else_when_it_is_declared_one() -> None:
    assert names("URI=spiffe://gw.test/machine", "name") == [("cn", "URI=spiffe://gw.test/machine")]


attributes = st.lists(st.tuples(st.sampled_from(["CN", "O", "OU", "2.5.4.5"]), st.text(max_size=12)), min_size=1)


@given(attributes.map(tuple))
def test_a_distinguished_name_written_and_read_is_the_same(given_: tuple[tuple[str, str], ...]) -> None:
    sayable = tuple((kind, value.encode("utf-8", "replace").decode().replace("\0", "")) for kind, value in given_)
    assert read_distinguished_name(distinguished_name(sayable)) == sayable


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_holder_of_one_name_gets_no_other_through_envoys_form(common: str, uri: str) -> None:
    """Whatever stands in a subject, written as Envoy writes it, only the URI of the certificate itself is a URI."""
    value = common.encode("utf-8", "replace").decode().replace("\0", "")
    subject = distinguished_name((("CN", value),))
    text = f'Hash=ab;Subject="{subject}";URI=spiffe://gw.test/evil'
    found = forwarded_names(text)
    assert [name.value for name in found if name.kind == "uri"] == ["spiffe://gw.test/evil"]
    assert [name.value for name in found if name.kind == "cn"] == ([value] if value else [])


def test_an_operator_writes_names_with_or_without_their_kind() -> None:
    assert written_name("uri:spiffe://a/b") == ("uri", "spiffe://a/b")
    assert written_name("spiffe://a/b") == ("", "spiffe://a/b")
    assert written_name("cn=a, o=b") == ("", "CN=a,O=b")
    assert written_name("subject:CN=a") == ("subject", "CN=a")
    assert subject_names("CN=a")[1] == CertificateName("cn", "a")
