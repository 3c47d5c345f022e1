"""Tokens that must not be taken, each with the reason it is refused for, beside the ones that must be."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from spork.adapters.jwt.keys import KeyRefused, pem_to_jwk, read_key_set, read_static
from spork.adapters.jwt.sources import StaticKeys
from spork.adapters.jwt.verifier import JwtVerifier, TrustedIssuer, trust
from spork.domain.identity.tokens import ClaimNames, ClaimPolicy, Issuer, Refused, TokenOutcome, Verified
from tests import servers, tokens
from tests.tokens import ALGORITHM, AUDIENCE, ISSUER, NOW, b64, claims, private_key, public_jwk, raw_token, token


class NoNetwork:
    """A fetcher that must not be used: a token never makes the gateway call out."""

    async def fetch(self, url: str, ca: str = "", plain: bool = False) -> bytes:
        raise AssertionError(f"asked for {url}")


def issuer_of(*jwks: dict[str, Any], algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA"), **more: Any) -> Issuer:
    keys = (json.dumps({"keys": list(jwks)}),)
    return Issuer("idp", ISSUER, (AUDIENCE,), algorithms, keys=keys, **more)


def verifier(**more: Any) -> JwtVerifier:
    jwks = (
        public_jwk("rsa", "k1"),
        public_jwk("ec", "k2"),
        public_jwk("ed", "k3"),
        public_jwk("rsa", "enc", 1, use="enc"),
    )
    usable = tuple(jwk for jwk in jwks if jwk.get("use", "sig") == "sig")
    return JwtVerifier([trust(issuer_of(*usable, **more), NoNetwork())])


def verdict(subject: JwtVerifier, raw: bytes, now: float = NOW) -> TokenOutcome:
    found = subject.verify(raw, now)
    assert isinstance(found, Verified | Refused), found
    return found


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed"])
def test_a_good_token_of_each_algorithm_is_taken(kind: str) -> None:
    kid = {"rsa": "k1", "ec": "k2", "ed": "k3"}[kind]
    found = verdict(verifier(), token(kind, kid))
    assert isinstance(found, Verified)
    assert found.principal.subject == "alice"
    assert found.principal.scopes == {"users:read", "users:write"}
    assert found.principal.roles == {"reader"}
    assert (found.principal.session, found.principal.token_id, found.principal.tenant) == ("s-1", "t-1", "acme")


def _tampered_payload() -> bytes:
    head, _, signature = token().split(b".")
    return b".".join((head, b64(json.dumps(claims(sub="mallory")).encode()), signature))


def _public_key_as_secret() -> bytes:
    """Algorithm confusion: the published RSA key used as an HMAC secret."""
    pem = (
        private_key("rsa")
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    import hmac

    signed = b64(json.dumps({"alg": "HS256", "kid": "k1"}).encode()) + b"." + b64(json.dumps(claims()).encode())
    return signed + b"." + b64(hmac.digest(pem, signed, "sha256"))


def _unsigned(alg: str) -> bytes:
    return b64(json.dumps({"alg": alg, "kid": "k1"}).encode()) + b"." + b64(json.dumps(claims()).encode()) + b"."


def _with_header(**header: object) -> bytes:
    return token(header=header)


def _signed_header(header: bytes) -> bytes:
    return raw_token(header, claims(), private_key("rsa"), "RS256")


def _signed_payload(payload: bytes) -> bytes:
    return raw_token({"alg": "RS256", "kid": "k1"}, payload, private_key("rsa"), "RS256")


def _payload_with(pair: str) -> bytes:
    text = json.dumps(claims())
    return _signed_payload((text[:-1] + ", " + pair + "}").encode())


def _segment_changed(index: int, change: Callable[[bytes], bytes]) -> bytes:
    parts = token().split(b".")
    parts[index] = change(parts[index])
    return b".".join(parts)


def _loose_trailing_bits(segment: bytes) -> bytes:
    """Another text for the same bytes: the unused bits of the last letter set."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(segment) % 4
    return segment[:-1] + alphabet[alphabet.index(segment[-1:]) + 1 :][:1]


_MALLORY_JWK = public_jwk("rsa", "k1", 7)

HOSTILE: list[tuple[str, Callable[[], bytes], str]] = [
    # signature and algorithm
    ("payload changed", _tampered_payload, "signature_mismatch"),
    ("signed by another key", lambda: token("rsa", "k1", 7), "signature_mismatch"),
    ("none", lambda: _unsigned("none"), "signature_missing"),
    ("None", lambda: _unsigned("None") + b"AA", "algorithm_not_allowed"),
    ("nOnE with a signature", lambda: _with_header(alg="nOnE"), "algorithm_not_allowed"),
    ("empty alg", lambda: _with_header(alg=""), "algorithm_not_allowed"),
    ("alg is a list", lambda: _with_header(alg=["RS256"]), "algorithm_not_allowed"),
    ("alg is missing", lambda: _signed_header(b'{"kid":"k1"}'), "algorithm_not_allowed"),
    ("rs256 in small letters", lambda: _with_header(alg="rs256"), "algorithm_not_allowed"),
    ("public key as HMAC secret", _public_key_as_secret, "algorithm_not_allowed"),
    ("algorithm not on the list", lambda: raw_token({"alg": "PS256", "kid": "k1"}, claims(), private_key("rsa"), "PS256"), "algorithm_not_allowed"),
    ("algorithm of another key type", lambda: raw_token({"alg": "ES256", "kid": "k1"}, claims(), private_key("ec"), "ES256"), "key_unknown"),
    ("no signature", lambda: token().rsplit(b".", 1)[0] + b".", "signature_missing"),
    # key id and key location
    ("unknown kid", lambda: token(kid="k9"), "key_unknown"),
    ("kid in another case", lambda: token(kid="K1"), "key_unknown"),
    ("kid is a path", lambda: token(kid="../../dev/null"), "key_unknown"),
    ("kid is SQL", lambda: token(kid="k1' UNION SELECT 'x"), "key_unknown"),
    ("kid is a number", lambda: _with_header(kid=1), "key_id_malformed"),
    ("kid is null", lambda: _with_header(kid=None), "key_id_malformed"),
    ("kid is a list", lambda: _with_header(kid=["k1"]), "key_id_malformed"),
    ("no kid and several keys", lambda: token(kid=None, kind="rsa", header={"alg": "EdDSA"}), "signature_mismatch"),
    ("kid of an encryption key", lambda: token("rsa", "enc", 1), "key_unknown"),
    ("key inside the token", lambda: token("rsa", "k1", 7, header={"jwk": _MALLORY_JWK}), "signature_mismatch"),
    ("jku", lambda: token("rsa", "k1", 7, header={"jku": "https://evil.example/jwks"}), "signature_mismatch"),
    ("x5u", lambda: token("rsa", "k1", 7, header={"x5u": "https://evil.example/x"}), "signature_mismatch"),
    ("x5c", lambda: token("rsa", "k1", 7, header={"x5c": ["MIIB"]}), "signature_mismatch"),
    # critical headers
    ("crit", lambda: _with_header(crit=["exp"], exp=1), "critical_header"),
    ("crit is empty", lambda: _with_header(crit=[]), "critical_header"),
    ("unencoded payload", lambda: _with_header(b64=False), "critical_header"),
    # structure
    ("empty", lambda: b"", "not_a_jwt"),
    ("two dots alone", lambda: b"..", "header_malformed"),
    ("two segments", lambda: token().rsplit(b".", 1)[0], "not_a_jwt"),
    ("five segments (JWE)", lambda: token() + b".AA.AA", "not_a_jwt"),
    ("trailing dot", lambda: token() + b".", "not_a_jwt"),
    ("padding", lambda: _segment_changed(0, lambda s: s + b"=" * (-len(s) % 4 or 4)), "header_malformed"),
    ("standard base64 letters", lambda: _segment_changed(2, lambda s: b"+/" + s[2:]), "signature_malformed"),
    ("white space inside", lambda: _segment_changed(1, lambda s: s[:8] + b"\n" + s[8:]), "payload_malformed"),
    ("a byte above ASCII", lambda: _segment_changed(1, lambda s: s[:8] + b"\xff" + s[9:]), "payload_malformed"),
    ("impossible length", lambda: _segment_changed(2, lambda s: s + b"A" * ((1 - len(s)) % 4)), "signature_malformed"),
    ("loose trailing bits", lambda: _segment_changed(2, _loose_trailing_bits), "signature_malformed"),
    ("oversized", lambda: token(padding="x" * 9000), "too_long"),
    ("JSON serialization", lambda: b'{"payload":"x","signatures":[]}', "not_a_jwt"),
    ("header is a list", lambda: _signed_header(b'["RS256"]'), "header_malformed"),
    ("header is not UTF-8", lambda: _signed_header(b'{"alg":"RS256","kid":"k1","x":"\xff"}'), "header_malformed"),
    ("header is UTF-16", lambda: _signed_header('{"alg":"RS256","kid":"k1"}'.encode("utf-16")), "header_malformed"),
    ("header has a name twice", lambda: _signed_header(b'{"alg":"none","alg":"RS256","kid":"k1"}'), "header_malformed"),
    ("payload has a name twice", lambda: _payload_with('"sub": "mallory"'), "payload_malformed"),
    ("a name twice deep inside", lambda: _payload_with('"x": {"a": 1, "a": 2}'), "payload_malformed"),
    ("payload is a list", lambda: _signed_payload(b"[]"), "payload_malformed"),
    ("payload is empty", lambda: _signed_payload(b""), "payload_malformed"),
    ("nested past reason", lambda: _signed_payload(b"[" * 5000), "payload_malformed"),
    ("NaN", lambda: _payload_with('"x": NaN'), "payload_malformed"),
    ("Infinity", lambda: _payload_with('"x": -Infinity'), "payload_malformed"),
    # issuer and audience
    ("another issuer", lambda: token(iss="https://evil.example"), "issuer_unknown"),
    ("issuer with a slash more", lambda: token(iss=ISSUER + "/"), "issuer_unknown"),
    ("issuer that only begins alike", lambda: token(iss=ISSUER + ".evil.example"), "issuer_unknown"),
    ("issuer in capitals", lambda: token(iss=ISSUER.upper()), "issuer_unknown"),
    ("issuer is a list", lambda: token(iss=[ISSUER]), "issuer_unknown"),
    ("no issuer", lambda: token(iss=None), "issuer_unknown"),
    ("no audience", lambda: token(aud=None), "audience_mismatch"),
    ("another audience", lambda: token(aud="apis"), "audience_mismatch"),
    ("audience contains ours as text", lambda: token(aud="my api"), "audience_mismatch"),
    ("audiences with a number among them", lambda: token(aud=["api", 1]), "audience_mismatch"),
    ("audience is an object", lambda: token(aud={"api": 1}), "audience_mismatch"),
    ("no audience in the list", lambda: token(aud=[]), "audience_mismatch"),
    # times
    ("expired with the leeway used up", lambda: token(exp=NOW - 60), "expired"),
    ("no exp", lambda: token(exp=None), "expiry_missing"),
    ("exp is a text", lambda: token(exp="9999999999"), "time_malformed"),
    ("exp is true", lambda: token(exp=True), "time_malformed"),
    ("exp is infinite", lambda: _signed_payload(json.dumps(claims(exp=None)).encode()[:-1] + b', "exp": 1e999}'), "time_malformed"),
    ("exp is negative", lambda: token(exp=-1), "time_malformed"),
    ("exp is past any date", lambda: token(exp=10**300), "time_malformed"),
    ("exp is a list", lambda: token(exp=[NOW + 300]), "time_malformed"),
    ("exp is null", lambda: _signed_payload(json.dumps(claims(exp=None)).encode()[:-1] + b', "exp": null}'), "time_malformed"),
    ("not yet valid", lambda: token(nbf=NOW + 61), "not_yet_valid"),
    ("nbf is a text", lambda: token(nbf="0"), "time_malformed"),
    ("issued in the future", lambda: token(iat=NOW + 61), "issued_in_future"),
    # subject
    ("no subject", lambda: token(sub=None), "subject_missing"),
    ("subject is a number", lambda: token(sub=7), "subject_not_text"),
    ("subject with a line break", lambda: token(sub="alice\r\nX-User-Roles: admin"), "subject_missing"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "reason"), [pytest.param(m, r, id=name) for name, m, r in HOSTILE])
def test_a_hostile_token_is_refused(make: Callable[[], bytes], reason: str) -> None:
    assert verdict(verifier(), make()) == Refused(reason)


@pytest.mark.parametrize(
    ("changes", "now"),
    [({"exp": NOW - 59.9}, NOW), ({"nbf": NOW + 60}, NOW), ({"iat": NOW + 60}, NOW), ({"aud": ["other", "api"]}, NOW), ({"exp": NOW + 0.5}, NOW)],
)  # fmt: skip
def test_the_edges_of_time_and_audience_are_inside(changes: dict[str, object], now: float) -> None:
    assert isinstance(verdict(verifier(), token(**changes), now), Verified)


def test_leeway_is_never_more_than_a_minute() -> None:
    assert verdict(verifier(leeway=3600.0), token(exp=NOW - 61)) == Refused("expired")
    assert verdict(verifier(leeway=0.0), token(exp=NOW)) == Refused("expired")


def test_a_required_type_and_required_claims() -> None:
    strict = verifier(type="at+jwt", required=("client_id",))
    assert verdict(strict, token()) == Refused("type_mismatch")
    assert verdict(strict, token(header={"typ": "at+jwt"})) == Refused("claim_missing")
    assert isinstance(verdict(strict, token(header={"typ": "application/AT+JWT"}, client_id="c")), Verified)


def test_claims_are_found_where_the_operator_says() -> None:
    names = ClaimNames(
        "uid", roles="realm_access.roles", tenant="https://example.com/tenant", session="sess",
        consumer="client", plan="tier", amr="how.by", acr="how.level", auth_time="how.at", scopes="scp",
    )  # fmt: skip
    found = verdict(
        verifier(claim_names=names),
        token(
            uid="bob",
            realm_access={"roles": ["admin"]},
            sess="s9",
            client="shop",
            tier="gold",
            scp=["a", "b"],
            how={"by": ["pwd", "otp"], "level": "loa2", "at": NOW - 9},
            amr=["none"],
            acr="none",
            auth_time=NOW,
            **{"https://example.com/tenant": "globex"},
        ),
    )
    assert isinstance(found, Verified)
    principal = found.principal
    assert (principal.subject, principal.tenant, principal.session) == ("bob", "globex", "s9")
    assert (principal.roles, principal.scopes) == ({"admin"}, {"a", "b"})
    assert (principal.consumer, principal.plan) == ("shop", "gold")
    assert (principal.amr, principal.acr, principal.signed_in_at) == ({"pwd", "otp"}, "loa2", NOW - 9)


def test_each_issuer_has_keys_of_its_own() -> None:
    """A key that one issuer may use proves nothing about another issuer's tokens."""
    one = trust(issuer_of(public_jwk("rsa", "k1")), NoNetwork())
    two = TrustedIssuer(
        "other", StaticKeys(read_static((json.dumps(public_jwk("rsa", "k1", 1)),))), frozenset(("RS256",)),
        ClaimPolicy("https://other.example", frozenset((AUDIENCE,))), ClaimNames(),
    )  # fmt: skip
    both = JwtVerifier([one, two])
    assert isinstance(verdict(both, token("rsa", "k1", 0)), Verified)
    assert verdict(both, token("rsa", "k1", 0, iss="https://other.example")) == Refused("signature_mismatch")
    assert isinstance(verdict(both, token("rsa", "k1", 1, iss="https://other.example")), Verified)


def test_shared_secrets_only_where_they_are_written_down() -> None:
    secret = b"0123456789abcdef0123456789abcdef"
    oct_jwk = {"kty": "oct", "k": base64.urlsafe_b64encode(secret).rstrip(b"=").decode(), "kid": "h1"}
    shared = JwtVerifier([trust(issuer_of(oct_jwk, algorithms=("HS256",)), NoNetwork())])
    assert isinstance(verdict(shared, tokens.hmac_token(secret, {"kid": "h1"})), Verified)
    assert verdict(shared, tokens.hmac_token(secret + b"!", {"kid": "h1"})) == Refused("signature_mismatch")
    with pytest.raises(KeyRefused, match="symmetric"):
        read_key_set(json.dumps({"keys": [oct_jwk]}).encode())
    with pytest.raises(ValueError, match="algorithms"):
        trust(Issuer("idp", ISSUER, (AUDIENCE,), ("HS256",), jwks_url="https://idp.example.com/jwks"), NoNetwork())
    with pytest.raises(ValueError, match="none"):
        trust(issuer_of(public_jwk("rsa", "k1"), algorithms=("none",)), NoNetwork())


def _set(*keys: object) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (_set(public_jwk("rsa", "a"), {"kty": "oct", "k": "A" * 64, "kid": "b"}), "mixes"),
        (_set(*[public_jwk("ed", str(n)) for n in range(101)]), "more than 100"),
        (b"[]", "not a JSON object"),
        (b'{"keys": {}}', "no list"),
        (b'{"keys": [], "keys": []}', "not a JSON object"),
    ],
)
def test_a_bad_key_set_is_refused_whole(document: bytes, why: str) -> None:
    with pytest.raises(KeyRefused, match=why):
        read_key_set(document)


@pytest.mark.parametrize(
    ("jwk", "why"),
    [
        (public_jwk("rsa", "a", use="enc"), "use"),
        (public_jwk("rsa", "a", key_ops=["sign"]), "key_ops"),
        (public_jwk("rsa", "a", alg="ES256"), "alg"),
        (public_jwk("rsa", "a", alg="none"), "alg"),
        (public_jwk("ec", "a", alg="ES384"), "alg"),
        (public_jwk("ec", "a", crv="P-384"), "no valid key"),
        (public_jwk("ec", "a", kty="RSA"), "missing"),
        (public_jwk("rsa", "a", e="AQ"), "exponent"),
        (public_jwk("rsa", "a", e="Ag"), "exponent"),
        (public_jwk("rsa", "a", n="AQAB"), "2048"),
        (public_jwk("rsa") | {"kid": 7}, "kid"),
        (public_jwk("rsa", "a", kty="dsa"), "type"),
        ("text", "object"),
    ],
)
def test_a_bad_key_is_left_out_and_the_others_stay(jwk: object, why: str) -> None:
    found = read_key_set(_set(jwk, public_jwk("ed", "good")))
    assert set(found.by_kid) == {"good"}
    assert len(found.left_out) == 1
    assert why in found.left_out[0]


def test_keys_with_the_same_id_are_all_left_out() -> None:
    found = read_key_set(_set(public_jwk("rsa", "a"), public_jwk("rsa", "a", 1), public_jwk("ed", "b")))
    assert set(found.by_kid) == {"b"}
    assert "more than once" in found.left_out[0]


def test_a_published_private_key_does_not_become_one_here() -> None:
    secret = json.loads(tokens.get_default_algorithms()["EdDSA"].to_jwk(private_key("ed")))
    assert "d" in secret
    secret.pop("key_ops", None)
    found = read_key_set(_set({**secret, "kid": "a"}))
    assert not hasattr(found.by_kid["a"].material, "sign")


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed"])
def test_pem_keys_are_read(kind: str) -> None:
    pem = (
        private_key(kind)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    jwk = pem_to_jwk(pem.decode())
    subject = JwtVerifier(
        [trust(Issuer("idp", ISSUER, (AUDIENCE,), (ALGORITHM[kind],), keys=(pem.decode(),)), NoNetwork())]
    )
    assert jwk["kty"] in ("RSA", "EC", "OKP")
    assert isinstance(verdict(subject, token(kind, None)), Verified)


# ------------------------------------------------------------------------------------------------------------ Wycheproof


def _wycheproof(name: str) -> list[Any]:
    beside = [parent / "shared" / "data" / "wycheproof" / name for parent in servers.ROOT.parents]
    path = next((path for path in beside if path.exists()), None)
    if path is None:
        return []
    return [(group, test) for group in json.loads(path.read_text())["testGroups"] for test in group["tests"]]


VECTORS = [*_wycheproof("json_web_signature_test.json"), *_wycheproof("json_web_key_test.json")]


def _vector_accepted(group: dict[str, Any], test: dict[str, Any]) -> bool:
    """Whether our structure checks, key checks and signature check let a vector through (payloads are not claims)."""
    from spork.adapters.jwt.keys import SUPPORTED, key_set
    from spork.adapters.jwt.structure import Malformed, take_apart
    from spork.adapters.jwt.verifier import _check_header

    given = group.get("public") or group["private"]
    jwks = given.get("keys", [given])
    jws = test["jws"] if isinstance(test["jws"], str) else json.dumps(test["jws"])
    try:
        keys = key_set(jwks, symmetric=True)
        issuer = TrustedIssuer("w", StaticKeys(keys), SUPPORTED, ClaimPolicy("", frozenset()), ClaimNames())
        parts = take_apart(jws.encode())
        algorithm = _check_header(parts.header, issuer)
    except (KeyRefused, Malformed):
        return False
    key = keys.choose(parts.header.get("kid"), algorithm)
    return key is not None and key.verify(algorithm, parts.signed, parts.signature)


def _same_as_a_valid_one(group: dict[str, Any], test: dict[str, Any]) -> bool:
    """367 and 370 speak of padding but are, byte for byte, the valid vector 357: no verifier can tell them apart."""
    return any(t["result"] == "valid" and t["jws"] == test["jws"] for t in group["tests"])


def test_no_invalid_wycheproof_vector_is_accepted() -> None:
    if not VECTORS:
        servers.missing("the Wycheproof vectors (../shared/data/wycheproof)")
    accepted = [
        (group["comment"], test["tcId"], test["comment"], _same_as_a_valid_one(group, test))
        for group, test in VECTORS
        if test["result"] == "invalid" and _vector_accepted(group, test)
    ]
    assert [row[:3] for row in accepted if not row[3]] == []
    assert [row[1] for row in accepted] == [367, 370]


def test_valid_wycheproof_vectors_are_accepted() -> None:
    """Those of algorithms we support; so that the test above does not pass by refusing everything."""
    if not VECTORS:
        servers.missing("the Wycheproof vectors (../shared/data/wycheproof)")
    valid = [(group, test) for group, test in VECTORS if test["result"] == "valid"]
    refused = {test["tcId"] for group, test in valid if not _vector_accepted(group, test)}
    assert len(valid) - len(refused) >= 30
    # Stricter on purpose: a PS384 signature by a key marked PS256 (346, 350), a key marked with an algorithm that does
    # not exist (ES521: 347, 351), and a `?` among base64url letters (372, 373).
    assert refused == {346, 347, 350, 351, 372, 373}


def test_a_saved_key_set_may_hold_keys_for_other_things() -> None:
    """RFC 7517 5: what is of another kind is ignored. Keycloak's sets have a key for encryption, others more."""
    good = public_jwk("rsa", "k1", 1)
    others = [
        public_jwk("rsa", "enc", 2) | {"use": "enc", "alg": "RSA-OAEP"},
        {"kty": "EC", "crv": "secp256k1", "kid": "wallet", "x": "AA", "y": "AA"},
        {"kty": "AKP", "kid": "pq", "alg": "ML-DSA-65", "pub": "AA"},
        {"kid": "odd"},
    ]
    found = read_static([json.dumps({"keys": [*others, good]})])
    assert list(found.by_kid) == ["k1"]
    assert len(found.left_out) == len(others)
    with pytest.raises(KeyRefused):
        read_static([json.dumps({"keys": others})])
    with pytest.raises(KeyRefused):
        read_static([json.dumps(others[1])])


def test_a_key_without_a_name_is_meant_by_any_name_only_where_the_operator_wrote_it() -> None:
    nameless = {key: value for key, value in public_jwk("rsa", "k1", 1).items() if key != "kid"}
    written = read_static([json.dumps(nameless)])
    assert written.knows("whatever") and written.choose("whatever", "RS256") is not None
    assert read_static([json.dumps(nameless), json.dumps(nameless)]).choose("whatever", "RS256") is None
    fetched = read_key_set(json.dumps({"keys": [nameless]}).encode())
    assert not fetched.knows("whatever") and fetched.choose("whatever", "RS256") is None
