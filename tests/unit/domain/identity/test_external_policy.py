"""What a service is told, and what its answers mean: only a clear yes is a yes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.domain.http.head import Headers
from spork.domain.identity.external_policy import (
    ExternalPolicy,
    Judgement,
    No,
    NoAnswer,
    Yes,
    facts_of,
    judged,
    key_of,
    question,
)
from spork.domain.identity.tokens import Principal

ALICE = Principal("alice", "jwt", "idp", tenant="acme", roles=frozenset(("b", "a")), claims={"org": {"id": 7}})


def facts(**changes: Any) -> dict[str, object]:
    given: dict[str, Any] = {
        "route": "r", "method": "GET", "path": "/a/b", "query": "x=1&x=2", "scheme": "https", "host": "api",
        "client": "192.0.2.1", "params": {"id": "b"}, "headers": {"x-tag": "t"}, "principal": ALICE,
    }  # fmt: skip
    return facts_of(**{**given, **changes})


@pytest.mark.parametrize(
    ("kind", "status", "headers", "body", "meant"),
    [
        ("http", 200, (), b"", Yes()),
        ("http", 204, ((b"x-org", b"7"), (b"x-other", b"1")), b"", Yes(((b"x-org", b"7"),))),
        ("http", 200, (), b'{"allow": true}', Yes()),
        ("http", 200, (), b'{"allow": false}', No()),
        ("http", 200, (), b'{"allow": "false"}', NoAnswer("the answer is not understood")),
        ("http", 200, (), b"[" * 100_000, NoAnswer("the answer is not understood")),
        ("http", 200, (), b"yes", NoAnswer("the answer is not understood")),
        ("http", 401, (), b"", No()),
        ("http", 403, (), b'{"allow": true}', No()),
        ("http", 302, (), b"", NoAnswer("answered 302")),
        ("http", 404, (), b"", NoAnswer("answered 404")),
        ("http", 200, ((b"x-org", b"7\r\nx-user-id: root"),), b"", Yes()),
        ("opa", 200, (), b'{"result": true}', Yes()),
        ("opa", 200, (), b'{"result": false}', No()),
        ("opa", 200, (), b"{}", No()),
        ("opa", 200, (), b'{"result": "true"}', No()),
        ("opa", 200, (), b'{"result": 1}', No()),
        ("opa", 200, (), b'{"result": {"allow": true, "headers": {"X-Org": "7", "X-Bad": "1"}}}', Yes(((b"x-org", b"7"),))),
        ("opa", 200, (), b'{"result": {"allow": 1}}', No()),
        ("opa", 200, (), b'{"result": {}}', No()),
        ("opa", 200, (), b"", NoAnswer("the answer is not understood")),
        ("opa", 404, (), b'{"result": true}', NoAnswer("answered 404")),
        ("ext_authz", 200, ((b"x-org", b"7"),), b"", Yes(((b"x-org", b"7"),))),
        ("ext_authz", 201, (), b"", NoAnswer("answered 201")),
        ("ext_authz", 302, ((b"location", b"https://login"), (b"content-length", b"3")), b"bye",
         No(302, ((b"location", b"https://login"),), b"bye")),
        ("ext_authz", 403, (), b"no", No(403, (), b"no")),
        ("ext_authz", 500, (), b"", NoAnswer("answered 500")),
    ],
)  # fmt: skip
def test_what_an_answer_means(kind: str, status: int, headers: Headers, body: bytes, meant: Judgement) -> None:
    policy = ExternalPolicy("http://decider/p", kind, forward=("X-Org",))
    assert judged(policy, status, headers, body) == meant


def test_how_each_kind_is_asked() -> None:
    opa = question(ExternalPolicy("http://opa/v1/data/gw/allow", "opa"), facts(), "/a/b?x=1", "rid")
    assert (opa.method, opa.url) == ("POST", "http://opa/v1/data/gw/allow")
    told = json.loads(opa.body)["input"]
    assert (told["segments"], told["query"], told["params"]) == (["a", "b"], {"x": ["1", "2"]}, {"id": "b"})
    assert told["principal"]["roles"] == ["a", "b"]
    assert told["principal"]["claims"] == {"org": {"id": 7}}
    plain = question(ExternalPolicy("http://decider/p"), facts(principal=None), "/a/b", "rid")
    assert json.loads(plain.body)["principal"] is None
    asked = facts(method="DELETE", headers={"authorization": "Bearer t", "host": "evil", "content-length": "5"})
    envoy = question(ExternalPolicy("http://authz/check/", "ext_authz"), asked, "/a/b?x=1", "rid")
    assert (envoy.method, envoy.url, envoy.body) == ("DELETE", "http://authz/check/a/b?x=1", b"")
    assert envoy.headers["authorization"] == "Bearer t"
    assert envoy.headers["x-forwarded-for"] == "192.0.2.1"
    assert {"host", "content-length"}.isdisjoint(envoy.headers)


def test_kept_answers_are_told_apart_by_the_chosen_facts() -> None:
    by = ("subject", "method", "header:X-Tag", "param:id", "claim:org.id")
    same = key_of(by, facts())
    assert key_of(by, facts(path="/other", query=None, client="198.51.100.1")) == same
    for changed in (
        facts(method="DELETE"), facts(headers={}), facts(params={"id": "c"}), facts(principal=None),
        facts(principal=Principal("alice", "jwt", "idp")), facts(principal=Principal("alice", "api_key")),
    ):  # fmt: skip
        assert key_of(by, changed) != same


TEXT = st.text(max_size=6)


@given(st.tuples(TEXT, TEXT), st.tuples(TEXT, TEXT))
def test_no_two_callers_share_a_key(one: tuple[str, str], other: tuple[str, str]) -> None:
    keys = [key_of(("subject", "tenant"), facts(principal=Principal(s, "jwt", tenant=t))) for s, t in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)
