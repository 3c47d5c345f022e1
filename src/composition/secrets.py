"""Secrets of the gateway's own, given by the operator or made on first use in the state directory."""

from __future__ import annotations

import os
from pathlib import Path

from spork.adapters.files.state_files import secret_file


def key_pepper(state_dir: str) -> bytes:
    """What digests of API keys are keyed with: SPORK_KEY_PEPPER, or a file made on first use. Whoever shares records
    shares it."""
    given = os.environ.get("SPORK_KEY_PEPPER", "")
    return given.encode() if given else secret_file(state_dir, "key-pepper")


def signing_key(configured: str, state_dir: str) -> str:
    """The gateway's own signing key as PEM or JWK text: the configured one (a file, or the text itself), or one made on
    first use."""
    if not configured:
        return secret_file(state_dir, "signing-key.pem", _new_key).decode()
    return configured if "-----BEGIN" in configured else Path(configured).read_text()


def _new_key() -> bytes:
    from spork.adapters.cryptography.keygen import generate_key

    return generate_key("EdDSA").encode()
