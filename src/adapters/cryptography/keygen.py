"""New signing keys, as PEM (PKCS 8)."""

from __future__ import annotations

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

ALGORITHMS = ("EdDSA", "ES256", "RS256")


def generate_key(algorithm: str) -> str:
    """A private key for `algorithm` (EdDSA, ES256 or RS256). Raises ValueError for another."""
    key: PrivateKeyTypes
    if algorithm == "EdDSA":
        key = ed25519.Ed25519PrivateKey.generate()
    elif algorithm == "ES256":
        key = ec.generate_private_key(ec.SECP256R1())
    elif algorithm == "RS256":
        key = rsa.generate_private_key(65537, 3072)
    else:
        raise ValueError(f"{algorithm} is none of {', '.join(ALGORITHMS)}")
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")
