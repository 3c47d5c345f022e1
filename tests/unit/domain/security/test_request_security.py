"""CORS and CSRF decisions, address sets, message signatures: tables of what is let through and what is not."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.domain.http.addresses import AddressSet
from spork.domain.http.head import RequestHead
from spork.domain.identity.authorization import CorsPolicy
from spork.domain.identity.signatures import (
    AHEAD,
    OLDEST,
    Unsigned,
    check_input,
    digest_holds,
    mac,
    parse_input,
    read_signature,
    sign_request,
    signature_base,
)
from spork.domain.security.cors import Cors, origin_problem
from spork.domain.security.csrf import (
    COOKIE,
    HEADER,
    Forgery,
    is_token,
    judge,
    make_token,
    session_of,
    token_cookie,
    wants_token,
)

APP = "https://app.example.com"


def head(method: str = "GET", scheme: str = "https", query: bytes | None = None, **headers: str) -> RequestHead:
    fields = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())
    return RequestHead(method, b"/x", query, fields, scheme, b"api.example.com")


# ------------------------------------------------------------------------------------------------------------------ CORS


def preflight(cors: Cors, origin: str = APP, method: str = "POST", headers: str = "") -> dict[bytes, bytes]:
    more = {"access_control_request_headers": headers} if headers else {}
    found = cors.preflight(head("OPTIONS", origin=origin, access_control_request_method=method, **more))
    assert found is not None
    return dict(found)


def test_a_preflight_of_a_known_origin_is_granted() -> None:
    cors = Cors(CorsPolicy((APP,), credentials=True, methods=("GET", "POST"), headers=("content-type",), max_age=600))
    assert preflight(cors, headers="Content-Type") == {
        b"access-control-allow-origin": APP.encode(),
        b"access-control-allow-credentials": b"true",
        b"access-control-allow-methods": b"GET, POST",
        b"access-control-allow-headers": b"content-type",
        b"access-control-max-age": b"600",
        b"vary": b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    }


@pytest.mark.parametrize(
    "asked",
    [
        {"origin": "https://app.example.com.evil.example"},
        {"origin": "https://evil.example"},
        {"origin": "http://app.example.com"},
        {"origin": "https://APP.example.com"},
        {"origin": "https://app.example.com:443"},
        {"origin": "https://app.example.com/"},
        {"origin": "null"},
        {"origin": ""},
    ],
)
def test_any_other_origin_is_told_nothing(asked: dict[str, str]) -> None:
    cors = Cors(CorsPolicy((APP,), credentials=True, methods=("POST",), headers=("content-type",)))
    assert set(preflight(cors, **asked)) == {b"vary"}


@pytest.mark.parametrize("asked", [{"method": "DELETE"}, {"method": "post"}, {"headers": "content-type, x-admin"}])
def test_a_listed_origin_is_told_what_is_allowed_when_it_asks_for_more(asked: dict[str, str]) -> None:
    """The browser then says which method or header it missed; told nothing it would blame the origin."""
    cors = Cors(CorsPolicy((APP,), credentials=True, methods=("POST",), headers=("content-type",)))
    said = preflight(cors, **asked)
    assert said[b"access-control-allow-origin"] == APP.encode()
    assert (said[b"access-control-allow-methods"], said[b"access-control-allow-headers"]) == (b"POST", b"content-type")


def test_any_header_is_allowed_by_naming_it() -> None:
    cors = Cors(CorsPolicy((APP,), credentials=True, methods=("POST",), headers=("*",)))
    assert preflight(cors, headers="x-mine, authorization")[b"access-control-allow-headers"] == b"x-mine, authorization"
    with pytest.raises(ValueError, match="credentials"):
        Cors(CorsPolicy((APP,), credentials=True, expose=("*",)))


@given(st.text(st.characters(codec="ascii", exclude_characters="\r\n\0"), max_size=60))
def test_an_unknown_origin_is_never_echoed(origin: str) -> None:
    cors = Cors(CorsPolicy((APP,), credentials=True))
    if origin == APP:
        return
    said = [
        *cors.actual(head(origin=origin)),
        *(cors.preflight(head("OPTIONS", origin=origin, access_control_request_method="GET")) or ()),
    ]
    assert not [name for name, _ in said if name.startswith(b"access-control")]


@pytest.mark.parametrize(
    ("pattern", "origin", "allowed"),
    [
        ("https://*.example.com", "https://a.example.com", True),
        ("https://*.example.com", "https://a.b-c.example.com", True),
        ("https://*.example.com", "https://example.com", False),
        ("https://*.example.com", "https://.example.com", False),
        ("https://*.example.com", "https://evil-example.com", False),
        ("https://*.example.com", "http://a.example.com", False),
        ("https://*.example.com", "https://a.example.com:8443", False),
        ("https://*.example.com", "https://evil.com/.example.com", False),
        ("https://*.example.com", "https://evil.com#.example.com", False),
        ("https://*.example.com", "https://u@a.example.com", False),
        ("https://*.example.com", "https://a..example.com", False),
        ("https://*.example.com:8443", "https://a.example.com:8443", True),
        ("capacitor://localhost", "capacitor://localhost", True),
        ("capacitor://localhost", "ionic://localhost", False),
        ("https://*.example.com", "null", False),
        ("capacitor://localhost", "null", False),
        ("null", "null", True),
    ],
)
def test_patterns_stand_for_whole_labels_and_null_is_met_by_none(pattern: str, origin: str, allowed: bool) -> None:
    assert origin_problem(pattern) == ""
    cors = Cors(CorsPolicy((pattern,), credentials=True))
    assert cors.allows(origin.encode()) is allowed
    assert ((b"access-control-allow-origin", origin.encode()) in cors.actual(head(origin=origin))) is allowed


@pytest.mark.parametrize(
    "text",
    ["", "app.example.com", "https://", "https://a/b", "https://*", "https://*.com", "https://a.*.com", "https://*a.com",
     "https://**.a.com", "https://*.*.a.com", "https://A.com", "https://a.com:443", "http://a.com:80", "data://x", "blob://x",
     "https://a b", "https://é.com", "*.example.com", "https://a?b", "https://u@a", "1x://a", "https://*.com:8443"],
)  # fmt: skip
def test_what_no_browser_sends_or_lets_in_too_many_is_no_origin(text: str) -> None:
    assert origin_problem(text) != ""


@given(st.text(st.characters(codec="ascii", exclude_characters="\r\n\0"), max_size=40))
def test_whatever_a_pattern_takes_is_a_host_below_it(text: str) -> None:
    cors = Cors(CorsPolicy(("https://*.example.com",)))
    origin = f"https://{text}.example.com"
    if cors.allows(origin.encode()):
        assert urlsplit(origin).hostname == f"{text}.example.com".lower()


def test_any_origin_is_a_star_and_never_with_credentials() -> None:
    cors = Cors(CorsPolicy(("*",)))
    assert cors.actual(head(origin="https://any.example")) == ((b"access-control-allow-origin", b"*"),)
    for policy in (CorsPolicy(("*",), credentials=True), CorsPolicy(("*", APP))):
        with pytest.raises(ValueError, match="stands alone"):
            Cors(policy)


def test_answers_say_that_they_depend_on_the_origin() -> None:
    cors = Cors(CorsPolicy((APP,), expose=("x-total",)))
    assert (b"vary", b"Origin") in cors.actual(head())
    assert (b"vary", b"Origin") in cors.actual(head(origin="https://evil.example"))
    assert (b"access-control-expose-headers", b"x-total") in cors.actual(head(origin=APP))


def test_an_options_request_that_is_no_preflight_goes_on() -> None:
    cors = Cors(CorsPolicy((APP,)))
    assert cors.preflight(head("OPTIONS", origin=APP)) is None
    assert cors.preflight(head("OPTIONS", access_control_request_method="GET")) is None
    assert cors.preflight(head("GET", origin=APP, access_control_request_method="GET")) is None


# ------------------------------------------------------------------------------------------------------------------ CSRF

KEY = b"k" * 32
TOKEN = make_token(b"0123456789abcdef", KEY).decode()
SELF = "https://api.example.com"
ALLOWED = frozenset((b"https://app.example.com",))


@pytest.mark.parametrize(
    ("request_head", "found"),
    [
        (head("GET", cookie="s=1", sec_fetch_site="cross-site"), Forgery.NONE),
        (head("POST"), Forgery.NONE),
        (head("POST", cookie="s=1", authorization="Bearer x", origin="https://evil.example"), Forgery.NONE),
        (head("POST", cookie="s=1", sec_fetch_site="same-origin"), Forgery.NONE),
        (head("POST", cookie="s=1", sec_fetch_site="none"), Forgery.NONE),
        (head("POST", cookie="s=1", sec_fetch_site="same-site"), Forgery.CROSS_SITE),
        (head("POST", cookie="s=1", sec_fetch_site="cross-site"), Forgery.CROSS_SITE),
        (head("POST", cookie="s=1", sec_fetch_site="Same-Origin"), Forgery.CROSS_SITE),
        (head("POST", cookie="s=1", sec_fetch_site="cross-site", origin=APP), Forgery.NONE),
        (head("POST", cookie="s=1", sec_fetch_site="cross-site", origin="https://evil.example"), Forgery.CROSS_SITE),
        (head("POST", cookie="s=1", origin=SELF), Forgery.NONE),
        (head("POST", cookie="s=1", origin="http://api.example.com"), Forgery.CROSS_SITE),
        (head("POST", cookie="s=1", origin="null"), Forgery.CROSS_SITE),
        (head("POST", cookie="s=1", origin=SELF + ".evil.example"), Forgery.CROSS_SITE),
        (head("POST", cookie="s=1", referer=SELF + "/form?x=1"), Forgery.NONE),
        (head("POST", cookie="s=1", referer="https://evil.example/?" + SELF), Forgery.CROSS_SITE),
        (head("POST", cookie="s=1", referer="https://api.example.com@evil.example/"), Forgery.CROSS_SITE),
        (head("POST", cookie="s=1", referer="//[x"), Forgery.CROSS_SITE),
        (head("POST", cookie="s=1"), Forgery.NO_PROOF),
        (head("DELETE", cookie="s=1"), Forgery.NO_PROOF),
        (head("POST", cookie=f"s=1; spork-csrf={TOKEN}", x_csrf_token=TOKEN), Forgery.NONE),
        (head("POST", cookie=f"s=1; spork-csrf={TOKEN}"), Forgery.NO_PROOF),
        (head("POST", cookie="s=1", x_csrf_token=TOKEN), Forgery.NO_PROOF),
        (head("POST", cookie="s=1; spork-csrf=a", x_csrf_token="a"), Forgery.NO_PROOF),
        (head("POST", cookie="s=1; spork-csrf=", x_csrf_token=""), Forgery.NO_PROOF),
        (head("POST", cookie=f"s=1; spork-csrf={TOKEN}", x_csrf_token=TOKEN, sec_fetch_site="cross-site"), Forgery.CROSS_SITE),
    ],
)  # fmt: skip
def test_forgeries(request_head: RequestHead, found: Forgery) -> None:
    assert judge(request_head, ALLOWED, KEY) is found


EVIL = "https://evil.example"


@pytest.mark.parametrize(
    ("headers", "certificate", "found"),
    [
        ({"authorization": "Basic YTpi", "origin": EVIL}, False, Forgery.CROSS_SITE),
        ({"authorization": "basic YTpi", "sec_fetch_site": "cross-site"}, False, Forgery.CROSS_SITE),
        ({"authorization": "Negotiate abc"}, False, Forgery.NO_PROOF),
        ({"authorization": "Basic YTpi", "origin": SELF}, False, Forgery.NONE),
        ({"authorization": "Bearer abc", "cookie": "s=1", "origin": EVIL}, False, Forgery.NONE),
        ({"origin": EVIL}, True, Forgery.CROSS_SITE),
        ({"origin": SELF}, True, Forgery.NONE),
        ({"origin": EVIL}, False, Forgery.NONE),
    ],
)
def test_whatever_browsers_add_by_themselves_can_be_forged(
    headers: dict[str, str], certificate: bool, found: Forgery
) -> None:
    asked = head("POST", **headers)
    asked.certificate = {"common_name": "a"} if certificate else None
    assert judge(asked, ALLOWED, KEY) is found


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"cookie": "s=1", "origin": EVIL}, Forgery.CROSS_SITE),
        ({"cookie": "s=1", "origin": "null"}, Forgery.CROSS_SITE),
        ({"authorization": "Basic YTpi", "origin": EVIL}, Forgery.CROSS_SITE),
        ({"cookie": "s=1", "origin": SELF}, Forgery.NONE),
        ({"cookie": "s=1", "origin": APP}, Forgery.NONE),
        ({"cookie": "s=1"}, Forgery.NONE),
        ({"origin": EVIL}, Forgery.NONE),
    ],
)
def test_a_websocket_is_opened_from_pages_that_may(headers: dict[str, str], found: Forgery) -> None:
    asked = head("GET", **headers)
    asked.upgrade = True
    assert judge(asked, ALLOWED, KEY) is found


def test_a_token_planted_by_a_neighbour_is_none() -> None:
    assert is_token(TOKEN.encode(), KEY)
    assert not is_token(TOKEN.encode(), b"x" * 32)
    assert not is_token(TOKEN.encode()[:-1] + b"0", KEY) or TOKEN.endswith("0")


def test_a_token_is_good_for_the_session_it_was_handed_to() -> None:
    mine, cookie = head("GET", cookie="sid=mine"), b"sid"
    token = make_token(b"0123456789abcdef", KEY, session_of(mine, cookie)).decode()

    def write(session: str) -> Forgery:
        shown = head("POST", cookie=f"{session}; spork-csrf={token}", x_csrf_token=token)
        return judge(shown, frozenset(), KEY, cookie)

    assert write("sid=mine") is Forgery.NONE
    assert write("sid=victim") is Forgery.NO_PROOF
    assert write("other=1") is Forgery.NO_PROOF
    # A browser that signs in as somebody else is handed a token of the new session.
    assert not wants_token(head("GET", cookie=f"sid=mine; spork-csrf={token}"), KEY, cookie)
    assert wants_token(head("GET", cookie=f"sid=next; spork-csrf={token}"), KEY, cookie)


def test_a_token_is_good_for_the_password_it_was_handed_to() -> None:
    token = make_token(b"0123456789abcdef", KEY, session_of(head("GET", authorization="Basic YTpi"), b"")).decode()
    mine = head("POST", authorization="Basic YTpi", cookie=f"spork-csrf={token}", x_csrf_token=token)
    other = head("POST", authorization="Basic Yzpk", cookie=f"spork-csrf={token}", x_csrf_token=token)
    assert judge(mine, frozenset(), KEY) is Forgery.NONE
    assert judge(other, frozenset(), KEY) is Forgery.NO_PROOF


def test_tokens_are_handed_to_browsers_that_have_cookies() -> None:
    assert wants_token(head("GET", cookie="s=1"), KEY)
    assert not wants_token(head("GET"), KEY)
    assert not wants_token(head("POST", cookie="s=1"), KEY)
    assert not wants_token(head("GET", cookie=f"s=1; spork-csrf={TOKEN}"), KEY)
    ((name, value),) = token_cookie(TOKEN.encode(), True)
    assert (name, value) == (b"set-cookie", COOKIE + b"=" + TOKEN.encode() + b"; Path=/; SameSite=Lax; Secure")
    assert HEADER == b"x-csrf-token"


# ------------------------------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("10.0.0.1", True), ("10.255.255.255", True), ("11.0.0.0", False), ("9.255.255.255", False), ("192.0.2.7", True),
        ("192.0.2.8", False), ("::ffff:10.0.0.1", True), ("2001:db8::1", True), ("2001:db9::1", False), ("::1", False),
        ("0.0.0.10", False), ("", False), ("unix", False), ("10.0.0.1:80", False), ("010.0.0.1", False),
    ],
)  # fmt: skip
def test_membership_of_addresses(address: str, inside: bool) -> None:
    assert (address in AddressSet(("10.0.0.0/8", "192.0.2.7", "2001:db8::/32"))) is inside


def test_everything_and_nothing() -> None:
    everything = AddressSet(("0.0.0.0/0",))
    assert "1.2.3.4" in everything
    assert "::1" not in everything
    assert not AddressSet(())
    with pytest.raises(ValueError, match="99"):
        AddressSet(("10.0.0.0/99",))


# ------------------------------------------------------------------------------------------------------------ signatures

SECRET = b"a shared secret"
COVERED = ("@method", "@authority", "@path", "@query", "content-digest")
NOW = 1_800_000_000


def signed(**changes: object) -> tuple[RequestHead, bytes, bytes]:
    request = head("POST", query=b"a=1", content_digest="sha-256=:x:")
    given, signature = sign_request(request, SECRET, "sigrid", NOW, COVERED)
    return request, given, signature


def test_a_signature_holds_and_no_part_of_the_request_can_change() -> None:
    request, given, signature = signed()
    parsed = parse_input(given)
    assert check_input(parsed, request, True, NOW) == "sigrid"
    assert mac(SECRET, signature_base(parsed, request)) == read_signature(signature, parsed.label)
    for change in (
        {"method": "PUT"}, {"path": b"/y"}, {"query": b"a=2"}, {"query": None}, {"host": b"evil.example"},
        {"headers": ((b"content-digest", b"sha-256=:y:"),)},
    ):  # fmt: skip
        for name, value in change.items():
            original = getattr(request, name)
            setattr(request, name, value)
            assert mac(SECRET, signature_base(parsed, request)) != read_signature(signature, parsed.label)
            setattr(request, name, original)


def test_the_example_of_rfc_9421() -> None:
    """B.2.5: HMAC-SHA-256 over @date-like header, @authority and content-type."""
    import base64

    secret = base64.b64decode(
        "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
    )
    request = RequestHead(
        "POST", b"/foo", b"param=Value&Pet=dog",
        ((b"date", b"Tue, 20 Apr 2021 02:07:55 GMT"), (b"content-type", b"application/json")), "http", b"example.com",
    )  # fmt: skip
    parsed = parse_input(b'sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"')
    assert (
        base64.b64encode(mac(secret, signature_base(parsed, request)))
        == b"pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8="
    )


@pytest.mark.parametrize(
    ("field", "slug"),
    [
        (b"", "signature_malformed"),
        (b"sig1", "signature_malformed"),
        (b'sig1=("@method"', "signature_malformed"),
        (b'sig1=("@method" "@method");created=1', "signature_malformed"),
        (b'sig1=("@method");created=1;created=2', "signature_malformed"),
        (b'sig1=("@method");created="1', "signature_malformed"),
        (b'sig1=("@method"), sig2=("@path")', "signature_malformed"),
        (b'sig1=("@query-param";name="a");created=1', "component_unsupported"),
        (b"sig1=(@method);created=1", "component_unsupported"),
        (b'sig1=("@method");created=1;keyid="\xff"', "signature_malformed"),
        (b'sig1=("' + b"a" * 3000 + b'")', "signature_malformed"),
    ],
)
def test_malformed_inputs(field: bytes, slug: str) -> None:
    with pytest.raises(Unsigned, match=slug):
        parse_input(field)


@pytest.mark.parametrize(
    ("parameters", "slug"),
    [
        (f'created={NOW - int(OLDEST) - 1};keyid="k"', "signature_stale"),
        (f'created={NOW + int(AHEAD) + 1};keyid="k"', "signature_stale"),
        ('keyid="k"', "signature_stale"),
        (f'created={NOW};expires={NOW};keyid="k"', "signature_stale"),
        (f"created={NOW}", "signature_malformed"),
        (f'created={NOW};keyid="k";alg="rsa-v1_5-sha256"', "signature_algorithm"),
    ],
)
def test_stale_and_foreign_signatures(parameters: str, slug: str) -> None:
    parsed = parse_input(f'sig1=("@method" "@authority" "@path" "@query");{parameters}'.encode())
    with pytest.raises(Unsigned, match=slug):
        check_input(parsed, head(query=b"a"), False, NOW)


@pytest.mark.parametrize("missing", ["@method", "@authority", "@path", "@query", "content-digest"])
def test_what_a_signature_must_cover(missing: str) -> None:
    covered = " ".join(f'"{name}"' for name in COVERED if name != missing)
    parsed = parse_input(f'sig1=({covered});created={NOW};keyid="k"'.encode())
    with pytest.raises(Unsigned, match="covers_too_little"):
        check_input(parsed, head(query=b"a"), True, NOW)


def test_digests_of_bodies() -> None:
    empty = b"sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
    assert digest_holds(((b"content-digest", empty),), b"")
    assert not digest_holds(((b"content-digest", empty),), b"x")
    assert not digest_holds(((b"content-digest", b"md5=:1B2M2Y8AsgTpgAmY7PhCfg==:"),), b"")
    assert not digest_holds((), b"")
    assert not digest_holds(((b"content-digest", empty + b", sha-512=:AAAA:"),), b"")
