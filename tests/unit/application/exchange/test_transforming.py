"""Answers changed on their way: which, under which fields, and what happens to those that cannot be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.adapters.jmespath.shape import compile_shape
from spork.adapters.litestar.problems import problem_document
from spork.adapters.msgspec.json_values import MsgspecJson
from spork.application.exchange.stages import AnswerStages
from spork.application.exchange.transforming import AnswerTransform
from spork.application.kernel.faults import FaultError
from spork.composition.codings import codings
from spork.domain.http.head import Header
from spork.domain.identity.tokens import Principal
from spork.domain.outcomes import FaultKind
from spork.domain.transforms.masks import Mask
from spork.domain.transforms.operations import Operation
from spork.domain.transforms.policy import AnswerRule, TransformPolicy, When
from spork.domain.transforms.queries import QueryEdit, QueryTransform
from tests.exchanges import exchange
from tests.sinks import Recorded

JSON: list[Header] = [(b"content-type", b"application/json")]
DROP = AnswerRule(((200, 299),), (Operation("remove", "/cost"),))
MASK = AnswerRule((), (), Mask(("iban",), exempt=frozenset({"pii:read"})))


def stages(policy: TransformPolicy) -> AnswerStages:
    shape = compile_shape(policy.shape) if policy.shape else None
    return AnswerStages(
        None, AnswerTransform(policy, codings(), problem_document, MsgspecJson(), b"k", shape), None, policy.when
    )


def answered(
    policy: TransformPolicy,
    *pieces: bytes,
    status: int = 200,
    headers: list[Header] | None = None,
    length: bool = True,
    method: str = "GET",
    principal: Principal | None = None,
    fill: Any = None,
    given_fields: dict[str, str] | None = None,
) -> Recorded:
    sink = Recorded()
    one = exchange(method, headers=given_fields)
    one.sink, one.principal, one.request_id_bytes = sink, principal, b"r1"
    relayed = stages(policy).relayed(one, fill)
    fields = JSON if headers is None else headers
    if length:
        fields = [*fields, (b"content-length", b"%d" % sum(map(len, pieces)))]
    relayed.start(status, fields)
    for piece in pieces:
        relayed.write(piece)
    relayed.finish()
    assert one.status in (0, sink.status)
    return sink


def refused(policy: TransformPolicy, *pieces: bytes, **more: Any) -> str:
    with pytest.raises(FaultError) as error:
        answered(policy, *pieces, **more)
    assert error.value.fault.kind is FaultKind.ANSWER_NOT_FIT
    return error.value.fault.note


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("pieces", [[b'{"id": 1.10, "cost": 5}'], [b'{"id": 1.10,', b"", b' "cost": 5}']])
def test_an_answer_is_changed_whole(length: bool, pieces: list[bytes]) -> None:
    headers = [
        *JSON,
        (b"etag", b'"a"'),
        (b"content-digest", b"x"),
        (b"content-md5", b"x"),
        (b"accept-ranges", b"bytes"),
    ]
    sink = answered(TransformPolicy(response=(DROP,)), *pieces, headers=headers, length=length)
    assert sink.body == b'{"id":1.10}'  # digits of numbers stay
    assert sink.field(b"content-length") == b"11"
    assert sink.field(b"etag") == b'W/"a"'
    assert sink.field(b"accept-ranges") == b"none"
    assert {sink.field(b"content-digest"), sink.field(b"content-md5")} == {None}
    assert sink.finished


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (404, JSON),
        (304, JSON),
        (204, JSON),
        (206, [*JSON, (b"content-range", b"bytes 0-1/9")]),
        (200, [*JSON, (b"cache-control", b"no-transform")]),
        (200, [(b"content-type", b"text/html")]),
    ],
)
def test_what_passes_untouched(status: int, headers: list[Header]) -> None:
    body = b"" if status in (204, 304) else b'{"cost": 1}'
    sink = answered(TransformPolicy(response=(DROP,)), body, status=status, headers=headers, length=False)
    assert (sink.status, sink.headers, sink.body) == (status, headers, body)


def test_json_with_another_name_is_json() -> None:
    sink = answered(
        TransformPolicy(response=(DROP,)),
        b'\xef\xbb\xbf{"cost":1}',
        headers=[(b"content-type", b"application/hal+JSON")],
    )
    assert sink.body == b"{}"


@pytest.mark.parametrize("name", ["gzip", "br", "zstd"])
def test_a_coding_the_target_used_all_the_same_is_taken_off(name: str) -> None:
    coding = codings().get(name)
    assert coding is not None
    headers = [*JSON, (b"content-encoding", name.encode())]
    sink = answered(TransformPolicy(response=(DROP,)), coding.compress(b'{"cost":1,"a":2}'), headers=headers)
    assert (sink.body, sink.field(b"content-encoding")) == (b'{"a":2}', None)


def test_an_unknown_coding_is_not_fit() -> None:
    assert "deflate" in refused(
        TransformPolicy(response=(DROP,)), b"x", headers=[*JSON, (b"content-encoding", b"deflate")]
    )


def test_larger_answers_pass_or_are_refused() -> None:
    body = b'{"cost": "' + b"x" * 100 + b'"}'
    for length in (True, False):
        refused(TransformPolicy(response=(DROP,), maximum=50), body[:60], body[60:], length=length)
        sink = answered(
            TransformPolicy(response=(DROP,), maximum=50, larger="pass"), body[:40], body[40:], length=length
        )
        assert sink.body == body
        masked = TransformPolicy(response=(MASK,), maximum=50, larger="pass")
        refused(masked, body, length=length)  # a mask would hide nothing


def test_what_is_not_json_passes_or_is_refused() -> None:
    text = [(b"content-type", b"text/plain")]
    refused(TransformPolicy(response=(DROP,), on_other="refuse"), b"x", headers=text)
    assert answered(TransformPolicy(response=(DROP,)), b"x", headers=text).body == b"x"
    refused(TransformPolicy(response=(MASK,)), b"x", headers=text)
    refused(TransformPolicy(response=(MASK,)), b"{", headers=JSON)
    refused(TransformPolicy(response=(MASK,)), b"{}", headers=[*JSON, (b"cache-control", b"no-transform")])
    refused(TransformPolicy(response=(DROP,)), b"{", headers=JSON)


def test_strict_operations() -> None:
    refused(TransformPolicy(response=(DROP,), strict=True), b"{}")


def test_statuses_bodies_and_problems() -> None:
    gone = AnswerRule(((404, 404),), to=410, body={"detail": "there is no such order"}, replaces=True)
    sink = answered(TransformPolicy(response=(gone,)), b"<html>", status=404, headers=[(b"content-type", b"text/html")])
    assert (sink.status, json.loads(sink.body)) == (410, {"detail": "there is no such order"})
    assert sink.field(b"content-type") == b"application/json"
    failed = AnswerRule(((500, 599),), problem="upstream_failed")
    sink = answered(TransformPolicy(response=(failed,)), b"stack trace" * 200_000, status=503, headers=[])
    assert json.loads(sink.body) == {
        "type": "urn:spork:problem:upstream_failed",
        "title": "The service failed",
        "status": 503,
        "instance": "r1",
    }
    assert sink.field(b"content-type") == b"application/problem+json"
    only = AnswerRule(((201, 201),), to=200)
    sink = answered(TransformPolicy(response=(only,)), b"text", status=201, headers=[(b"content-type", b"text/plain")])
    assert (sink.status, sink.body) == (200, b"text")


def test_masks_go_by_the_caller_s_scopes() -> None:
    policy = TransformPolicy(response=(MASK,))
    clerk = Principal("a", "jwt", scopes=frozenset({"orders"}))
    officer = Principal("b", "jwt", scopes=frozenset({"pii:read"}))
    assert answered(policy, b'{"iban":"DE1"}').body == b'{"iban":"***"}'
    assert answered(policy, b'{"iban":"DE1"}', principal=clerk).body == b'{"iban":"***"}'
    untouched = answered(policy, b'{"iban": "DE1"}', principal=officer, headers=[*JSON, (b"etag", b'"a"')])
    assert (untouched.body, untouched.field(b"etag")) == (b'{"iban": "DE1"}', b'"a"')


def test_the_cache_keeps_what_is_not_masked_yet() -> None:
    kept = Recorded()

    class Filling(Recorded):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def start(self, status: int, headers: list[Header]) -> None:
            kept.start(status, headers)
            self.inner.start(status, headers)

        def write(self, data: bytes) -> None:
            kept.write(data)
            self.inner.write(data)

        def finish(self) -> None:
            self.inner.finish()

    policy = TransformPolicy(response=(DROP, MASK))
    sink = answered(policy, b'{"iban":"DE1","cost":1}', fill=Filling)
    assert (kept.body, sink.body) == (b'{"iban":"DE1"}', b'{"iban":"***"}')
    one = exchange()
    one.sink = again = Recorded()
    hit = stages(policy).delivered(one)
    hit.start(200, kept.headers)
    hit.write(kept.body)
    hit.finish()
    assert again.body == b'{"iban":"***"}'


def test_what_names_the_caller_runs_behind_the_cache() -> None:
    named = TransformPolicy(response=(AnswerRule((), (Operation("set", "/for", "{consumer}"),)),))
    assert stages(named).by_caller
    assert stages(TransformPolicy(response=(DROP,), when=When(consumers=frozenset({"acme"})))).by_caller
    assert not stages(TransformPolicy(response=(DROP,))).by_caller


def test_when_nobody_asked_nothing_is_changed() -> None:
    policy = TransformPolicy(response=(DROP,), when=When(headers=((b"x-legacy", None),)))
    assert answered(policy, b'{"cost":1}').body == b'{"cost":1}'
    assert answered(policy, b'{"cost":1}', given_fields={"x-legacy": "1"}).body == b"{}"
    of_acme = TransformPolicy(response=(DROP,), when=When(consumers=frozenset({"acme"})))
    assert answered(of_acme, b'{"cost":1}').body == b'{"cost":1}'
    assert answered(of_acme, b'{"cost":1}', principal=Principal("a", "jwt", consumer="acme")).body == b"{}"


def test_head_has_the_fields_without_a_length() -> None:
    sink = answered(
        TransformPolicy(response=(DROP,)), method="HEAD", headers=[*JSON, (b"content-length", b"9"), (b"etag", b'"a"')],
        length=False,
    )  # fmt: skip
    assert (sink.field(b"content-length"), sink.field(b"etag"), sink.body) == (None, b'W/"a"', b"")


def test_a_shape_makes_the_body_of_good_answers() -> None:
    policy = TransformPolicy(shape="{reference: id, lines: lines[].{sku: sku}}")
    body = json.dumps({"id": 7, "lines": [{"sku": "a", "cost": 1}], "more": 1}).encode()
    assert json.loads(answered(policy, body).body) == {"reference": 7, "lines": [{"sku": "a"}]}
    assert answered(policy, body, status=404).body == body
    refused(TransformPolicy(shape="abs(id)"), b'{"id": "x"}')
    refused(policy, b'{"id": "' + b"x" * 300_000 + b'"}')
    with pytest.raises(ValueError, match="JMESPath"):
        compile_shape("{")


def test_the_target_is_asked_for_a_whole_answer_in_no_coding() -> None:
    fields = [(b"range", b"bytes=0-1"), (b"accept-encoding", b"gzip"), (b"if-match", b'W/"a"'), (b"a", b"1")]
    asked = stages(TransformPolicy(response=(DROP,))).towards_target(fields)
    assert asked == [(b"if-match", b'"a"'), (b"a", b"1"), (b"accept-encoding", b"identity")]


def test_a_query_is_changed_when_it_is_meant() -> None:
    edit = QueryTransform(QueryEdit(set=(("by", "{consumer}"),)))
    made = AnswerStages(None, None, edit, When(methods=frozenset({"GET"})))
    one = exchange(query=b"by=evil&a=1")
    assert made.query(one) == b"a=1"
    one.principal = Principal("a", "jwt", consumer="acme")
    assert made.query(one) == b"a=1&by=acme"
    assert made.query(exchange("POST", query=b"by=x")) == b"by=x"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5).filter(str.isprintable),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(value=VALUES, cut=st.integers(0, 60), coding=st.sampled_from(["", "gzip", "br", "zstd"]))
def test_in_any_pieces_and_coding_the_answer_is_the_same(value: Any, cut: int, coding: str) -> None:
    policy = TransformPolicy(response=(AnswerRule((), (Operation("set", "/x", 1),)),))
    body = json.dumps(value).encode()
    coder = codings().get(coding)
    coded = body if coder is None else coder.compress(body)
    headers = JSON if coder is None else [*JSON, (b"content-encoding", coding.encode())]
    sink = answered(policy, coded[:cut], coded[cut:], headers=headers, length=False)
    assert json.loads(sink.body) == (value | {"x": 1} if isinstance(value, dict) else value)
