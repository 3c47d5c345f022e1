"""Name spaces: no two credentials of different authority meet at one consumer unless it was written so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.domain.identity.certificates import CertificateName
from spork.domain.identity.consumers import Consumer, TokenClaim
from spork.domain.identity.subjects import NameSpaces, PlacedSubject, SubjectIndex, placed
from spork.domain.identity.tokens import Principal

BOTH = NameSpaces(("main", "second", "auth_service"), certificates=True)


def of(index: SubjectIndex, issuer: str, subject: str, **claims: object) -> str:
    found = index.of_token(Principal(subject, "jwt", issuer, claims=claims))
    return "" if found is None else found.name


def certified(index: SubjectIndex, kind: str, value: str) -> str:
    found = index.of_certificate(CertificateName(kind, value))
    return "" if found is None else found.name


@pytest.mark.parametrize(
    ("subject", "spaces", "place"),
    [
        ("alice", NameSpaces(("main",)), PlacedSubject("main", "alice")),
        ("machine.test", NameSpaces(("main",)), PlacedSubject("main", "machine.test")),
        ("alice", NameSpaces((), True), PlacedSubject("mtls", "alice")),
        ("alice", NameSpaces(("main", "second")), PlacedSubject("main", "alice", True)),
        ("alice", BOTH, PlacedSubject("main", "alice", True)),
        ("alice@example.com", BOTH, PlacedSubject("main", "alice@example.com", True)),
        ("machine.test", BOTH, PlacedSubject("mtls", "machine.test", True)),
        ("spiffe://gw/a", BOTH, PlacedSubject("mtls", "spiffe://gw/a", True)),
        ("CN=a,O=b", BOTH, PlacedSubject("mtls", "CN=a,O=b", True)),
        ("second|machine.test", BOTH, PlacedSubject("second", "machine.test")),
        ("mtls|alice", BOTH, PlacedSubject("mtls", "alice")),
        ("auth0|7", NameSpaces(("main",)), PlacedSubject("main", "auth0|7")),
        ("alice", NameSpaces(), None),
    ],
)
def test_a_subject_has_one_name_space(subject: str, spaces: NameSpaces, place: PlacedSubject | None) -> None:
    assert placed(subject, spaces) == place


def test_another_issuers_token_is_not_a_certificate_nor_a_bound_subject() -> None:
    index = SubjectIndex(
        (Consumer("machine", subjects=("machine.test",)), Consumer("b", subjects=("main|bound",))), BOTH
    )
    assert certified(index, "dns", "machine.test") == "machine"
    assert of(index, "main", "bound") == "b"
    for issuer in BOTH.issuers:
        assert of(index, issuer, "machine.test") == ""
        assert of(index, issuer, "main|bound") == ""
    assert of(index, "second", "bound") == ""
    assert certified(index, "cn", "main|bound") == ""


def test_a_kind_of_name_can_be_demanded() -> None:
    index = SubjectIndex((Consumer("a", certificates=("uri:x:a",)), Consumer("b", certificates=("b.test",))), BOTH)
    assert [certified(index, kind, "x:a") for kind in ("uri", "cn", "dns")] == ["a", "", ""]
    assert [certified(index, kind, "b.test") for kind in ("dns", "cn")] == ["b", "b"]


def test_a_claim_means_a_consumer_at_its_own_issuer_only() -> None:
    index = SubjectIndex((Consumer("app", claims=(TokenClaim("main", "azp", "mobile"),)),), BOTH)
    assert of(index, "main", "u1", azp="mobile") == "app"
    assert of(index, "main", "u1", azp=["web", "mobile"]) == "app"
    assert of(index, "second", "u1", azp="mobile") == ""


texts = st.text(st.sampled_from("ab|.=:/mainsecond"), max_size=14)


@given(texts, st.sampled_from(BOTH.issuers), st.sampled_from(BOTH.issuers), texts)
def test_what_one_authority_may_say_no_other_can(subject: str, one: str, other: str, said: str) -> None:
    """Of one written subject, at most one authority's credentials become the consumer."""
    index = SubjectIndex((Consumer("c", subjects=(subject,)),), BOTH)
    by_certificate = certified(index, "uri", said) == "c" and said != "c"
    takers = {issuer for issuer in BOTH.issuers if of(index, issuer, said)} | ({"mtls"} if by_certificate else set())
    assert len(takers) <= 1
    if one != other:
        assert not (of(index, one, said) and of(index, other, said))
