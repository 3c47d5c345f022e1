"""Verification keys: JWKs checked before they are trusted, and sets of them (RFC 7517, RFC 8725).

A set is refused whole when it mixes symmetric and asymmetric keys. A single key is left out, with the reason kept for
`spork check`, when it could not be used safely: wrong use, weak, or its parts disagree. Keys that share a `kid` are
ambiguous and none of them is used. Keys of other kinds (for encryption, of an unknown type or curve) belong in ordinary sets
and are passed over there (RFC 7517 5), whether the set was fetched or saved as a file; a key that is written by itself is meant.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jwt
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm, get_default_algorithms

from spork.adapters.jwt.structure import Malformed, decode, json_object

#: Most keys taken from one set.
MAX_KEYS = 100

_ALGORITHMS = get_default_algorithms()
_EC_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_RSA = frozenset(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"))
_HMAC_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
_EDWARDS = frozenset(("EdDSA", "Ed25519"))
#: Every algorithm that can be allowed at all. `none` is not among them.
SUPPORTED = frozenset((*_EC_CURVES, *_RSA, *_HMAC_BYTES, *_EDWARDS))

_PUBLIC_PARTS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x"), "oct": ("k",)}


class KeyRefused(ValueError):
    """A key or set that must not be used; the text says why, without key material."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One public (or shared) key, ready to verify. `algorithms` are those it may be used with."""

    kid: str | None
    kty: str
    algorithms: frozenset[str]
    material: object

    def verify(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        return bool(_ALGORITHMS[algorithm].verify(signed, self.material, signature))

    def __repr__(self) -> str:
        return f"VerificationKey({self.kid}, {'/'.join(sorted(self.algorithms))})"


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys by `kid`. `anonymous` have none; `left_out` says which keys of the document are not used, and why."""

    by_kid: Mapping[str, VerificationKey]
    anonymous: tuple[VerificationKey, ...] = ()
    left_out: tuple[str, ...] = ()
    #: Whether a key without a name may be meant by any name: keys of the configuration, where PEM can carry none.
    nameless: bool = False

    def choose(self, kid: object, algorithm: str) -> VerificationKey | None:
        """The one key for this header: `kid` matched exactly; without one, only when a single key could be meant."""
        if kid is None:
            fit = [key for key in (*self.by_kid.values(), *self.anonymous) if algorithm in key.algorithms]
            return fit[0] if len(fit) == 1 else None
        found = self.by_kid.get(kid) if isinstance(kid, str) else None
        if found is None and self.nameless:
            fit = [key for key in self.anonymous if algorithm in key.algorithms]
            return fit[0] if len(fit) == 1 else None
        return found if found is not None and algorithm in found.algorithms else None

    def knows(self, kid: object) -> bool:
        return kid is None or self.nameless or (isinstance(kid, str) and kid in self.by_kid)

    def __len__(self) -> int:
        return len(self.by_kid) + len(self.anonymous)


NO_KEYS = KeySet({})


def read_key_set(document: bytes, symmetric: bool = False) -> KeySet:
    """The usable keys of a JWK Set document. `symmetric` allows `oct` keys: only for keys written in configuration,
    never for what was fetched. Raises KeyRefused."""
    try:
        keys = json_object(document, "not_json").get("keys")
    except Malformed as error:
        raise KeyRefused("the key set is not a JSON object") from error
    if not isinstance(keys, list):
        raise KeyRefused("the key set has no list of keys")
    return key_set((key for key in keys), symmetric)


def key_set(jwks: Iterable[object], symmetric: bool = False) -> KeySet:
    """A key set from parsed JWKs."""
    given = list(jwks)
    if len(given) > MAX_KEYS:
        raise KeyRefused(f"the key set has more than {MAX_KEYS} keys")
    kinds = {jwk.get("kty") == "oct" for jwk in given if isinstance(jwk, dict)}
    if len(kinds) > 1:
        raise KeyRefused("the key set mixes symmetric and asymmetric keys")
    if kinds == {True} and not symmetric:
        raise KeyRefused("a fetched key set must not hold symmetric keys")
    keys: list[VerificationKey] = []
    left_out: list[str] = []
    for index, jwk in enumerate(given):
        try:
            keys.append(read_key(jwk))
        except KeyRefused as refused:
            left_out.append(f"key {index}: {refused}")
    # Keys left out count too: of two keys for signatures with one id, nobody knows which was meant.
    kids = [jwk.get("kid") for jwk in given if isinstance(jwk, dict) and jwk.get("use", "sig") == "sig"]
    twice = {kid for kid in kids if isinstance(kid, str) and kids.count(kid) > 1}
    left_out += [f"kid {kid!r} stands more than once" for kid in sorted(twice)]
    by_kid = {key.kid: key for key in keys if key.kid is not None and key.kid not in twice}
    return KeySet(by_kid, tuple(key for key in keys if key.kid is None), tuple(left_out))


def read_static(texts: Iterable[str]) -> KeySet:
    """Keys as configuration gives them: each a JWK, a JWK Set, or a PEM public key."""
    jwks: list[object] = []
    meant: set[int] = set()
    for text in texts:
        if text.lstrip().startswith("-----BEGIN"):
            meant.add(len(jwks))
            jwks.append(pem_to_jwk(text))
            continue
        try:
            document = json_object(text.encode(), "not_json")
        except Malformed as error:
            raise KeyRefused("a key is neither JSON nor PEM") from error
        listed = document.get("keys")
        if isinstance(listed, list):
            jwks += listed
        else:
            meant.add(len(jwks))
            jwks.append(document)
    found = key_set(jwks, symmetric=True)
    wrong = [why for why in found.left_out if why.startswith("kid ") or _index(why) in meant]
    if wrong or not len(found):
        raise KeyRefused("; ".join(wrong or found.left_out) or "there is no key in it")
    return replace(found, nameless=True)


def _index(why: str) -> int:
    """Which key of the set a reason of `left_out` is about."""
    return int(why.removeprefix("key ").partition(":")[0])


def pem_to_jwk(text: str) -> dict[str, object]:
    """A PEM key as a JWK without `kid`. Raises KeyRefused."""
    kinds: tuple[Any, ...] = (
        RSAAlgorithm(RSAAlgorithm.SHA256),
        ECAlgorithm(ECAlgorithm.SHA256),
        OKPAlgorithm(),
    )
    for kind in kinds:
        try:
            return dict(json.loads(kind.to_jwk(kind.prepare_key(text))))
        except (ValueError, TypeError, jwt.PyJWTError):
            continue
    raise KeyRefused("the PEM text holds no RSA, EC or Ed25519 key")


def read_key(jwk: object) -> VerificationKey:
    """One JWK, checked: `kty`, `crv`, `alg`, `use` and `key_ops` agree, and it is strong enough. Raises KeyRefused."""
    if not isinstance(jwk, dict):
        raise KeyRefused("not an object")
    kty, alg, kid = jwk.get("kty"), jwk.get("alg"), jwk.get("kid")
    if jwk.get("use", "sig") != "sig":
        raise KeyRefused("its use is not sig")
    operations = jwk.get("key_ops")
    if operations is not None and (not isinstance(operations, list) or "verify" not in operations):
        raise KeyRefused("its key_ops do not include verify")
    if kid is not None and not isinstance(kid, str):
        raise KeyRefused("its kid is not a text")
    fit = _fitting_algorithms(jwk)
    if alg is not None:
        if alg not in fit:
            raise KeyRefused("its alg does not fit its type")
        fit = frozenset((alg,))
    if not isinstance(kty, str):
        raise KeyRefused("it has no type")
    # Only the public parts: a private key published by mistake must not become a signing key here.
    public = {"kty": kty} | {name: jwk.get(name) for name in _PUBLIC_PARTS[kty]}
    try:
        material = jwt.PyJWK(public, algorithm=min(fit)).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
        raise KeyRefused("its parts make no valid key") from error
    return VerificationKey(kid, kty, fit, material)


def _fitting_algorithms(jwk: dict[str, object]) -> frozenset[str]:
    """The algorithms this key could serve by type, curve and size. Raises KeyRefused when it is too weak for any."""
    kty, curve = jwk.get("kty"), jwk.get("crv")
    if kty == "RSA":
        _check_rsa(_number(jwk.get("n")), _number(jwk.get("e")))
        return _RSA
    if kty == "EC":
        return _or_refuse({name for name, wanted in _EC_CURVES.items() if curve == wanted}, "curve")
    if kty == "OKP":
        return _or_refuse({"EdDSA", "Ed25519"} & set(_ALGORITHMS) if curve == "Ed25519" else set(), "curve")
    if kty == "oct":
        size = len(_octets(jwk.get("k")))
        return _or_refuse({name for name, least in _HMAC_BYTES.items() if size >= least}, "size")
    raise KeyRefused("its type is not supported")


def _or_refuse(names: set[str], what: str) -> frozenset[str]:
    if not names:
        raise KeyRefused(f"its {what} is not supported")
    return frozenset(names)


def _octets(value: object) -> bytes:
    if not isinstance(value, str) or not value.isascii():
        raise KeyRefused("a part is missing")
    try:
        return decode(value.encode("ascii"), "key_malformed")
    except Malformed as error:
        raise KeyRefused("a part is not base64url") from error


def _number(value: object) -> int:
    return int.from_bytes(_octets(value), "big")


def _check_rsa(modulus: int, exponent: int) -> None:
    if modulus.bit_length() < 2048:
        raise KeyRefused("it is shorter than 2048 bits")
    if modulus.bit_length() > 16384:
        raise KeyRefused("it is longer than 16384 bits")
    if exponent < 3 or exponent % 2 == 0 or exponent.bit_length() > 64:
        raise KeyRefused("its public exponent is unsafe")
    if all(modulus % prime in residues for prime, residues in _ROCA):
        raise KeyRefused("it has the ROCA weakness (CVE-2017-15361)")


def _powers_of_65537(prime: int) -> frozenset[int]:
    found, value = set(), 1
    while value not in found:
        found.add(value)
        value = value * 65537 % prime
    return frozenset(found)


#: ROCA primes have the form k*M + (65537^a mod M): the modulus is a power of 65537 modulo every small prime. A sound
#: modulus is so by chance with probability below 2^-27.
_ROCA = tuple(
    (prime, _powers_of_65537(prime))
    for prime in range(3, 168, 2)
    if all(prime % divisor for divisor in range(3, int(prime**0.5) + 1, 2))
)
