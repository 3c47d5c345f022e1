"""`check` on where credentials may stand and on groups of methods: each mistake named with its place and remedy."""

from __future__ import annotations

import pytest

from spork.adapters.yaml.load import loads

TEXT = """
issuers:
  idp: {issuer: "https://idp.example.com", audiences: [api], jwks_url: "https://idp.example.com/jwks"}
upstreams: {u: {targets: ["http://127.0.0.1:1"]}}
routes:
  - {name: r, match: /x/*, upstream: u, auth: {AUTH}SECURITY}
"""


def problems(auth: str, security: str = "") -> list[tuple[str, str]]:
    found = loads(TEXT.replace("{AUTH}", "{" + auth + "}").replace("SECURITY", security)).problems
    return [(problem.severity, problem.path) for problem in found]


@pytest.mark.parametrize(
    ("auth", "path"),
    [
        ("tokens: {cookie: sid}", "routes[0].auth.tokens.cookie"),
        ("any_of: [api_key], keys: {cookie: sid}", "routes[0].auth.keys.cookie"),
        ("tokens: {query: tok}", "routes[0].auth.tokens.query"),
        ("any_of: [api_key], keys: {query: tok}", "routes[0].auth.keys.query"),
        ("any_of: [api_key], tokens: {headers: [X-T]}", "routes[0].auth.tokens"),
        ("keys: {headers: [X-K]}", "routes[0].auth.keys"),
        ("any_of: [jwt, api_key], tokens: {headers: [X-T]}, keys: {headers: [x-t]}", "routes[0].auth.keys.headers"),
        ("tokens: {protocol: 'a b'}", "routes[0].auth.tokens.protocol"),
        ("tokens: {headers: ['a b']}", "routes[0].auth.tokens.headers[0]"),
        ("claim_headers: {Host: sub}", "routes[0].auth.claim_headers.Host"),
        ("claim_headers: {X-User-Id: sub}", "routes[0].auth.claim_headers.X-User-Id"),
        ("claim_headers: {Content-Length: sub}", "routes[0].auth.claim_headers.Content-Length"),
        ("any_of: [jwt, {any_of: [api_key], all_of: [basic]}]", "routes[0].auth.any_of[1]"),
        ("any_of: [jwt, {}]", "routes[0].auth.any_of[1]"),
        ("any_of: [jwt, {all_of: [anonymous, api_key]}]", "routes[0].auth"),
        ("any_of: [jwt, {all_of: [nonsense]}]", "routes[0].auth.any_of[1].all_of[0]"),
    ],
)
def test_mistakes(auth: str, path: str) -> None:
    assert ("error", path) in problems(auth)


def test_what_is_meant() -> None:
    csrf = ", security: {csrf: true}"
    assert problems("tokens: {headers: [X-T], cookie: sid, protocol: bearer}", csrf) == []
    assert problems("any_of: [jwt, {all_of: [api_key, basic]}], claim_headers: {X-Org: org.id}") == []
    assert problems("tokens: {query: access_token}") == [("warning", "routes[0].auth.tokens.query")]
