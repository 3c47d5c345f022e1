"""Rewrites: what becomes of the path on its way to the target."""

from __future__ import annotations

import pytest

from spork.domain.routing.patterns import Rewrite
from spork.domain.upstreams.model import parse_target


@pytest.mark.parametrize(
    ("rewrite", "path", "params", "rest", "out"),
    [
        (Rewrite(strip="/api/v1/users"), b"/api/v1/users/7", {}, b"/7", b"/7"),
        (Rewrite(strip="/api/v1/users"), b"/api/v1/users", {}, b"", b"/"),
        (Rewrite(strip="/api/v1/users"), b"/api/v1/users/", {}, b"/", b"/"),
        (Rewrite(strip="/api/v1/users/"), b"/api/v1/users/7", {}, b"/7", b"/7"),
        (Rewrite(strip="/api"), b"/apis/7", {}, b"", b"/apis/7"),
        (Rewrite(strip="/s/{name}"), b"/s/users/7/8", {"name": "users"}, b"/7/8", b"/7/8"),
        (Rewrite(strip="/s/{name}"), b"/s/users", {"name": "users"}, b"", b"/"),
        (Rewrite(add="/v2"), b"/users", {}, b"", b"/v2/users"),
        (Rewrite(add="/v2/"), b"/", {}, b"", b"/v2"),
        (Rewrite(strip="/a", add="/b"), b"/a/c", {}, b"/c", b"/b/c"),
        (Rewrite(strip="/a", add="/b"), b"/a", {}, b"", b"/b"),
        (Rewrite(path="/x/{id}{rest}"), b"/u/7/a/b", {"id": "7"}, b"/a/b", b"/x/7/a/b"),
        (Rewrite(path="/x{rest}"), b"/u", {}, b"", b"/x"),
        (Rewrite(path="{rest}"), b"/u", {}, b"", b"/"),
        (Rewrite(path="/x/{rest}"), b"/u/a", {}, b"/a", b"/x/a"),
        (Rewrite(path="/x/{id}"), b"/u/%7Brest%7D", {"id": "%7Brest%7D"}, b"/no", b"/x/%7Brest%7D"),
        (Rewrite(path="/x/{a}/{b}"), b"/u", {"a": "{b}", "b": "2"}, b"", b"/x/{b}/2"),
    ],
)  # fmt: skip
def test_rewrites(rewrite: Rewrite, path: bytes, params: dict[str, str], rest: bytes, out: bytes) -> None:
    rewriter = rewrite.compile()
    assert rewriter is not None
    assert rewriter.apply(path, params, rest) == out


def test_nothing_to_do_is_nothing_to_call() -> None:
    assert Rewrite().compile() is None


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "base", "authority"),
    [
        ("http://users:7001", "http", "users", 7001, b"", b"users:7001"),
        ("https://Users.example.com", "https", "users.example.com", 443, b"", b"users.example.com"),
        ("http://[::1]:80/api/", "http", "::1", 80, b"/api", b"[::1]"),
        ("dns://users:7001", "http", "users", 7001, b"", b"users:7001"),
        ("srv+https://_http._tcp.users", "https", "_http._tcp.users", 443, b"", b"_http._tcp.users"),
        ("unix:/run/users.sock", "http", "localhost", 0, b"", b"localhost"),
    ],
)
def test_targets(url: str, scheme: str, host: str, port: int, base: bytes, authority: bytes) -> None:
    target = parse_target(url)
    assert (target.scheme, target.host, target.port, target.base_path) == (scheme, host, port, base)
    assert target.authority == authority


@pytest.mark.parametrize(
    "url",
    ["users:7001", "ftp://users", "http://", "http://u:0", "http://u:x", "http://u:٣", "http://a@b", "http://u/a?b", "http://u/a#b",
     "http://u//a", "http://u/../a", "http://[::1", "http://[x]", "unix:relative.sock", "http://a b", "http://u:1:2", "http://u/ü"],
)  # fmt: skip
def test_not_targets(url: str) -> None:
    with pytest.raises(ValueError):
        parse_target(url)
