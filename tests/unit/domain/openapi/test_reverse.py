"""Paths of upstreams' documents brought back through routes, and that what comes back really arrives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.domain.openapi.reverse import backwards
from spork.domain.routing.patterns import Match, PathPattern, Rewrite


def back(pattern: str, wanted: str, **rewrite: str) -> str | None:
    found = backwards(Match(PathPattern.parse(pattern)), Rewrite(**rewrite), wanted)
    return None if found is None else found.path


@pytest.mark.parametrize(
    ("pattern", "rewrite", "wanted", "client"),
    [
        ("/orders/*", {}, "/orders/{id}", "/orders/{id}"),
        ("/orders/*", {}, "/orders", "/orders"),
        ("/orders/*", {}, "/other", None),
        ("/api/*", {"strip": "/api"}, "/orders/{id}", "/api/orders/{id}"),
        ("/api/*", {"strip": "/api"}, "/", "/api"),
        ("/api/*", {"strip": "/api/v1"}, "/orders", "/api/v1/orders"),
        ("/api/*", {"strip": "/api/v1"}, "/api/orders", "/api/v1/api/orders"),
        ("/shop/*", {"strip": "/shop", "add": "/v2"}, "/v2/orders/{id}", "/shop/orders/{id}"),
        ("/shop/*", {"strip": "/shop", "add": "/v2"}, "/v2", "/shop"),
        ("/shop/*", {"strip": "/shop", "add": "/v2"}, "/orders", None),
        ("/t/{tenant}/orders/*", {"strip": "/t/{tenant}"}, "/orders/{id}", "/t/{tenant}/orders/{id}"),
        ("/t/{id}/orders/*", {"strip": "/t/{id}"}, "/orders/{id}", "/t/{id_}/orders/{id}"),
        ("/o/{id}", {"path": "/orders/{id}"}, "/orders/{orderId}", "/o/{orderId}"),
        ("/o/*", {"path": "/orders{rest}"}, "/orders/{id}/lines", "/o/{id}/lines"),
        ("/o/*", {"path": "/orders/{rest}"}, "/orders/{id}", "/o/{id}"),
        ("/vip", {"path": "/orders/42"}, "/orders/{id}", "/vip"),
        ("/orders/vip", {}, "/orders/{id}", "/orders/vip"),
        ("/{a}/{b}", {"path": "/{b}/{a}"}, "/{x}/{y}", "/{y}/{x}"),
        ("/orders/", {}, "/orders/", "/orders/"),
        ("/orders", {}, "/orders/", None),
        ("/*", {}, "/anything/{x}.json", "/anything/{x}.json"),
        ("/files/{name}", {"strip": "/files"}, "/{name}.pdf", "/files/{name}.pdf"),
    ],
)
def test_a_path_comes_back_as_clients_ask_for_it(
    pattern: str, rewrite: dict[str, str], wanted: str, client: str | None
) -> None:
    assert back(pattern, wanted, **rewrite) == client


def test_a_parameter_that_the_route_fixes_is_named_with_its_value() -> None:
    found = backwards(Match(PathPattern.parse("/orders/vip")), Rewrite(), "/orders/{id}")
    assert found is not None
    assert found.fixed == {"id": "vip"}


def test_a_version_that_the_target_does_not_know_of_is_put_back() -> None:
    match = Match(PathPattern.parse("/api/v1/orders/*"))
    found = backwards(match, Rewrite(strip="/api", drop=(1, b"v1")), "/orders/{id}")
    assert found is not None
    assert found.path == "/api/v1/orders/{id}"


def test_an_upstream_that_the_path_names_stands_there_by_its_name() -> None:
    match = Match(PathPattern.parse("/s/{service}/*"))
    found = backwards(match, Rewrite(strip="/s/{service}"), "/orders", {"service": "billing"})
    assert found is not None
    assert found.path == "/s/billing/orders"
    assert found.extra == ()


segment = st.sampled_from(["a", "b", "v1", "{x}", "{y}"])


@given(
    st.lists(segment, max_size=3, unique=True),
    st.booleans(),
    st.lists(st.sampled_from(["a", "b", "c"]), max_size=2),
    st.integers(0, 3),
    st.sampled_from(["", "/z", "/a/b"]),
)
def test_whatever_a_route_sends_its_target_is_found_again(
    parts: list[str], prefix: bool, below: list[str], stripped: int, added: str
) -> None:
    if not parts and not prefix:
        return
    text = "".join(f"/{part}" for part in parts) + ("/*" if prefix else "")
    pattern = PathPattern.parse(text)
    rewrite = Rewrite(strip="".join(f"/{part}" for part in parts[:stripped]), add=added)
    values = [f"val-{part[1]}" if part.startswith("{") else part for part in parts]
    segments = values + (below if prefix else [])
    client = "/" + "/".join(segments)
    rest = "/" + "/".join(below) if prefix and below else ""
    params = {part[1:-1]: f"val-{part[1:-1]}" for part in parts if part.startswith("{")}
    rewriter = rewrite.compile()
    sent = client.encode() if rewriter is None else rewriter.apply(client.encode(), params, rest.encode())
    found = backwards(Match(pattern), rewrite, sent.decode())
    assert found is not None
    path = found.path
    for name in found.extra:
        path = path.replace(f"{{{name}}}", params.get(name, params.get(name.rstrip("_"), "")))
    again = path.encode()
    if rewriter is not None:
        held = path.split("/")[1 + len(parts) :]
        given_rest = "/" + "/".join(held) if prefix and held else ""
        names = dict(zip([p[1:-1] for p in parts if p.startswith("{")], [s for s, p in zip(path.split("/")[1:], parts, strict=False) if p.startswith("{")], strict=False))  # fmt: skip
        again = rewriter.apply(path.encode(), names, given_rest.encode())
    assert again == sent
