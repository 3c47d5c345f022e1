"""What each front says of a request: exactly its own fields, once each, and a canonical path."""

from __future__ import annotations

import pytest

from spork.domain.decisions.fronts import FIELDS, asked, normalized
from spork.domain.http.authority import HostList
from spork.domain.http.head import Header, RequestHead
from spork.domain.outcomes import Denial

ANY = HostList()
FORWARDED = (
    (b"x-forwarded-method", b"PUT"),
    (b"x-forwarded-uri", b"/orders/1?x=1"),
    (b"x-forwarded-host", b"API.example.com"),
    (b"x-forwarded-proto", b"https"),
    (b"x-forwarded-for", b"192.0.2.7"),
)
ORIGINAL = (
    (b"x-original-method", b"PUT"),
    (b"x-original-uri", b"/orders/1?x=1"),
    (b"x-original-host", b"api.example.com"),
    (b"x-real-ip", b"192.0.2.7"),
)
ENVOY = ((b"x-forwarded-proto", b"https"), (b"x-envoy-external-address", b"192.0.2.7"))
SAYS: dict[str, tuple[Header, ...]] = {
    "traefik": FORWARDED,
    "caddy": FORWARDED,
    "nginx": ORIGINAL,
    "haproxy": ORIGINAL,
    "envoy": ENVOY,
}


def asking(front: str, headers: tuple[Header, ...] = (), target: bytes | None = None) -> RequestHead:
    if front == "envoy":
        path, mark, query = (target or b"/orders/1?x=1").partition(b"?")
        return RequestHead(
            "PUT",
            b"/decide/envoy" + path,
            query if mark else None,
            headers,
            "http",
            b"api.example.com",
            "1.1",
            "127.0.0.1",
        )
    scheme = b"/https" if front in ("nginx", "haproxy") else b""
    if target is not None:
        headers = tuple((n, target if n.endswith(b"-uri") else v) for n, v in headers)
    return RequestHead(
        "GET", b"/decide/" + front.encode() + scheme, b"y=2", headers, "http", b"decide", "1.1", "127.0.0.1"
    )


@pytest.mark.parametrize("front", FIELDS)
def test_a_front_says_which_request_it_asks_about(front: str) -> None:
    about = asked(front, asking(front, SAYS[front]), ANY)
    assert isinstance(about, RequestHead)
    assert (about.method, about.path, about.query, about.host, about.scheme, about.peer) == (
        "PUT",
        b"/orders/1",
        b"x=1",
        b"api.example.com",
        "https",
        "192.0.2.7",
    )


@pytest.mark.parametrize("front", FIELDS)
def test_each_field_is_needed_and_none_may_stand_there_twice(front: str) -> None:
    for at, field in enumerate(SAYS[front]):
        without = SAYS[front][:at] + SAYS[front][at + 1 :]
        for said in (without, (*SAYS[front], field), (*without, (field[0], b""))):
            found = asked(front, asking(front, said), ANY)
            assert isinstance(found, Denial), (front, field)
            assert found.reason == "bad_request"


@pytest.mark.parametrize("front", FIELDS)
def test_the_fields_of_other_fronts_are_not_read_and_go_no_further(front: str) -> None:
    forged = (
        *(header for other in SAYS.values() for header in other if header[0] not in FIELDS[front]),
        (b"x-forwarded-prefix", b"/open"),
        (b"x-original-url", b"/open"),
        (b"x-user-id", b"root"),
        (b"x-gateway-decide", b"secret"),
        (b"via", b"1.1 spork"),
        (b"authorization", b"Bearer x"),
    )
    forged = tuple((name, b"/open" if b"uri" in name else value) for name, value in forged)
    about = asked(front, asking(front, (*forged, *SAYS[front])), ANY)
    assert isinstance(about, RequestHead)
    assert about.path == b"/orders/1"
    assert [name for name, _ in about.headers] == [b"authorization", b"host"]


@pytest.mark.parametrize("front", FIELDS)
@pytest.mark.parametrize(
    "target",
    [b"/a//b", b"/a/../b", b"/a/%2e%2e/b", b"/a%2Fb", b"/%61", b"/caf%c3%a9", b"/a/..;/b", b"/a\\b", b"a", b"*"],
)
def test_a_path_that_is_not_canonical_is_refused_for_the_target_would_get_it_as_it_came(
    front: str, target: bytes
) -> None:
    if front == "envoy":
        return  # what the edge refuses or rewrites is refused there (test_decisions, `exact_below`)
    found = asked(front, asking(front, SAYS[front], target), ANY)
    assert isinstance(found, Denial)
    assert found.reason == "bad_request_target"


def test_what_stood_before_the_client_in_x_forwarded_for_is_left_for_trusted_proxies() -> None:
    said = tuple((n, b"198.51.100.1, 10.0.0.1" if n == b"x-forwarded-for" else v) for n, v in FORWARDED)
    about = asked("traefik", asking("traefik", said), ANY)
    assert isinstance(about, RequestHead)
    assert about.peer == "10.0.0.1"
    assert about.header(b"x-forwarded-for") == b"198.51.100.1"


def test_a_front_that_says_no_scheme_is_taken_to_have_been_asked_in_the_clear() -> None:
    head = RequestHead("GET", b"/decide/nginx", None, ORIGINAL, "http", b"decide", "1.1", "127.0.0.1")
    about = asked("nginx", head, ANY)
    assert isinstance(about, RequestHead)
    assert about.scheme == "http"


def test_methods_and_hosts_are_judged_as_at_the_edge() -> None:
    strange = tuple((n, b"CONNECT" if n.endswith(b"method") else v) for n, v in ORIGINAL)
    found = asked("nginx", asking("nginx", strange), ANY)
    assert isinstance(found, Denial)
    assert found.reason == "method_not_implemented"
    found = asked("nginx", asking("nginx", ORIGINAL), HostList(["other.example.com"]))
    assert isinstance(found, Denial)
    assert found.reason == "unknown_host"


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/a//b/%2e%2e/c?x=1", b"/a/c?x=1"),
        (b"/a/./b/", b"/a/b/"),
        (b"/../../a", b"/a"),
        (b"/a/..", b"/"),
        (b"/%61%c3%a9", b"/a%C3%A9"),
        (b"/a%2fb", b"/a%2fb"),
    ],
)
def test_normalised_as_proxies_do(raw: bytes, path: bytes) -> None:
    assert normalized(raw) == path
