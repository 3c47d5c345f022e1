"""Secrets of the gateway's own, given by the operator or made on first use in the state directory."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from spork.adapters.files.state_files import secret_file

_PEPPER: Final = "key-pepper"


def key_pepper(state_dir: str) -> bytes:
    """What digests of API keys are keyed with: SPORK_KEY_PEPPER, or a file made on first use. Whoever shares records
    shares it."""
    given = _from_environment()
    return given.encode() if given else secret_file(state_dir, _PEPPER)


def _from_environment() -> str:
    """The pepper in SPORK_KEY_PEPPER, or in the file that SPORK_KEY_PEPPER_FILE names (secrets mounted as files)."""
    given = os.environ.get("SPORK_KEY_PEPPER", "")
    file = os.environ.get("SPORK_KEY_PEPPER_FILE", "")
    return given or (Path(file).read_text(encoding="utf-8").strip() if file else "")


def given_pepper(state_dir: str) -> bytes | None:
    """The pepper, if there is one: none is made."""
    given = _from_environment()
    path = Path(state_dir) / _PEPPER
    return given.encode() if given else (path.read_bytes() if path.exists() else None)


def pepper_mark(pepper: bytes) -> str:
    """What records note of their pepper, to recognize another one: its digest."""
    return hashlib.sha256(b"spork key pepper " + pepper).hexdigest()


def signing_key(configured: str, state_dir: str) -> str:
    """The gateway's own signing key as PEM or JWK text: the configured one (a file, or the text itself), or one made on
    first use."""
    if not configured:
        return secret_file(state_dir, "signing-key.pem", _new_key).decode()
    return configured if "-----BEGIN" in configured else Path(configured).read_text()


def _new_key() -> bytes:
    from spork.adapters.cryptography.keygen import generate_key

    return generate_key("EdDSA").encode()
